"""From an applied command to every device that is connected.

Devices on this server are served at once and without a task: the event is encoded
once and handed to the template. For members whose devices are on other servers, one
record per *server* goes to that server's own topic, naming the users (S2's design:
never a broadcast to all servers). Absent members need nothing: history and cursors
are their inbox.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from salon import metrics
from salon.chat.commands import Command
from salon.chat.events import Event
from salon.chat.ports import Applied, Outcome
from salon.delivery.receipts import Receipts
from salon.errors import Refusal, Unavailable
from salon.eventlog.ports import EventLog
from salon.ids import UserId
from salon.routes.ports import Routes

log = structlog.get_logger("salon.fanout")

EVENTS = "/queue/events"
EPHEMERAL = "/queue/ephemeral"

HOPS_MAX = 10_000
"""Hops to other servers that may wait; beyond it durable ones make the owner wait,
ephemeral ones are dropped."""


class Template(Protocol):
    """``messaging.template.MessagingTemplate``, as far as it is needed here."""

    def send_to_users(
        self,
        user_ids: Sequence[str],
        destination: str,
        body: bytes,
        *,
        droppable: bool = False,
        coalesce: str | None = None,
    ) -> int: ...


class Told(msgspec.Struct, tag="told", frozen=True):
    """A record of a server's topic: tell these users this."""

    users: list[str]
    destination: str
    body: bytes
    droppable: bool = False
    coalesce: str | None = None


class Answered(msgspec.Struct, tag="answered", frozen=True):
    """A record of a server's topic: the outcome of a command that it waits for."""

    id: str
    event: Event | None
    duplicate: bool = False
    refusal: dict[str, object] | None = None
    status: int = 400


class Fanout:
    """Gives outcomes to waiting senders and events to devices.

    Args:
        server: this server's name.
        watchers: called with each outcome that made an event, after devices were
            told (caches to drop, pictures to draw).
    """

    def __init__(
        self,
        server: str,
        template: Template,
        receipts: Receipts,
        routes: Routes,
        event_log: EventLog,
    ) -> None:
        self._server = server
        self._template = template
        self._receipts = receipts
        self._routes = routes
        self._log = event_log
        self._hops: asyncio.Queue[tuple[list[str], Told]] = asyncio.Queue(HOPS_MAX)
        self._answers: asyncio.Queue[tuple[str, Answered]] = asyncio.Queue(HOPS_MAX)
        self.watchers: list[Callable[[Outcome], None]] = []

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Hand on what a batch led to, in its order; never waits."""
        for outcome in outcomes:
            if outcome.event is not None and not outcome.duplicate:
                self._event(outcome, outcome.event)
            self._answer(outcome.command, outcome)

    def notify(
        self, users: Sequence[UserId], body: bytes, *, coalesce: str | None = None
    ) -> None:
        """The ephemeral lane: may drop, may coalesce (``chat.Notices``)."""
        names = [str(user) for user in users]
        self._tell(Told(names, EPHEMERAL, body, droppable=True, coalesce=coalesce))

    def tell(self, users: Sequence[UserId], body: bytes) -> None:
        """What is not in the stream but must not drop (``chat.Notices``)."""
        self._tell(Told([str(user) for user in users], EVENTS, body))

    def _event(self, outcome: Outcome, event: Event) -> None:
        self.tell(outcome.recipients, event.as_json())
        if outcome.removed:
            gone = {
                "type": "conversation.removed",
                "conversation": str(event.conversation),
            }
            self.tell(outcome.removed, msgspec.json.encode(gone))
        for watcher in self.watchers:
            try:
                watcher(outcome)
            except Exception:
                log.exception("fanout.watcher", watcher=repr(watcher))

    def _tell(self, told: Told) -> None:
        self._template.send_to_users(
            told.users,
            told.destination,
            told.body,
            droppable=told.droppable,
            coalesce=told.coalesce,
        )
        if self._routes.alone:
            return
        try:
            self._hops.put_nowait((told.users, told))
        except asyncio.QueueFull:
            metrics.dropped.inc()
            log.warning("fanout.hops_full", destination=told.destination)

    def _answer(self, command: Command, outcome: Outcome) -> None:
        if command.node == self._server:
            if outcome.event is not None:
                applied = Applied(outcome.event, outcome.duplicate)
                self._receipts.answer(command.id, applied)
            elif outcome.refusal is not None:
                self._receipts.answer(command.id, outcome.refusal)
            return
        refusal = outcome.refusal
        answered = Answered(
            command.id,
            outcome.event,
            outcome.duplicate,
            None if refusal is None else refusal.as_json(),
            400 if refusal is None else refusal.status,
        )
        try:
            self._answers.put_nowait((command.node, answered))
        except asyncio.QueueFull:
            log.warning("fanout.answers_full", node=command.node)

    async def run(self) -> None:
        """Carry hops to other servers until cancelled."""
        await asyncio.gather(self._run_hops(), self._run_answers())

    async def _run_hops(self) -> None:
        while True:
            users, told = await self._hops.get()
            for server, there in self._routes.elsewhere(users).items():
                await self._append(server, msgspec.structs.replace(told, users=there))

    async def _run_answers(self) -> None:
        while True:
            server, answered = await self._answers.get()
            await self._append(server, answered)

    async def _append(self, server: str, record: Told | Answered) -> None:
        try:
            await self._log.append(
                f"node.{server}", None, msgspec.msgpack.encode(record)
            )
        except Unavailable as error:
            # the devices there catch up from history; the sender tries again
            log.warning("fanout.hop_lost", server=server, why=str(error))


def refusal_of(answered: Answered) -> Refusal:
    """The refusal that came from another server."""
    said = dict(answered.refusal or {})
    retry = said.get("retry_after")
    params = said.get("params")
    field = said.get("field")
    return Refusal(
        str(said.get("code", "refused")),
        str(said.get("message", "Refused.")),
        field=field if isinstance(field, str) else None,
        params=params if isinstance(params, dict) else None,
        retry_after=retry if isinstance(retry, float | int) else None,
        status=answered.status,
    )
