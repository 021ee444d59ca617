"""A SockJS session over HTTP: many requests, one connection. Sans-IO.

Theory of operation. A client opens a *receiver* (a request whose answer carries
frames: xhr, xhr_streaming), and when that answer is full opens the next. Between two
receivers the session lives on for the disconnect delay. States::

    NEW ──first receiver──► OPEN ──close / interrupted / delay over──► CLOSED
                             ▲│
               next receiver └┘ receiver ends

* One receiver at a time: a second is told ``c[2010,…]`` and disturbs nothing.
* A receiver whose connection breaks in the middle may have lost messages that were
  already written, so the session ends: later receivers are told ``c[1002,…]``.
* A closed session answers every receiver with its close frame until the disconnect
  delay is over; then it is forgotten, and the id may be used again.

Time comes in as ``now`` (seconds of any monotonic clock). The session keeps no
messages: they wait in the connection's outbox, whose budget bounds them.
"""

from enum import Enum

from salon.sockjs import frames

DISCONNECT_DELAY = 5.0
"""Seconds a session waits for its next receiver (sockjs-node's default)."""

HEARTBEAT_DELAY = 25.0
"""Seconds of silence before a heart-beat: proxies cut idle answers after 30 to 60."""


class State(Enum):
    """Where a session is in its life."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """The rules of one session."""

    def __init__(
        self,
        now: float,
        *,
        disconnect_delay: float = DISCONNECT_DELAY,
        heartbeat_delay: float = HEARTBEAT_DELAY,
    ) -> None:
        self.state = State.NEW
        self.attached = False
        self._farewell = frames.GO_AWAY
        self._disconnect_delay = disconnect_delay
        self._heartbeat_delay = heartbeat_delay
        self._left = now
        self._written = now

    def attach(self, now: float, *, waiting: bool = False) -> tuple[bytes | None, bool]:
        """A receiver asks to be served.

        Args:
            now: the present time.
            waiting: whether messages wait that were sent before the session was
                closed; they go before the farewell.

        Returns:
            The frame that it gets first (None: nothing yet), and whether it now is
            the session's receiver; where not, that frame is all that it gets.
        """
        if self.attached and self.state is not State.CLOSED:
            return frames.close(*frames.STILL_OPEN), False
        if self.state is State.CLOSED and (self.attached or not waiting):
            return frames.close(*self._farewell), False
        self.attached = True
        self._written = now
        if self.state is State.NEW:
            self.state = State.OPEN
            return frames.OPEN, True
        return None, True

    def detach(self, now: float) -> None:
        """The receiver's answer ended well."""
        self.attached = False
        self._left = now

    def interrupted(self, now: float) -> None:
        """The receiver's connection broke: what was written to it may be lost."""
        self.close(*frames.INTERRUPTED, now=now)
        self.detach(now)

    def close(self, code: int, reason: str, *, now: float) -> None:
        """End the session; the first farewell counts."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._farewell = (code, reason)
            self._left = now

    def farewell(self) -> bytes | None:
        """The close frame, once the session is closed."""
        if self.state is State.CLOSED:
            return frames.close(*self._farewell)
        return None

    def written(self, now: float) -> None:
        """Something was written to the receiver."""
        self._written = now

    def heartbeat_due(self, now: float) -> bool:
        """Whether the receiver has waited so long that it needs a heart-beat."""
        return (
            self.state is State.OPEN
            and self.attached
            and now - self._written >= self._heartbeat_delay
        )

    def expired(self, now: float) -> bool:
        """Whether the session has waited in vain and can be forgotten."""
        return not self.attached and now - self._left >= self._disconnect_delay

    def next_look(self, now: float) -> float:
        """Seconds after which ``heartbeat_due`` or ``expired`` may have changed."""
        if self.attached:
            return max(0.0, self._written + self._heartbeat_delay - now)
        return max(0.0, self._left + self._disconnect_delay - now)
