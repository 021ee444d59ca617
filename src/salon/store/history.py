"""Reads of what has been applied: sync, pages, members, cursors.

What was acknowledged has been applied, so these reads include it.
"""

import secrets
from collections import OrderedDict
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import Row

from salon.chat.conversations import unknown
from salon.chat.events import Event
from salon.chat.ports import Delta, Summary
from salon.ids import ConversationId, FileId, UserId
from salon.store.database import Database
from salon.store.ledger import event_of_row
from salon.store.schema import (
    conversations,
    events,
    file_links,
    files,
    members,
    settings,
    users,
)

CONVERSATIONS_MAX = 500
"""Conversations that one sync may name."""

FIRST_CONVERSATIONS = 30
"""Of these a device without a token also gets the last events; of the rest when it
opens them, so that the first sync does not grow with a long life."""

LAST_EVENTS = 20
MEMBERS_CACHED = 5_000


class SqlHistory:
    """``chat.History`` over the store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._members: OrderedDict[int, frozenset[UserId]] = OrderedDict()
        self._epoch: str | None = None

    def forget(self, id_: ConversationId) -> None:
        """The membership of a conversation changed: read it anew."""
        self._members.pop(id_, None)

    async def epoch(self) -> str:
        """Names this history; another epoch means that tokens are void."""
        if self._epoch is None:
            self._epoch = await self._database.write(_epoch, durable=True)
        return self._epoch

    async def changes(self, user: UserId, since: int | None) -> Delta:
        """What changed for ``user`` since ``rev``; the newest without one."""
        return await self._database.read(_changes, user, since)

    async def summary(self, user: UserId, id: ConversationId) -> dict[str, Any]:  # noqa: A002
        """One conversation as ``user`` sees it.

        Raises:
            Refusal: theirs; not a member.
        """
        return await self._database.read(_summary, user, id)

    async def page(
        self,
        user: UserId,
        id: ConversationId,  # noqa: A002
        *,
        after: int | None,
        before: int | None,
        limit: int,
    ) -> tuple[list[Event], int]:
        """Events in ascending order, and the newest ``seq`` that is there.

        Raises:
            Refusal: theirs; not a member.
        """
        return await self._database.read(_page, user, id, after, before, limit)

    async def members(self, id: ConversationId) -> frozenset[UserId]:  # noqa: A002
        """Who is in a conversation now (from memory where it can)."""
        found = self._members.get(id)
        if found is None:
            found = await self._database.read(_present, id)
            self._members[id] = found
            while len(self._members) > MEMBERS_CACHED:
                self._members.popitem(last=False)
        return found

    async def read(
        self,
        user: UserId,
        id: ConversationId,  # noqa: A002
        seq: int,
    ) -> tuple[int, int]:
        """Move the read cursor forward to ``seq``; (read_seq, read_n) after it.

        Raises:
            Refusal: theirs; not a member.
        """
        return await self._database.write(_read, user, id, seq)

    async def people(self) -> list[dict[str, Any]]:
        """Everybody with an account, as clients see them."""
        return await self._database.read(_people)

    async def file(self, user: UserId, id: FileId) -> tuple[str, str] | None:  # noqa: A002
        """(key, media type) if a conversation of ``user`` shows the file."""
        return await self._database.read(_file, user, id)


def _epoch(connection: Connection) -> str:
    here = settings.c.key == "epoch"
    found: str | None = connection.execute(
        select(settings.c.value).where(here)
    ).scalar_one_or_none()
    if found is None:
        found = secrets.token_hex(4)
        connection.execute(insert(settings).values(key="epoch", value=found))
    return found


def _membership(connection: Connection, user: UserId, id_: ConversationId) -> Row[Any]:
    row = connection.execute(
        select(members).where(
            members.c.conv_id == id_,
            members.c.user_id == user,
            members.c.left_seq.is_(None),
        )
    ).one_or_none()
    if row is None:
        raise unknown()
    return row


def _changes(connection: Connection, user: UserId, since: int | None) -> Delta:
    rev = connection.execute(select(func.max(events.c.rev))).scalar() or 0
    mine = (
        select(conversations, members)
        .join(members, members.c.conv_id == conversations.c.id)
        .where(members.c.user_id == user)
    )
    if since is None:
        chosen = (
            mine.where(members.c.left_seq.is_(None))
            .order_by(conversations.c.last_rev.desc())
            .limit(CONVERSATIONS_MAX)
        )
    else:
        chosen = mine.where(conversations.c.last_rev > since)
    summaries: list[Summary] = []
    removed: list[ConversationId] = []
    for place, row in enumerate(connection.execute(chosen).all()):
        if row.left_seq is not None:
            removed.append(ConversationId(row.id))
            continue
        # of the rest only the last line, which the list of conversations shows
        first = since is not None or place < FIRST_CONVERSATIONS
        most = LAST_EVENTS if first else 1
        newest = connection.execute(
            select(events)
            .where(events.c.conv_id == row.id, events.c.seq >= row.joined_seq)
            .where(events.c.rev > (since or 0))
            .order_by(events.c.seq.desc())
            .limit(most)
        ).all()
        shown = [event_of_row(event) for event in reversed(newest)]
        limited = len(shown) == most and shown[0].seq > row.joined_seq
        summaries.append(Summary(_described(connection, row), shown, limited))
    cursors = connection.execute(
        select(members.c.conv_id, members.c.read_seq, members.c.read_n).where(
            members.c.user_id == user, members.c.left_seq.is_(None)
        )
    )
    return Delta(
        rev,
        summaries,
        removed,
        {str(row.conv_id): (row.read_seq, row.read_n) for row in cursors},
    )


def _summary(
    connection: Connection, user: UserId, id_: ConversationId
) -> dict[str, Any]:
    row = connection.execute(
        select(conversations, members)
        .join(members, members.c.conv_id == conversations.c.id)
        .where(
            conversations.c.id == id_,
            members.c.user_id == user,
            members.c.left_seq.is_(None),
        )
    ).one_or_none()
    if row is None:
        raise unknown()
    return _described(connection, row)


def _described(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    present = connection.execute(
        select(members.c.user_id, members.c.role)
        .where(members.c.conv_id == row.id, members.c.left_seq.is_(None))
        .order_by(members.c.joined_seq, members.c.user_id)
    )
    return {
        "id": str(row.id),
        "kind": row.kind,
        "name": row.name,
        "owner": str(row.owner_id),
        "members": [
            {"user": str(member.user_id), "role": member.role} for member in present
        ],
        "last_seq": row.last_seq,
        "last_n": row.last_n,
        "first_seq": row.joined_seq,
        "read_seq": row.read_seq,
        "read_n": row.read_n,
        "ts": row.ts,
    }


def _page(
    connection: Connection,
    user: UserId,
    id_: ConversationId,
    after: int | None,
    before: int | None,
    limit: int,
) -> tuple[list[Event], int]:
    membership = _membership(connection, user, id_)
    last: int = connection.execute(
        select(conversations.c.last_seq).where(conversations.c.id == id_)
    ).scalar_one()
    query = select(events).where(
        events.c.conv_id == id_, events.c.seq >= membership.joined_seq
    )
    if after is not None:
        query = query.where(events.c.seq > after)
    if before is not None:
        query = query.where(events.c.seq < before)
    ascending = after is not None
    order = events.c.seq.asc() if ascending else events.c.seq.desc()
    rows = connection.execute(query.order_by(order).limit(limit)).all()
    found = [event_of_row(row) for row in rows]
    return (found if ascending else found[::-1]), last


def _present(connection: Connection, id_: ConversationId) -> frozenset[UserId]:
    rows = connection.execute(
        select(members.c.user_id).where(
            members.c.conv_id == id_, members.c.left_seq.is_(None)
        )
    )
    return frozenset(UserId(row.user_id) for row in rows)


def _read(
    connection: Connection, user: UserId, id_: ConversationId, seq: int
) -> tuple[int, int]:
    membership = _membership(connection, user, id_)
    last: int = connection.execute(
        select(conversations.c.last_seq).where(conversations.c.id == id_)
    ).scalar_one()
    seq = min(seq, last)
    if seq <= membership.read_seq:
        return membership.read_seq, membership.read_n
    n = connection.execute(
        select(func.max(events.c.n)).where(events.c.conv_id == id_, events.c.seq <= seq)
    ).scalar()
    read_n = max(membership.read_n, membership.visible_n, n or 0)
    connection.execute(
        update(members)
        .where(members.c.conv_id == id_, members.c.user_id == user)
        .values(read_seq=seq, read_n=read_n)
    )
    return seq, read_n


def _people(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(users).where(users.c.disabled.is_(False)).order_by(users.c.name)
    )
    return [
        {
            "id": str(row.id),
            "handle": row.handle,
            "name": row.name,
            "role": row.role,
            "created": row.created,
        }
        for row in rows
    ]


def _file(connection: Connection, user: UserId, id_: FileId) -> tuple[str, str] | None:
    row = connection.execute(
        select(files.c.key, files.c.mime)
        .join(file_links, file_links.c.file_id == files.c.id)
        .join(members, members.c.conv_id == file_links.c.conv_id)
        .where(
            files.c.id == id_,
            members.c.user_id == user,
            members.c.left_seq.is_(None),
            members.c.joined_seq <= file_links.c.seq,
        )
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.key, row.mime)
