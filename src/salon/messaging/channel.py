"""The seam between a transport and what speaks over it.

A transport (WebSocket, SockJS, later plain TCP) gives each connection a ``Channel``
and asks a ``ChannelFactory`` for the ``ChannelHandler`` of that connection. It then
calls ``on_open`` once, ``on_data`` for each message, ``on_close`` once, all on the
event loop and never one inside another for the same connection.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from salon.messaging.broadcast import Broadcast


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a connection began.

    Attributes:
        path: path of the request, without the query.
        headers: of the upgrade (or first SockJS) request; lower-case names.
        cookies: of the same request.
        remote: address of the peer, for limits and logs.
        transport: ``websocket``, ``xhr``, ``xhr_streaming`` or ``tcp``.
        subprotocol: the WebSocket subprotocol that was agreed on.
    """

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    remote: str = ""
    transport: str = "websocket"
    subprotocol: str | None = None


class Channel(Protocol):
    """Gives bytes to one client. Every method returns at once."""

    @property
    def id(self) -> str:
        """Unique among the open connections, and not to be guessed."""

    @property
    def handshake(self) -> Handshake: ...

    @property
    def waiting(self) -> int:
        """Bytes that the reader has not taken yet: who has many gets no backlog."""

    def send(
        self, data: bytes, *, droppable: bool = False, coalesce: str | None = None
    ) -> None:
        """Put one message into the bounded outbox; nothing happens after a close.

        Args:
            data: a whole message. Fan-out passes the *same object* to many channels,
                so a framing made of it can be kept for the next channel.
            droppable: may be left out when the reader is slow.
            coalesce: replaces a waiting droppable message with the same key.
        """

    def follow(self, broadcast: Broadcast) -> bool:
        """Take the one message of a new broadcast.

        Returns:
            Whether it follows: what is added while the broadcast is open is taken, too.
            Otherwise ``send`` is called for each of these.
        """

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close; further messages are not read."""

    def pause_reading(self) -> None:
        """Stop reading from the socket soon; what is already read still comes."""

    def resume_reading(self) -> None:
        """Read again after ``pause_reading``."""


class ChannelHandler(Protocol):
    """What a transport calls: one per connection."""

    def on_open(self, channel: Channel) -> None: ...

    def on_data(self, data: bytes) -> None:
        """One whole WebSocket or SockJS message, as UTF-8 when it was text."""

    def on_close(self, code: int, reason: str) -> None:
        """The connection is gone, whoever ended it; called once, the last call."""


ChannelFactory = Callable[[], ChannelHandler]


class TimerHandle(Protocol):
    """A call that waits for its time."""

    def cancel(self) -> None:
        """Forget the call; harmless when it already happened."""


class Timer(Protocol):
    """Calls functions later: an event loop, or a wheel that is cheaper."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> TimerHandle:
        """Call ``callback`` after ``delay`` seconds, not before."""
