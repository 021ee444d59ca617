"""The owner's transaction over SQLite or PostgreSQL.

``SqlLedger`` buffers what a batch writes and sends it with ``executemany`` at the end
(``flush``), so that a batch of 500 messages costs a dozen statements. States of
conversations stay in memory between batches: only the owner changes them, and a
transaction that fails throws the whole memory away.

What every batch says to the database is built once, here above: building a statement
costs SQLAlchemy as much as running it, and a lone message waits for all of them.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    bindparam,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy import insert as plain_insert

from salon.chat.commands import Command
from salon.chat.conversations import Conversation, Member
from salon.chat.events import Event
from salon.chat.ports import Outcome
from salon.delivery.owner import Fenced
from salon.ids import ConversationId, MessageId, UserId
from salon.store.database import Database
from salon.store.pictures import PictureRows
from salon.store.schema import applied, conversations, events, members, users

STATES_MAX = 10_000
"""Conversations kept in memory by the owner (about 1 KB each, and their members)."""

_json = msgspec.json.Encoder()
_parse = msgspec.json.decode

_progress = select(
    applied.c.partition,
    applied.c.next_offset,
    applied.c.term,
    select(func.max(events.c.rev)).scalar_subquery().label("rev"),
).where(applied.c.consumer == bindparam("b_consumer"))
_advance = (
    update(applied)
    .where(applied.c.consumer == bindparam("b_consumer"))
    .where(applied.c.partition == bindparam("b_partition"))
    .values(next_offset=bindparam("b_next"))
)

_same_keys = select(events).where(
    tuple_(events.c.conv_id, events.c.sender_id, events.c.client_id).in_(
        bindparam("b_keys", expanding=True)
    )
)
_insert_events = plain_insert(events)
_update_conversations = (
    update(conversations)
    .where(conversations.c.id == bindparam("b_id"))
    .values(
        last_seq=bindparam("b_last_seq"),
        last_n=bindparam("b_last_n"),
        last_rev=bindparam("b_last_rev"),
        ts=bindparam("b_ts"),
        owner_id=bindparam("b_owner"),
    )
)
_own_cursor = (
    update(members)
    .where(members.c.conv_id == bindparam("b_conv"))
    .where(members.c.user_id == bindparam("b_user"))
    .where(members.c.read_seq < bindparam("b_seq"))
    .values(read_seq=bindparam("b_seq"), read_n=bindparam("b_n"))
)

Key = tuple[int, int, str]


class States(OrderedDict[int, Conversation]):
    """The conversations that the owner remembers, oldest use first."""

    def remember(self, conversation: Conversation) -> None:
        self[conversation.id] = conversation
        self.move_to_end(conversation.id)
        while len(self) > STATES_MAX:
            self.popitem(last=False)


class SqlLedgers:
    """Opens transactions for the owner; see ``delivery.owner.Ledgers``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._states = States()

    async def transact(
        self, work: Callable[["SqlLedger"], list[Outcome]]
    ) -> list[Outcome]:
        def run(connection: Connection) -> list[Outcome]:
            ledger = SqlLedger(connection, self._states)
            outcomes = work(ledger)
            ledger.flush()
            return outcomes

        try:
            return await self._database.write(run)
        except BaseException:
            self._states.clear()
            raise

    async def claim(self, consumer: str, partition: int) -> tuple[int, int]:
        self._states.clear()
        return await self._database.write(_claim, consumer, partition)


def _claim(connection: Connection, consumer: str, partition: int) -> tuple[int, int]:
    here = (applied.c.consumer == consumer) & (applied.c.partition == partition)
    row = connection.execute(
        select(applied.c.next_offset, applied.c.term).where(here)
    ).one_or_none()
    if row is None:
        connection.execute(
            plain_insert(applied).values(
                consumer=consumer, partition=partition, next_offset=0, term=1
            )
        )
        return 0, 1
    connection.execute(update(applied).where(here).values(term=row.term + 1))
    return row.next_offset, row.term + 1


