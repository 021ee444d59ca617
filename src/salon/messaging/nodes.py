"""What every server hears, and tells: the topic ``nodes``.

Two things travel there: messages that other processes send (``remote.Sent``), and who is
connected where (``registry.Report``). Records are msgpack; one that nobody understands
is logged and left behind, since who may write the log may also write nonsense.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from salon.errors import Refusal, Unavailable
from salon.eventlog import topics
from salon.eventlog.ports import EventLog, Position, Record
from salon.messaging.registry import (
    HEARTBEAT_S,
    MultiServerUserRegistry,
    Report,
    Wanted,
)
from salon.messaging.remote import Sent, deliver
from salon.messaging.template import MessagingTemplate

log = structlog.get_logger("salon.messaging")

_PAUSE_S: Final = 0.02
"""Between a change and its report: many connect at once when a server restarts."""

_AGAIN_S: Final = 0.5

_decoder = msgspec.msgpack.Decoder(Sent | Report | Wanted)


class Nodes:
    """Follows ``nodes`` for one server.

    Args:
        event_log: shared with the other servers.
        template: of this server.
        registry: of all servers; ``listen`` to this one's session events yourself.
    """

    def __init__(
        self,
        event_log: EventLog,
        template: MessagingTemplate,
        registry: MultiServerUserRegistry,
    ) -> None:
        self._log = event_log
        self._template = template
        self._registry = registry
        self._news = asyncio.Event()
        registry.on_change = self._news.set

    async def run(self, ready: Callable[[], None]) -> None:
        """Hear and tell until cancelled; ``ready()`` when nothing can be missed.

        Raises:
            Unavailable: ours; the log ended it. Run it again.
        """
        hearing = asyncio.Event()

        def heard_from_now_on() -> None:
            self._registry.begin_anew()
            hearing.set()
            ready()

        async def tell() -> None:
            await hearing.wait()
            await self._tell()

        tasks = {
            asyncio.create_task(
                self._log.tail(topics.NODES.name, self._heard, heard_from_now_on)
            ),
            asyncio.create_task(tell()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def keep(self, ready: Callable[[], None]) -> None:
        """``run`` until cancelled, again and again while the log is away."""
        while True:
            try:
                await self.run(ready)
            except Exception as error:  # whatever it was, the server goes on without
                log.warning("nodes.again", why=repr(error))
            await asyncio.sleep(_AGAIN_S)

    async def _heard(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                said = _decoder.decode(record.value)
            except ValueError as error:
                log.warning("nodes.unreadable", offset=record.offset, why=str(error))
                continue
            if isinstance(said, Sent):
                if said.node in (None, self._registry.node):
                    self._give(said, record.offset)
                continue
            wanted = self._registry.heard(said)
            if wanted is not None:
                await self._append(wanted)

    def _give(self, sent: Sent, offset: int) -> None:
        """Send what another process asked for; what is no message is logged."""
        try:
            deliver(self._template, sent)
        except Refusal as error:
            log.warning("nodes.refused", offset=offset, why=error.message)

    async def _tell(self) -> None:
        """Reports, soon after each change and at least every heart-beat."""
        try:
            while True:
                self._news.clear()
                for report in self._registry.reports():
                    await self._append(report)
                    await asyncio.sleep(0)  # a big one has many parts
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await self._news.wait()
                except TimeoutError:
                    continue
                await asyncio.sleep(_PAUSE_S)
        except asyncio.CancelledError:
            await self._append(self._registry.farewell())
            raise

    async def _append(self, said: Report | Wanted) -> None:
        try:
            durable = await self._log.append(
                topics.NODES.name, None, msgspec.msgpack.encode(said)
            )
        except Unavailable as error:
            self._missed(error)
        else:
            durable.add_done_callback(self._settled)

    def _settled(self, durable: "asyncio.Future[Position]") -> None:
        if not durable.cancelled() and (error := durable.exception()) is not None:
            self._missed(error)

    def _missed(self, error: BaseException) -> None:
        """The others lack a report: say everything, at the next heart-beat.

        Not at once: a log that takes nothing now must not be asked without a pause.
        """
        log.warning("nodes.not_told", why=str(error))
        self._registry.begin_anew(now=False)
