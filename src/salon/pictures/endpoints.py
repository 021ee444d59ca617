"""Pictures over STOMP and HTTP (``docs/reference/protocol.md``): carry, decide nothing."""

from collections.abc import Awaitable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict

from salon import ids
from salon.chat.api import Current
from salon.chat.endpoints import conversation_id, numbered
from salon.errors import Refusal
from salon.ids import JobId, UserId, parse_id
from salon.messaging.mapping import message_mapping
from salon.messaging.message import ReceiptHeaders
from salon.messaging.principal import Principal
from salon.pictures.jobs import wish
from salon.pictures.service import Pictures


class Imagine(msgspec.Struct):
    """Body of ``/app/pictures.imagine``."""

    conversation: str
    client_id: str
    prompt: str
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str | None = None


class Cancel(msgspec.Struct):
    """Body of ``/app/pictures.cancel``."""

    job: str


class PictureController:
    """``/app/pictures.…``."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    @message_mapping("/pictures.imagine")
    async def imagine(
        self, payload: Imagine, principal: Principal, receipt: ReceiptHeaders
    ) -> Awaitable[None]:
        """Submit in order; the receipt goes out when the job is queued."""
        asked = await self._pictures.request(
            UserId(int(principal.id)),
            conversation_id(payload.conversation),
            payload.client_id,
            wish(
                payload.prompt,
                negative=payload.negative,
                seed=payload.seed,
                steps=payload.steps,
                guidance=payload.guidance,
            ),
        )
        receipt["job"] = str(asked.job)
        return numbered(asked.applied, receipt)

    @message_mapping("/pictures.cancel")
    async def cancel(
        self, payload: Cancel, principal: Principal, receipt: ReceiptHeaders
    ) -> Awaitable[None]:
        """The receipt goes out when the job is cancelled."""
        applied = await self._pictures.cancel(
            UserId(int(principal.id)), job_id(payload.job)
        )
        return numbered(applied, receipt)


class Asking(BaseModel):
    """Body of ``POST /api/v1/pictures``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    conversation: str
    prompt: str
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str | None = None


Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=64)]


def router(pictures: Pictures, current: Current) -> APIRouter:
    """The routes of people; ``current`` says who asks."""
    routes = APIRouter(tags=["pictures"])

    @routes.post("/api/v1/pictures", status_code=202)
    async def ask(request: Request, asking: Asking, key: Key = None) -> Response:
        me = await _user(current, request)
        asked = await pictures.request(
            me,
            conversation_id(asking.conversation),
            key or ids.token(96),
            wish(
                asking.prompt,
                negative=asking.negative,
                seed=asking.seed,
                steps=asking.steps,
                guidance=asking.guidance,
            ),
        )
        event, _ = await asked.applied
        answer = {
            "seq": event.seq,
            "id": str(event.id),
            "ts": event.ts,
            "job": str(asked.job),
        }
        return Response(msgspec.json.encode(answer), 202, media_type="application/json")

    @routes.post("/api/v1/pictures/{job}/cancel", status_code=204)
    async def cancel(request: Request, job: str) -> Response:
        me = await _user(current, request)
        await (await pictures.cancel(me, job_id(job)))
        return Response(status_code=204)

    return routes


def job_id(text: str) -> JobId:
    """The id in a request.

    Raises:
        Refusal: theirs; not a number.
    """
    try:
        return JobId(parse_id(text))
    except ValueError as error:
        raise Refusal("id_invalid", f"`job` is wrong: {error}.", field="job") from error


async def _user(current: Current, request: Request) -> UserId:
    principal = await current(request)
    if "user" not in principal.roles:
        raise Refusal("not_allowed", "Guests have the guest pages only.", status=403)
    return UserId(int(principal.id))