class SqlLedger(PictureRows):
    """One open transaction; ``flush`` before its end."""

    def __init__(self, connection: Connection, states: States) -> None:
        super().__init__(connection)
        self._connection = connection
        self._states = states
        self._known: dict[Key, tuple[Event, bytes]] = {}
        self._asked: set[Key] = set()
        self._new_events: list[dict[str, Any]] = []
        self._touched: dict[int, Conversation] = {}
        self._cursors: dict[tuple[int, int], tuple[int, int]] = {}
        self._merges: list[tuple[int, int, dict[str, Any]]] = []
        self._rev: int = 0

    # --- fencing and progress

    def fence(self, consumer: str, terms: Mapping[int, int]) -> dict[int, int]:
        next_offsets = {}
        for row in self._connection.execute(_progress, {"b_consumer": consumer}):
            term = terms.get(row.partition)
            if term is None:
                continue
            if row.term > term:
                raise Fenced(row.partition, row.term, term)
            next_offsets[row.partition] = row.next_offset
            self._rev = row.rev or 0
        return next_offsets

    def advance(self, consumer: str, offsets: Mapping[int, int]) -> None:
        self._connection.execute(
            _advance,
            [
                {"b_consumer": consumer, "b_partition": partition, "b_next": offset}
                for partition, offset in offsets.items()
            ],
        )

    # --- idempotency

    def prefetch(self, commands: Sequence[Command]) -> None:
        keys = {(c.conversation, c.sender, c.client_id) for c in commands}
        self._asked |= keys
        wanted = list(keys)
        for start in range(0, len(wanted), 300):  # SQLite takes 999 parameters
            rows = self._connection.execute(
                _same_keys, {"b_keys": wanted[start : start + 300]}
            )
            for row in rows:
                event = event_of_row(row)
                key = (event.conversation, event.sender, row.client_id)
                self._known[key] = (event, row.digest)

    def event_of(
        self, conversation: ConversationId, sender: UserId, client_id: str
    ) -> tuple[Event, bytes] | None:
        key = (conversation, sender, client_id)
        assert key in self._asked, "prefetch first"
        return self._known.get(key)

    def first_event(self, conversation: ConversationId) -> Event:
        for new in self._new_events:
            if new["conv_id"] == conversation and new["seq"] == 1:
                key = (conversation, new["sender_id"], new["client_id"])
                return self._known[key][0]
        row = self._connection.execute(
            select(events).where(events.c.conv_id == conversation, events.c.seq == 1)
        ).one()
        return event_of_row(row)

    # --- conversations

    def conversation(self, id: ConversationId) -> Conversation | None:  # noqa: A002
        found = self._states.get(id)
        if found is None:
            found = _load(self._connection, id)
            if found is None:
                return None
        self._states.remember(found)
        return found

    def add_conversation(self, conversation: Conversation) -> None:
        self._connection.execute(
            plain_insert(conversations).values(
                id=conversation.id,
                kind=conversation.kind,
                name=conversation.name,
                owner_id=conversation.owner,
                pair_key=conversation.pair_key,
                last_seq=0,
                last_n=0,
                last_rev=0,
                created=conversation.created,
                ts=conversation.created,
            )
        )
        self._connection.execute(
            plain_insert(members),
            [
                {
                    "conv_id": conversation.id,
                    "user_id": user,
                    "role": member.role,
                    "joined_seq": member.joined_seq,
                    "visible_n": 0,
                    "read_seq": 0,
                    "read_n": 0,
                }
                for user, member in conversation.members.items()
            ],
        )
        self._states.remember(conversation)

    def members_changed(self, conversation: Conversation) -> None:
        mine = members.c.conv_id == conversation.id
        stored = {
            row.user_id: row
            for row in self._connection.execute(select(members).where(mine))
        }
        for user, member in conversation.members.items():
            values = {
                "role": member.role,
                "joined_seq": member.joined_seq,
                "visible_n": member.visible_n,
                "left_seq": None,
            }
            row = stored.get(user)
            if row is None or row.left_seq is not None:  # (re)joins: nothing unread
                values["read_seq"] = member.joined_seq - 1
                values["read_n"] = member.visible_n
            if row is None:
                self._connection.execute(
                    plain_insert(members).values(
                        conv_id=conversation.id, user_id=user, **values
                    )
                )
            elif row.left_seq is not None or row.role != member.role:
                self._connection.execute(
                    update(members)
                    .where(mine, members.c.user_id == user)
                    .values(values)
                )
        for user, row in stored.items():
            if row.left_seq is None and UserId(user) not in conversation.members:
                self._connection.execute(
                    update(members)
                    .where(mine, members.c.user_id == user)
                    .values(left_seq=conversation.last_seq + 1)
                )

    def knows_users(self, users_: Iterable[UserId]) -> set[UserId]:
        found: set[UserId] = set()
        wanted = list(users_)
        for start in range(0, len(wanted), 500):
            rows = self._connection.execute(
                select(users.c.id).where(
                    users.c.id.in_(wanted[start : start + 500]),
                    users.c.disabled.is_(False),
                )
            )
            found |= {UserId(row.id) for row in rows}
        return found

    # --- events

    def add_event(
        self, event: Event, digest: bytes, merge: dict[str, Any] | None
    ) -> None:
        self._rev += 1
        self._new_events.append(
            {
                "conv_id": event.conversation,
                "seq": event.seq,
                "n": event.n,
                "msg_id": event.id,
                "rev": self._rev,
                "type": event.type,
                "sender_id": event.sender,
                "client_id": event.client_id,
                "target_seq": event.target,
                "digest": digest,
                "body": _json.encode(event.body),
                "ts": event.ts,
            }
        )
        assert event.client_id is not None
        key = (event.conversation, event.sender, event.client_id)
        self._known[key] = (event, digest)
        self._touched[event.conversation] = self._states[event.conversation]
        if event.n is not None:  # one has read what one says oneself
            self._cursors[(event.conversation, event.sender)] = (event.seq, event.n)
        if merge is not None and event.target is not None:
            self._merges.append((event.conversation, event.target, merge))

    def flush(self) -> None:
        """Send what the batch gathered."""
        if self._new_events:
            self._connection.execute(_insert_events, self._new_events)
        for conversation, seq, fields in self._merges:
            here = (events.c.conv_id == conversation) & (events.c.seq == seq)
            body = self._connection.execute(select(events.c.body).where(here)).scalar()
            assert body is not None
            self._connection.execute(
                update(events)
                .where(here)
                .values(body=_json.encode({**_parse(body), **fields}))
            )
        if self._touched:
            last_rev: dict[int, int] = {}
            for row in self._new_events:
                last_rev[row["conv_id"]] = row["rev"]
            self._connection.execute(
                _update_conversations,
                [
                    {
                        "b_id": state.id,
                        "b_last_seq": state.last_seq,
                        "b_last_n": state.last_n,
                        "b_last_rev": last_rev[state.id],
                        "b_ts": state.ts,
                        "b_owner": state.owner,
                    }
                    for state in self._touched.values()
                ],
            )
        if self._cursors:
            self._connection.execute(
                _own_cursor,
                [
                    {"b_conv": conversation, "b_user": user, "b_seq": seq, "b_n": n}
                    for (conversation, user), (seq, n) in self._cursors.items()
                ],
            )


def event_of_row(row: Any) -> Event:
    """An event from its row."""
    return Event(
        type=row.type,
        conversation=ConversationId(row.conv_id),
        seq=row.seq,
        n=row.n,
        id=MessageId(row.msg_id),
        sender=UserId(row.sender_id),
        client_id=row.client_id,
        ts=row.ts,
        target=row.target_seq,
        body=_parse(row.body),
    )


def _load(connection: Connection, id_: ConversationId) -> Conversation | None:
    row = connection.execute(
        select(conversations).where(conversations.c.id == id_)
    ).one_or_none()
    if row is None:
        return None
    present = connection.execute(
        select(members).where(members.c.conv_id == id_, members.c.left_seq.is_(None))
    )
    return Conversation(
        id=ConversationId(row.id),
        kind=row.kind,
        name=row.name,
        owner=UserId(row.owner_id),
        pair_key=row.pair_key,
        created=row.created,
        members={
            UserId(member.user_id): Member(
                member.role, member.joined_seq, member.visible_n
            )
            for member in present
        },
        last_seq=row.last_seq,
        last_n=row.last_n,
        ts=row.ts,
    )
