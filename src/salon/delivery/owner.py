"""The owner: applies the commands of its partitions, one after another.

Theory of operation
-------------------
The consumer group gives each partition of ``commands`` to one server; on one machine
that is the only one. All commands of a conversation are in one partition, so its
owner alone gives out its numbers, and needs no lock.

A batch of records, of all partitions that have some, is applied in **one SQL
transaction**, which also moves each partition's ``next_offset``. Either all of it
happened, or nothing; after a crash the owner starts at the stored offsets. What a record leads to depends only on the record
and on the state before it, so a replay gives the same numbers.

*Fencing.* Claiming a partition raises its stored ``term``. An owner that was replaced
while it slept finds a higher term in its transaction and stops (``Fenced``).

*Idempotency.* (conversation, sender, client id) is unique for ever. A repeated
command finds the first one's event and answers with it; with another content it is
refused (409).

*Poison.* A record that no rule understands, or whose rule breaks, parks its
partition: it is named in the log and in ``salon_parked_partitions``, and nothing after
it is applied. Skipping would break "nothing is lost" in silence. A database that is
busy or full is not poison: the batch is tried again.

After the commit, and only then, the outcomes go to ``delivered``: answers to waiting
senders and events to devices.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from salon import ids, metrics
from salon.chat.commands import Command
from salon.chat.conversations import Conversation, unknown
from salon.chat.events import Draft, Event
from salon.chat.ports import Ledger as ChatLedger
from salon.chat.ports import Outcome
from salon.delivery.rules import RULES, Exists, decoder
from salon.errors import Error, Refusal, Unavailable
from salon.eventlog.ports import Record
from salon.ids import ConversationId, MessageId, UserId

log = structlog.get_logger("salon.owner")

_APPLIED = {kind: metrics.commands.labels(kind.__name__, "applied") for kind in RULES}

CONSUMER = "owner"
RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Fenced(Error):
    """Another server owns ``partition`` now."""

    def __init__(self, partition: int, stored: int, term: int) -> None:
        super().__init__(f"partition {partition} has term {stored}, not {term}")
        self.partition = partition


class Parked(Error):
    """A record cannot be applied; the partition waits for people."""


class Ledger(ChatLedger, Protocol):
    """The store's transaction, with what only the owner needs."""

    def fence(self, consumer: str, terms: Mapping[int, int]) -> dict[int, int]:
        """Of each partition the offset that comes next.

        Raises:
            Fenced: ours; a partition has a higher term than the one in ``terms``.
        """
        ...

    def advance(self, consumer: str, offsets: Mapping[int, int]) -> None:
        """Of each partition the offset that now comes next."""
        ...

    def prefetch(self, commands: Sequence[Command]) -> None: ...
    def event_of(
        self, conversation: ConversationId, sender: UserId, client_id: str
    ) -> tuple[Event, bytes] | None: ...
    def first_event(self, conversation: ConversationId) -> Event: ...


class Ledgers(Protocol):
    """Opens the store's transaction for the owner."""

    async def transact(self, work: Callable[[Ledger], list[Outcome]]) -> list[Outcome]:
        """Run ``work`` in a thread, in one transaction.

        Raises:
            Unavailable: ours; nothing was stored, the same work may be tried again.
        """
        ...

    async def claim(self, consumer: str, partition: int) -> tuple[int, int]:
        """Take a partition: raise its term; (next offset, term)."""
        ...


class Owner:
    """Applies what the log gives it; one per server."""

    def __init__(
        self, ledgers: Ledgers, delivered: Callable[[Sequence[Outcome]], None]
    ) -> None:
        self._ledgers = ledgers
        self._delivered = delivered
        self._terms: dict[int, int] = {}
        self._parked: dict[int, str] = {}

    @property
    def parked(self) -> dict[int, str]:
        """Partition → why it stopped; shown by ``/readyz``."""
        return dict(self._parked)

    async def assigned(self, partition: int) -> int:
        """The log gave us ``partition``: claim it; the offset to start from."""
        offset, term = await self._ledgers.claim(CONSUMER, partition)
        self._terms[partition] = term
        log.debug("owner.assigned", partition=partition, offset=offset, term=term)
        return offset

    async def revoked(self, partition: int) -> None:
        """The log took ``partition`` away: apply nothing of it any more."""
        self._terms.pop(partition, None)
        self._parked.pop(partition, None)
        metrics.parked.set(len(self._parked))

    async def records(self, records: Sequence[Record]) -> None:
        """Apply a batch; returns when its outcomes are stored and handed on."""
        mine = [record for record in records if self._applies(record.partition)]
        if not mine:
            return
        try:
            outcomes = await self._stored(mine)
        except Fenced as error:
            log.warning("owner.fenced", partition=error.partition)
            self._terms.pop(error.partition, None)
            await self.records(mine)  # the others are still ours
        except Parked as error:
            if len(mine) > 1:  # what stands before the poison is still good
                for record in mine:
                    await self.records([record])
                return
            self._park(mine[0].partition, str(error))
        else:
            self._delivered(outcomes)

    def _applies(self, partition: int) -> bool:
        return partition in self._terms and partition not in self._parked

    def _park(self, partition: int, reason: str) -> None:
        self._parked[partition] = reason
        metrics.parked.set(len(self._parked))
        log.critical("owner.parked", partition=partition, reason=reason)

    async def _stored(self, records: Sequence[Record]) -> list[Outcome]:
        terms = {record.partition: self._terms[record.partition] for record in records}

        def work(ledger: Ledger) -> list[Outcome]:
            return apply(ledger, terms, records)

        tries = 0
        while True:
            try:
                with metrics.apply_batch.time():
                    return await self._ledgers.transact(work)
            except Unavailable as error:
                wait = RETRY_S[min(tries, len(RETRY_S) - 1)]
                tries += 1
                log.warning("owner.retry", why=str(error), wait_s=wait)
                await asyncio.sleep(wait)


