"""One broker, as the controller reaches it: an ordered queue, one request in flight.

(``ControllerChannelManager``.) A request is sent again until it is answered, because a
broker that misses one would lead or follow wrongly for ever; the queue ends with the
life of the broker (its *broker epoch*) that it was made for. A broker that lives but does
not do what it is told is ``behind`` when ``QUEUED_MAX`` requests wait: the controller ends
that life, and at its next registration it is told everything anew.
"""

import asyncio
import logging
from collections.abc import Callable

from salon.broker.errors import Code, ProtocolError
from salon.broker.replication import messages
from salon.broker.replication.peer import Address, Peer, PeerAway

log = logging.getLogger(__name__)

QUEUED_MAX = 1000
_RETRY_S = 0.1
_ANSWER_S = 10.0


class ControllerChannel:
    """Requests to one life of one broker.

    Args:
        broker: its id.
        epoch: its broker epoch.
        address: of its control listener.
    """

    def __init__(self, broker: int, epoch: int, address: Address) -> None:
        self.broker = broker
        self.epoch = epoch
        self._peer = Peer(lambda: address, _ANSWER_S)
        self._queue: asyncio.Queue[tuple[int, int, bytes]] = asyncio.Queue(QUEUED_MAX)
        self.behind = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, key: int, version: int, body: bytes) -> None:
        """Queue a request; one that does not fit leaves the broker ``behind``."""
        try:
            self._queue.put_nowait((key, version, body))
        except asyncio.QueueFull:
            self.behind = True

    async def settled(self) -> None:
        """Wait until everything queued so far is answered."""
        await self._queue.join()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._peer.close()
        while not self._queue.empty():  # who waits for them waits no more
            self._queue.get_nowait()
            self._queue.task_done()

    async def _run(self) -> None:
        while True:
            request = await self._queue.get()
            try:
                await self._insist(*request)
            finally:
                self._queue.task_done()

    async def _insist(self, key: int, version: int, body: bytes) -> None:
        while True:
            try:
                answer = await self._peer.ask(key, version, body)
                error = messages.error_of(answer)
            except (PeerAway, ProtocolError) as away:
                log.info("broker %d is told again: %s", self.broker, away)
                await asyncio.sleep(_RETRY_S)
                continue
            if error != Code.NONE:
                log.warning("broker %d answers %s", self.broker, _name(error))
            return


def _name(error: int) -> str:
    try:
        return Code(error).name
    except ValueError:
        return str(error)


Connect = Callable[[int, int, Address], ControllerChannel]
