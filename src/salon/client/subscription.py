"""Messages of one destination, as something to iterate over."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

from salon.client.errors import ClientError, TooSlow
from salon.stomp.frames import Frame


class Message:
    """A MESSAGE frame.

    Attributes:
        body: bytes, as they came.
    """

    __slots__ = ("_settle", "body", "frame")

    def __init__(
        self, frame: Frame, settle: "Callable[[str, Message], Awaitable[None]]"
    ) -> None:
        self.frame = frame
        self.body = frame.body
        self._settle = settle

    def __getitem__(self, name: str) -> str:
        """A header's value.

        Raises:
            KeyError: there is none of this name.
        """
        value = self.frame.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: str, default: str | None = None) -> str | None:
        """A header's value, or ``default``."""
        return self.frame.get(name, default)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def redelivered(self) -> bool:
        """Whether somebody had it before and did not acknowledge it."""
        return self.frame.get("redelivered") == "true"

    async def ack(self) -> None:
        """Say that it was dealt with; returns when the server knows."""
        await self._settle("ACK", self)

    async def nack(self) -> None:
        """Give it back: it comes again, to somebody, or becomes a dead letter."""
        await self._settle("NACK", self)


class Subscription:
    """One destination; iterate over it, leave its ``async with`` to unsubscribe.

    After a lost connection it subscribes again, from the last message on where the
    server keeps them: ``gaps`` counts the times that the server said it could not.

    Args:
        destination, ack, headers: of the SUBSCRIBE frame.
        buffer: messages that may wait for the iteration.
        leave: ends it.
    """

    def __init__(
        self,
        id_: str,
        destination: str,
        ack: str,
        headers: dict[str, str],
        buffer: int,
        leave: "Callable[[Subscription], Awaitable[None]]",
    ) -> None:
        self.id = id_
        self.destination = destination
        self.ack = ack
        self.headers = headers
        self.gaps = 0
        self.last: str | None = None
        self._leave = leave
        self._waiting: deque[Message] = deque()
        self._most = buffer
        self._news = asyncio.Event()
        self._ended: ClientError | None = None
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message.

        Raises:
            Refused, Disconnected, TooSlow: why there are no more.
        """
        while not self._waiting:
            if self._ended is not None:
                raise self._ended
            if self._over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.unsubscribe()

    async def unsubscribe(self) -> None:
        """Get no more; what waits can still be read."""
        if not self._over:
            self._over = True
            self._news.set()
            await self._leave(self)

    # ------------------------------------------------------------ the client calls

    def put(self, message: Message) -> None:
        """A message came."""
        if self._over or self._ended is not None:
            return
        if len(self._waiting) >= self._most:
            self.end(TooSlow(f"{self._most} messages of {self.destination} wait"))
            return
        self.last = message.get("message-id")
        self._waiting.append(message)
        self._news.set()

    def subscribed(self, receipt: Frame) -> None:
        """The server has it; maybe not all since the last time."""
        if receipt.get("gap") == "true" and self.last is not None:
            self.gaps += 1
        if self.last is None:
            self.last = receipt.get("position")

    def end(self, why: ClientError) -> None:
        """There will be no more, because of this."""
        self._ended = self._ended or why
        self._news.set()
