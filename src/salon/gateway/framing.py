"""How messages are put into WebSocket messages.

*Plain*: a message is a WebSocket message. *SockJS*: a message is a string in
``a[...]``. One object of each serves all connections and remembers what it made last:
subscribers of one room get the same objects in the same tick, so what was made for
one of them usually serves the next. Comparing lists of identical objects is a few
pointer comparisons.

Text or binary: a server that sends text which is not UTF-8 has its connection closed
(RFC 6455, 8.1), and some clients take only what they speak themselves. So a message
is text where it is UTF-8, and binary else; a peer that speaks binary is answered in
binary (``answering``).
"""

from typing import Final, Protocol

from salon.sockjs import frames as sockjs

TEXT: Final = 0x1
BINARY: Final = 0x2


def data_frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked, final data frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (0x80 | opcode, size, payload)
    if size < 65536:
        return b"%c\x7e%b%b" % (0x80 | opcode, size.to_bytes(2), payload)
    return b"%c\x7f%b%b" % (0x80 | opcode, size.to_bytes(8), payload)


def is_text(message: bytes) -> bool:
    """Whether a text frame may carry ``message``."""
    if message.isascii():
        return True
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


class Framing(Protocol):
    """How messages are put into WebSocket messages."""

    opening: bytes | None
    """A WebSocket message that says that the connection is open."""

    def answering(self, *, binary: bool) -> "Framing":
        """The framing for a peer whose last message was binary, or text."""

    def one(self, message: bytes) -> tuple[int, bytes]:
        """Opcode and payload of the WebSocket message that carries ``message``."""

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

    def __init__(self, *, binary: bool = False) -> None:
        """Every message is ``binary``, or only those that cannot be text."""
        self._binary = binary
        self._last: tuple[int, bytes] = (BINARY if binary else TEXT, b"")
        self._batch: list[bytes] = []
        self._frames = b""

    def answering(self, *, binary: bool) -> Framing:
        return PLAIN_BINARY if binary else PLAIN

    def one(self, message: bytes) -> tuple[int, bytes]:
        if message is not self._last[1]:
            self._last = (self._opcode(message), message)
        return self._last

    def many(self, batch: list[bytes]) -> bytes:
        if batch is not self._batch and batch != self._batch:
            self._frames = b"".join(
                [data_frame(self._opcode(message), message) for message in batch]
            )
            self._batch = batch
        return self._frames

    def decode(self, payload: bytes) -> list[bytes]:
        return [payload]

    def farewell(self, code: int, reason: str) -> bytes | None:
        return None

    def heartbeat(self) -> bytes | None:
        return None

    def _opcode(self, message: bytes) -> int:
        return TEXT if not self._binary and is_text(message) else BINARY


class SockJs:
    """Messages are strings in ``a[...]``."""

    opening: bytes | None = sockjs.OPEN

    def __init__(self) -> None:
        self._batch: list[bytes] = []
        self._payload = b""

    def answering(self, *, binary: bool) -> Framing:
        return self

    def one(self, message: bytes) -> tuple[int, bytes]:
        return TEXT, self._array([message])

    def many(self, batch: list[bytes]) -> bytes:
        return data_frame(TEXT, self._array(batch))

    def decode(self, payload: bytes) -> list[bytes]:
        return sockjs.decode(payload, bare=True) if payload else []

    def farewell(self, code: int, reason: str) -> bytes | None:
        return sockjs.close(code, reason)

    def heartbeat(self) -> bytes | None:
        return sockjs.HEARTBEAT

    def _array(self, batch: list[bytes]) -> bytes:
        if batch is not self._batch and batch != self._batch:
            self._payload = sockjs.messages(batch)
            self._batch = batch
        return self._payload


PLAIN: Final = Plain()
PLAIN_BINARY: Final = Plain(binary=True)
SOCKJS: Final = SockJs()
