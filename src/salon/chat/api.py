"""Chat over HTTP: what is asked once (``docs/reference/protocol.md``)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Body, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from salon import ids
from salon.chat.endpoints import conversation_id
from salon.chat.events import Event
from salon.chat.service import PAGE_MAX, Chat
from salon.errors import Refusal
from salon.ids import FileId, UserId, parse_id
from salon.media.ports import Media
from salon.messaging.principal import Principal

Current = Callable[[Request], Awaitable[Principal]]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Single(_Strict):
    """Begin a direct conversation."""

    kind: Literal["single"]
    user: str


class Group(_Strict):
    """Begin a group."""

    kind: Literal["group"]
    name: str = Field(max_length=500)
    members: list[str] = Field(default_factory=list, max_length=5000)


class People(_Strict):
    """Who is to come in."""

    users: list[str] = Field(min_length=1, max_length=5000)


class Text(_Strict):
    """A message sent over HTTP."""

    text: str


class Cursor(_Strict):
    """How far one has read."""

    seq: int = Field(ge=0)


Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=64)]


def router(
    chat: Chat,
    media: Media,
    current: Current,
    progress: Callable[[Sequence[str]], list[dict[str, Any]]],
) -> APIRouter:
    """The routes; ``current`` says who asks, ``progress`` what is being drawn."""
    routes = APIRouter(tags=["chat"])

    @routes.post("/api/v1/conversations", status_code=201)
    async def create(
        request: Request,
        wish: Annotated[Single | Group, Body(discriminator="kind")],
        key: Key = None,
    ) -> Response:
        me = await _user(current, request)
        if isinstance(wish, Single):
            id_ = await chat.direct(me, _user_id(wish.user, "user"))
        else:
            members = [_user_id(user, "members") for user in wish.members]
            id_ = await chat.group(me, wish.name, members, key or ids.token(96))
        return _json(await chat.summary(me, id_), status=201)

    @routes.get("/api/v1/conversations/{conversation}")
    async def one(request: Request, conversation: str) -> Response:
        me = await _user(current, request)
        return _json(await chat.summary(me, conversation_id(conversation)))

    @routes.post("/api/v1/conversations/{conversation}/members")
    async def add(request: Request, conversation: str, wish: People) -> Response:
        me = await _user(current, request)
        id_ = conversation_id(conversation)
        await chat.add(me, id_, [_user_id(user, "users") for user in wish.users])
        return _json(await chat.summary(me, id_))

    @routes.delete(
        "/api/v1/conversations/{conversation}/members/{user}", status_code=204
    )
    async def remove(request: Request, conversation: str, user: str) -> Response:
        me = await _user(current, request)
        await chat.remove(me, conversation_id(conversation), _user_id(user, "user"))
        return Response(status_code=204)

    @routes.get("/api/v1/conversations/{conversation}/events")
    async def events(
        request: Request,
        conversation: str,
        after: Annotated[int | None, Query(ge=0, lt=1 << 63)] = None,
        before: Annotated[int | None, Query(ge=0, lt=1 << 63)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    ) -> Response:
        me = await _user(current, request)
        found, last = await chat.page(
            me, conversation_id(conversation), after=after, before=before, limit=limit
        )
        return _json({"events": _raw(found), "last_seq": last})

    @routes.post("/api/v1/conversations/{conversation}/messages")
    async def send(
        request: Request, conversation: str, wish: Text, key: Key = None
    ) -> Response:
        me = await _user(current, request)
        applied = await chat.send(
            me, conversation_id(conversation), key or ids.token(96), wish.text
        )
        event, duplicate = await applied
        return _json(
            {
                "seq": event.seq,
                "id": str(event.id),
                "ts": event.ts,
                "duplicate": duplicate,
            }
        )

    @routes.post("/api/v1/conversations/{conversation}/read", status_code=204)
    async def read(request: Request, conversation: str, wish: Cursor) -> Response:
        me = await _user(current, request)
        await chat.read(me, conversation_id(conversation), wish.seq)
        return Response(status_code=204)

    @routes.get("/api/v1/sync")
    async def sync(
        request: Request, token: Annotated[str | None, Query(max_length=64)] = None
    ) -> Response:
        me = await _user(current, request)
        new, resync, delta = await chat.changes(me, token)
        shown = [
            {
                **summary.conversation,
                "events": _raw(summary.events),
                "limited": summary.limited,
            }
            for summary in delta.summaries
        ]
        return _json(
            {
                "token": new,
                "resync": resync,
                "user": str(me),
                "users": await chat.people(),
                "conversations": shown,
                "removed": [str(id_) for id_ in delta.removed],
                "cursors": delta.cursors,
                "progress": progress(list(delta.cursors)),
            }
        )

    @routes.get("/media/{file}")
    async def picture(request: Request, file: str) -> Response:
        me = await _user(current, request)
        key, mime = await chat.file(me, FileId(_number(file, "file")))
        return Response(
            await media.open(key),
            media_type=mime,
            headers={
                "Cache-Control": "private, max-age=31536000, immutable",
                "Content-Disposition": f'inline; filename="salon-{file}.png"',
                "Content-Security-Policy": "sandbox; default-src 'none'",
            },
        )

    return routes


async def _user(current: Current, request: Request) -> UserId:
    principal = await current(request)
    if "user" not in principal.roles:
        raise Refusal("not_allowed", "Guests have the guest pages only.", status=403)
    return UserId(int(principal.id))


def _number(text: str, field: str) -> int:
    try:
        return parse_id(text)
    except ValueError as error:
        raise Refusal(
            "id_invalid", f"`{field}` is wrong: {error}.", field=field
        ) from error


def _user_id(text: str, field: str) -> UserId:
    return UserId(_number(text, field))


def _raw(events: list[Event]) -> list[msgspec.Raw]:
    return [msgspec.Raw(event.as_json()) for event in events]


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json"
    )
