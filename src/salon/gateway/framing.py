"""How messages are put into WebSocket messages.

*Plain*: a message is a WebSocket message. *SockJS*: a message is a string in
``a[...]``. One object of each serves all connections and remembers what it made last:
subscribers of one room get the same objects in the same tick, so what was made for
one of them usually serves the next. Comparing lists of identical objects is a few
pointer comparisons.
"""

from typing import Protocol

from salon.sockjs import frames as sockjs


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), payload)


class Framing(Protocol):
    """How messages are put into WebSocket messages."""

    opening: bytes | None
    """A WebSocket message that says that the connection is open."""

    def one(self, message: bytes) -> bytes:
        """The payload of the WebSocket message that carries ``message``."""

    def many(self, batch: list[bytes]) -> bytes:
        """Complete WebSocket frames that carry ``batch`` in order."""

    def decode(self, payload: bytes) -> list[bytes]:
        """The messages in one WebSocket message.

        Raises:
            ValueError: theirs; not of this framing.
        """

    def farewell(self, code: int, reason: str) -> bytes | None:
        """A WebSocket message that goes before CLOSE."""

    def heartbeat(self) -> bytes | None:
        """A WebSocket message for idle times; None: a PING frame does."""


class Plain:
    """A message is a WebSocket message."""

    opening: bytes | None = None

    def __init__(self) -> None:
        self._batch: list[bytes] = []
        self._frames = b""

    def one(self, message: bytes) -> bytes:
        return message

    def many(self, batch: list[bytes]) -> bytes:
        if batch != self._batch:
            self._frames = b"".join(map(text_frame, batch))
            self._batch = batch
        return self._frames

    def decode(self, payload: bytes) -> list[bytes]:
        return [payload]

    def farewell(self, code: int, reason: str) -> bytes | None:
        return None

    def heartbeat(self) -> bytes | None:
        return None


class SockJs:
    """Messages are strings in ``a[...]``."""

    opening: bytes | None = sockjs.OPEN

    def __init__(self) -> None:
        self._batch: list[bytes] = []
        self._payload = b""

    def one(self, message: bytes) -> bytes:
        return self._array([message])

    def many(self, batch: list[bytes]) -> bytes:
        return text_frame(self._array(batch))

    def decode(self, payload: bytes) -> list[bytes]:
        return sockjs.decode(payload, bare=True) if payload else []

    def farewell(self, code: int, reason: str) -> bytes | None:
        return sockjs.close(code, reason)

    def heartbeat(self) -> bytes | None:
        return sockjs.HEARTBEAT

    def _array(self, batch: list[bytes]) -> bytes:
        if batch != self._batch:
            self._payload = sockjs.messages(batch)
            self._batch = batch
        return self._payload
