"""A connection from this broker to another one: one request in flight, in order."""

import asyncio
import contextlib
from collections.abc import Callable
from itertools import count

from salon.broker.errors import ProtocolError
from salon.broker.protocol.versions import API_VERSIONS, KNOWN
from salon.broker.replication.wire import frame

Address = tuple[str, int]

LARGEST_ANSWER = 100 << 20
"""``socket.request.max.bytes`` by default: no answer between brokers is longer."""


class PeerAway(Exception):
    """The other broker does not answer; nothing is known about the last request."""


class Peer:
    """Connects when first asked, and again after a failure.

    Args:
        address: where the other is now; None while nobody knows.
        timeout_s: how long an answer may take.
    """

    def __init__(self, address: Callable[[], Address | None], timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._correlation = count(1)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def ask(
        self, key: int, version: int, body: bytes, timeout_s: float | None = None
    ) -> memoryview:
        """Send a request; the body of its answer.

        Raises:
            PeerAway: ours; it was not reached, or did not answer.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s or self._timeout_s):
                    return await self._ask(key, version, body)
            except (OSError, EOFError, TimeoutError, ProtocolError) as error:
                self.close()
                raise PeerAway(f"{type(error).__name__}: {error}") from error
            except BaseException:
                self.close()  # cancelled in the middle: the next answer is not ours
                raise

    async def _ask(self, key: int, version: int, body: bytes) -> memoryview:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the other has ended since; by now it may be back
        if self._streams is None:
            address = self._address()
            if address is None:
                raise ConnectionError("its address is not known")
            self._streams = await asyncio.open_connection(*address, limit=1 << 20)
        reader, writer = self._streams
        correlation = next(self._correlation)
        flexible = version >= KNOWN[key].flexible
        writer.write(frame(key, version, flexible, correlation, body))
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(4), "big")
        if not 4 <= size <= LARGEST_ANSWER:
            raise ProtocolError(f"an answer of {size} bytes")
        answer = memoryview(bytearray(await reader.readexactly(size)))
        if int.from_bytes(answer[:4], "big") != correlation:
            raise ProtocolError("an answer to another request")
        tagged = flexible and key != API_VERSIONS
        return answer[5:] if tagged else answer[4:]

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._streams is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closing
                self._streams[1].close()
            self._streams = None
