"""SockJS over HTTP, for networks that let no WebSocket through (sockjs-protocol 0.3.3).

Two connections carry a session. One *receives*: ``xhr_streaming`` is one long answer
with a frame a line; ``xhr`` is an answer for each frame, for proxies that keep an
answer to themselves until it is complete. The other *sends*: what waits goes out
together, one request after another, so that order is kept.

SockJS carries text. A STOMP frame that is not UTF-8 is refused here; from the server it
comes with ``U+FFFD`` in place of what is none.
"""

import asyncio
import contextlib
import json
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from salon.client.errors import ClientError, Disconnected
from salon.client.http import Connection, Cookies
from salon.client.wire import OnClose, OnData

STREAMING: Final = "xhr-streaming"
POLLING: Final = "xhr-polling"

_PATHS: Final = {STREAMING: "xhr_streaming", POLLING: "xhr"}
_FRAME_MAX: Final = 1 << 25
"""Bytes of one line: a frame of 16 MiB, escaped."""
_LINGER: Final = 2.0
"""Seconds for what waits when it is closed."""
_BATCH: Final = 64 * 1024
"""Bytes of messages that one request carries, or one message more."""


class SockJsWire:
    """One session; ``open`` makes it."""

    def __init__(
        self,
        base: str,
        transport: str,
        on_data: OnData,
        on_close: OnClose,
        headers: Sequence[tuple[str, str]],
    ) -> None:
        parts = urlsplit(base)
        cookies = Cookies()
        self._transport = transport
        self._on_data = on_data
        self._on_close = on_close
        self._receiver = Connection(parts, headers, cookies)
        self._sender = Connection(parts, headers, cookies)
        self._base = parts.path.rstrip("/")
        server, session = random.randrange(1000), secrets.token_hex(8)
        self._path = f"{self._base}/{server:03}/{session}"
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._opened = asyncio.Event()
        self._closing = False
        self._over = True  # nobody has it yet: nobody is told of its end
        self._why: Disconnected | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls,
        base: str,
        transport: str,
        on_data: OnData,
        on_close: OnClose,
        headers: Sequence[tuple[str, str]] = (),
    ) -> "SockJsWire":
        """Open a session below ``base`` (``http://host/ws``).

        Raises:
            Disconnected: theirs or the network's; there is no SockJS.
        """
        wire = cls(base, transport, on_data, on_close, headers)
        try:
            await wire._ask_info()
            await wire._begin()
            wire._over = False
        except BaseException:
            wire._drop()
            raise
        return wire

    def send(self, data: bytes) -> None:
        """Put one frame on its way.

        Raises:
            ClientError: ours; it is not text.
        """
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise ClientError(
                f"{self._transport} carries text only, and this is not UTF-8"
            ) from error
        if not self._closing:
            self._waiting.append(data)
            self._news.set()

    def close(self) -> None:
        """Send what waits, then end."""
        self._closing = True
        self._news.set()
        loop = asyncio.get_running_loop()
        loop.call_later(_LINGER, self._end, Disconnected(1000, "closed"))

    # ------------------------------------------------------------ inside

    async def _ask_info(self) -> None:
        """Whether there is SockJS, and which cookies it wants."""
        answer = await self._sender.ask("GET", f"{self._base}/info")
        body = await answer.read()
        try:
            is_info = answer.status == 200 and "websocket" in json.loads(body)
        except (ValueError, TypeError):
            is_info = False
        if not is_info:
            raise Disconnected(1006, f"no SockJS at {self._base} ({answer.status})")

    async def _begin(self) -> None:
        receiving = asyncio.create_task(self._run(self._receive()))
        self._tasks.append(receiving)
        opened = asyncio.create_task(self._opened.wait())
        try:
            await asyncio.wait({receiving, opened}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
        if self._why is not None:
            raise self._why
        self._tasks.append(asyncio.create_task(self._run(self._send())))

    async def _run(self, part: Coroutine[Any, Any, Disconnected]) -> None:
        """One half of the session; the end of either is the end of both."""
        try:
            why = await part
        except Disconnected as error:
            why = error
        self._end(why)

    async def _receive(self) -> Disconnected:
        while True:
            async for frame in self._frames():
                if frame.startswith(b"o"):
                    self._opened.set()
                elif frame.startswith(b"a"):
                    for message in _messages(frame):
                        self._on_data(message)
                elif frame.startswith(b"c"):
                    return _farewell(frame)

    async def _frames(self) -> AsyncIterator[bytes]:
        """The frames of one request."""
        answer = await self._receiver.ask(
            "POST", f"{self._path}/{_PATHS[self._transport]}"
        )
        if answer.status != 200:
            raise Disconnected(1006, f"{self._transport}: HTTP {answer.status}")
        line = bytearray()
        async for part in answer.parts():
            *lines, rest = part.split(b"\n")
            for each in lines:
                yield bytes(line + each)
                line.clear()
            line += rest
            if len(line) > _FRAME_MAX:
                raise Disconnected(1009, f"a frame of more than {_FRAME_MAX} bytes")

    async def _send(self) -> Disconnected:
        while True:
            while not self._waiting and not self._closing:
                self._news.clear()
                await self._news.wait()
            if not self._waiting:
                return Disconnected(1000, "closed")
            answer = await self._sender.ask(
                "POST", f"{self._path}/xhr_send", self._batch()
            )
            await answer.read()
            if answer.status not in (200, 204):
                raise Disconnected(1006, f"xhr_send: HTTP {answer.status}")

    def _batch(self) -> bytes:
        batch, size = [], 0
        while self._waiting and size < _BATCH:
            data = self._waiting.popleft()
            size += len(data)
            batch.append(data.decode())
        return json.dumps(batch).encode()

    def _end(self, why: Disconnected) -> None:
        self._drop()
        self._why = self._why or why
        if not self._over:
            self._over = True
            self._on_close(why)

    def _drop(self) -> None:
        self._closing = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        for connection in (self._receiver, self._sender):
            with contextlib.suppress(Exception):
                connection.close()


def _messages(frame: bytes) -> list[bytes]:
    """The messages of an ``a`` frame.

    Raises:
        Disconnected: theirs; it is none.
    """
    try:
        found = json.loads(frame[1:])
        return [message.encode("utf-8", "replace") for message in found]
    except (ValueError, TypeError, AttributeError) as error:
        raise Disconnected(1002, f"no SockJS frame: {frame[:40]!r}") from error


def _farewell(frame: bytes) -> Disconnected:
    """What a ``c`` frame says."""
    try:
        code, reason = json.loads(frame[1:])
        return Disconnected(int(code), str(reason))
    except (ValueError, TypeError):
        return Disconnected(1002, f"no SockJS frame: {frame[:40]!r}")