def apply(
    ledger: Ledger, terms: Mapping[int, int], records: Sequence[Record]
) -> list[Outcome]:
    """Apply records within an open transaction; their outcomes, in order.

    ``terms`` are those under which this server claimed the records' partitions.

    Raises:
        Fenced: ours; another server has the partition.
        Parked: a record is no command, or its rule broke.
    """
    expected = ledger.fence(CONSUMER, terms)
    fresh = [
        record for record in records if record.offset >= expected[record.partition]
    ]
    if not fresh:
        return []
    commands = [_decoded(record) for record in fresh]
    ledger.prefetch(commands)
    outcomes = []
    for record, command in zip(fresh, commands, strict=True):
        try:
            outcomes.append(_apply(ledger, record.partition, record.offset, command))
        except (Error, AssertionError, LookupError, TypeError, ValueError) as error:
            raise Parked(f"{record.partition}@{record.offset}: {error!r}") from error
    ledger.advance(CONSUMER, {record.partition: record.offset + 1 for record in fresh})
    return outcomes


def _decoded(record: Record) -> Command:
    try:
        command: Command = decoder.decode(record.value)
    except ValueError as error:
        where = f"{record.partition}@{record.offset}"
        raise Parked(f"{where} is no command: {error}") from error
    return command


def _apply(ledger: Ledger, partition: int, offset: int, command: Command) -> Outcome:
    earlier = ledger.event_of(command.conversation, command.sender, command.client_id)
    digest = command.digest()
    if earlier is not None:
        event, first_digest = earlier
        if first_digest != digest:
            return Outcome(command=command, refusal=_key_reused())
        return Outcome(command=command, event=event, duplicate=True)
    conversation = ledger.conversation(command.conversation)
    rule: Any = RULES[type(command)]
    before = () if conversation is None else tuple(conversation.members)
    try:
        if conversation is None and not _makes_one(command):
            raise unknown()
        draft: Draft = rule(ledger, conversation, command)
    except Refusal as refusal:
        metrics.commands.labels(type(command).__name__, refusal.code).inc()
        return Outcome(command=command, refusal=refusal)
    except Exists:
        first = ledger.first_event(command.conversation)
        return Outcome(command=command, event=first, duplicate=True)
    conversation = conversation or ledger.conversation(command.conversation)
    assert conversation is not None
    event = number(conversation, draft, command, partition, offset)
    ledger.add_event(event, digest, draft.merge)
    _APPLIED[type(command)].inc()
    return Outcome(
        command=command,
        event=event,
        recipients=tuple(conversation.members),
        removed=tuple(user for user in before if user not in conversation.members),
    )


def number(
    conversation: Conversation,
    draft: Draft,
    command: Command,
    partition: int,
    offset: int,
) -> Event:
    """Give a draft the conversation's next numbers."""
    conversation.last_seq += 1
    if draft.counts:
        conversation.last_n += 1
    conversation.ts = max(command.ts, conversation.ts)
    return Event(
        type=draft.type,
        conversation=conversation.id,
        seq=conversation.last_seq,
        n=conversation.last_n if draft.counts else None,
        id=MessageId(ids.time_ordered(conversation.ts, partition, offset)),
        sender=command.sender,
        client_id=command.client_id,
        ts=conversation.ts,
        target=draft.target,
        body=draft.body,
    )


def _makes_one(command: Command) -> bool:
    from salon.chat.commands import CreateConversation

    return isinstance(command, CreateConversation)


def _key_reused() -> Refusal:
    return Refusal(
        "client_id_reused",
        "This client id was used for something else; make a new one.",
        field="client_id",
        status=409,
    )
