"""What a client holds back until its COMMIT.

A transaction is nothing but frames that wait: SEND, ACK and NACK with a
``transaction`` header are checked and kept, COMMIT gives them out together, ABORT and
the end of the connection forget them. So nothing has to be undone, ever.

All of a connection's transactions share one limit of frames and bytes: memory that
a client can fill without anybody reading it.
"""

from dataclasses import dataclass

from salon.stomp.errors import FrameTooLarge, UnexpectedFrame
from salon.stomp.events import Ack, Send


@dataclass(frozen=True, slots=True)
class TransactionLimits:
    """What the open transactions of one connection may hold together."""

    open: int = 16
    """Transactions."""
    frames: int = 1_000
    """SENDs, ACKs and NACKs."""
    bytes: int = 1024 * 1024
    """Their headers and bodies."""


class Transactions:
    """The open transactions of one connection."""

    __slots__ = ("_bytes", "_frames", "_limits", "_open")

    def __init__(self, limits: TransactionLimits) -> None:
        self._limits = limits
        self._open: dict[str, list[Send | Ack]] = {}
        self._frames = 0
        self._bytes = 0

    def begin(self, name: str) -> None:
        """Open a transaction.

        Raises:
            UnexpectedFrame: theirs; it is open already.
            FrameTooLarge: theirs; too many are open.
        """
        if name in self._open:
            raise UnexpectedFrame(f"transaction {name!r} has begun already")
        if len(self._open) >= self._limits.open:
            raise FrameTooLarge(
                f"a connection may have {self._limits.open} open transactions"
            )
        self._open[name] = []

    def hold(self, name: str, part: Send | Ack) -> None:
        """Keep a frame for its COMMIT.

        Raises:
            UnexpectedFrame: theirs; the transaction is not open.
            FrameTooLarge: theirs; too many frames or bytes wait.
        """
        parts = self._parts(name)
        limits = self._limits
        if self._frames >= limits.frames:
            raise FrameTooLarge(f"open transactions may hold {limits.frames} frames")
        if self._bytes + _size(part) > limits.bytes:
            raise FrameTooLarge(f"open transactions may hold {limits.bytes} bytes")
        parts.append(part)
        self._frames += 1
        self._bytes += _size(part)

    def end(self, name: str) -> tuple[Send | Ack, ...]:
        """Close a transaction (COMMIT, ABORT); what it held.

        Raises:
            UnexpectedFrame: theirs; the transaction is not open.
        """
        parts = self._parts(name)
        del self._open[name]
        self._frames -= len(parts)
        self._bytes -= sum(map(_size, parts))
        return tuple(parts)

    def _parts(self, name: str) -> list[Send | Ack]:
        parts = self._open.get(name)
        if parts is None:
            raise UnexpectedFrame(f"there is no open transaction {name!r}")
        return parts


def _size(part: Send | Ack) -> int:
    headers = sum(len(name) + len(value) for name, value in part.headers)
    return headers + (len(part.body) if isinstance(part, Send) else 0)
