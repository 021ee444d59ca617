"""This server's own topic: what its connections are to be told by other servers."""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from salon.chat.ports import Applied
from salon.delivery.fanout import Answered, Template, Told, refusal_of
from salon.delivery.receipts import Receipts
from salon.eventlog import topics
from salon.eventlog.ports import EventLog, Record

log = structlog.get_logger("salon.inbox")

_decoder = msgspec.msgpack.Decoder(Told | Answered)


class Inbox:
    """Follows ``node.<server>`` and hands on what it says."""

    def __init__(
        self,
        server: str,
        event_log: EventLog,
        template: Template,
        receipts: Receipts,
    ) -> None:
        self._topic = topics.node(server)
        self._log = event_log
        self._template = template
        self._receipts = receipts

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow until cancelled; ``ready()`` when nothing can be missed."""
        await self._log.tail(self._topic.name, self._heard, ready)

    async def _heard(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                said = _decoder.decode(record.value)
            except ValueError as error:
                log.warning("inbox.unreadable", offset=record.offset, why=str(error))
                continue
            if isinstance(said, Told):
                self._template.send_to_users(
                    said.users,
                    said.destination,
                    said.body,
                    droppable=said.droppable,
                    coalesce=said.coalesce,
                )
            elif said.event is not None:
                self._receipts.answer(said.id, Applied(said.event, said.duplicate))
            else:
                self._receipts.answer(said.id, refusal_of(said))
