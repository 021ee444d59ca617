"""What waits for one connection, within a budget of bytes and time.

Theory of operation. A system call for every message and subscriber is what a
messenger spends its time on, so (1) the first message of a tick of the event loop
goes to the socket at once, for the lowest latency, and (2) what follows in the same
tick waits and leaves joined, in one write, when the tick ends; after such a tick the
first message of the next waits, too. ``Ticks`` knows where ticks end; all outboxes
share it.

A reader may be slower than its room talks. What a message is worth then, its sender
says with it; there are three ways:

* *close* (neither flag): it waits. Above the *hard* mark, or after too long above the
  soft one, the connection is cut: its inbox is the history, it comes back and catches
  up. The marks count for all ways.
* *drop oldest* (``droppable``): where more than the *soft* mark waits, the oldest
  droppable ones make room for the newest, which says more about now.
* *coalesce* (``coalesce``, a key): it takes the place of the older one of its key.

States of the way out::

    flowing ──pause()──► paused ──resume()──► flowing ──finish()──► finished

While paused nothing more goes to the transport. What it still holds (``held``) is
part of what waits: it will not give it back, and the reader has not got it.

A broadcast (``messaging/broadcast.py``) is a list of messages that many outboxes share:
whoever follows one has it behind what it holds itself. It *parts* from it, keeping what
was said so far, before anything else is put behind it, and where the way is paused.

Order: survivors leave in the order in which they were put; a message that replaces
an older one of its key stands where *it* was put, so nobody sees it before anything
that was sent before it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from salon import metrics
from salon.gateway.timer import Timer, TimerWheel
from salon.messaging.broadcast import Broadcast

JOIN = 0.002
"""Seconds that a tick after a busy one lasts: the latency that joining may add."""

_HOLES = 32
"""Holes in a list of messages before closing them is worth it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much and how long may wait for one reader."""

    soft: int = 64 * 1024
    """Bytes above which droppable messages are dropped, the oldest first."""

    hard: int = 1024 * 1024
    """Bytes above which the connection is cut."""

    patience: float = 5.0
    """Seconds above the soft mark after which the connection is cut."""


class Ticks:
    """Counts ticks of an event loop and calls back where one ends."""

    __slots__ = ("_loop", "_waiting", "busy", "now", "running")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = 0
        """The number of the present tick; only ticks that send are counted."""

        self.running = False
        """Whether the end of the present tick is awaited."""

        self.busy = False
        """Whether messages were joined in the last tick: this one takes longer."""

        self._loop = loop
        self._waiting: list[Outbox] = []

    def begin(self) -> None:
        """Something was sent in this tick: its end has a meaning."""
        if not self.running:
            self.running = True
            if self.busy:
                self._loop.call_later(JOIN, self._end)
            else:
                self._loop.call_soon(self._end)

    def flush_at_end(self, outbox: "Outbox") -> None:
        """Flush ``outbox`` when this tick ends."""
        self._waiting.append(outbox)
        self.begin()

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.running = False
        self.busy = False
        self.now += 1
        for outbox in waiting:
            outbox.flush()


class Outbox:
    """The messages of one connection on their way out.

    Args:
        ticks: the loop's ticks.
        timers: for the patience.
        send: puts one message on the wire at once.
        send_all: puts several on the wire, in order, in one write.
        held: bytes that the transport has taken and not yet written.
        on_overflow: the budget is used up; the argument says how, for people. The
            outbox is finished then.
    """

    __slots__ = (
        "_broadcast",
        "_budget",
        "_bytes",
        "_droppable",
        "_held",
        "_holes",
        "_keys",
        "_on_overflow",
        "_patience",
        "_paused",
        "_pending",
        "_send",
        "_send_all",
        "_soft",
        "_tick",
        "_ticks",
        "_timers",
        "finished",
    )

    def __init__(
        self,
        ticks: Ticks,
        timers: TimerWheel,
        budget: Budget,
        *,
        send: Callable[[bytes], None],
        send_all: Callable[[list[bytes]], None],
        held: Callable[[], int],
        on_overflow: Callable[[str], None],
    ) -> None:
        self._ticks = ticks
        self._timers = timers
        self._budget = budget
        self._soft = budget.soft
        self._send = send
        self._send_all = send_all
        self._on_overflow = on_overflow
        self._tick = -1
        # None: a message stood here that was dropped or replaced.
        self._pending: list[bytes | None] = []
        self._holes = 0
        self._bytes = 0
        # What waits behind the list, together with others.
        self._broadcast: Broadcast | None = None
        self._held = held
        self._paused = False
        # Positions in the list, by key and from the oldest; None is smaller than empty.
        self._keys: dict[str, int] | None = None
        self._droppable: deque[int] | None = None
        self._patience: Timer | None = None
        self.finished = False

    def __len__(self) -> int:
        """Bytes that wait; a way that flows has nothing of note in the transport."""
        if self._paused:
            return self._held() + self._bytes  # nobody paused follows a broadcast
        broadcast = self._broadcast
        return self._bytes if broadcast is None else self._bytes + broadcast.size

    def put(
        self, data: bytes, *, droppable: bool = False, coalesce: str | None = None
    ) -> None:
        """Take one message; never blocks, does nothing once finished."""
        if self.finished:
            return
        ticks = self._ticks
        if self._tick != ticks.now and not self._paused:
            self._tick = ticks.now
            if not ticks.running:
                ticks.begin()
            self._send(data)
            return
        if self._broadcast is not None:
            self._part(self._broadcast)
        size = self._bytes + len(data)
        if droppable or coalesce is not None or self._paused or size > self._soft:
            self._queue(data, droppable, coalesce)
            return
        # As _queue would do it: the usual case under load has no call to spare.
        if not self._pending:
            ticks.flush_at_end(self)
        self._pending.append(data)
        self._bytes = size

    def follow(self, broadcast: Broadcast) -> bool:
        """Take the message of a new broadcast, and later ones if True is returned.

        Otherwise those have to be ``put``.
        """
        ticks, last = self._ticks, self._broadcast
        if self._tick == ticks.now and not self._paused and not self.finished:
            if last is not None:
                self._part(last)
            if self._bytes + broadcast.size <= self._soft:
                if not self._pending:
                    ticks.flush_at_end(self)
                self._broadcast = broadcast
                return True
        self.put(broadcast.messages[0])
        return False

    def flush(self) -> None:
        """Write what waits, if the way is free."""
        if self._paused or self.finished:
            return
        if not self._pending and self._broadcast is None:
            return
        batch = self.take()
        if len(batch) == 1:
            self._send(batch[0])
        else:
            # A busy room: let the first message of the next tick wait and join, too.
            self._tick = self._ticks.now
            self._ticks.busy = True
            self._send_all(batch)

    def take(self) -> list[bytes]:
        """Remove and return what waits, in order (for a reader that pulls)."""
        pending, holes, broadcast = self._pending, self._holes, self._broadcast
        self._forget()
        if holes:
            pending = [message for message in pending if message is not None]
        if broadcast is not None:
            broadcast.open = False  # it is written as it is, by all who follow
            shared = broadcast.messages
            pending = [*pending, *shared] if pending else shared  # type: ignore[assignment]
        self._judge()
        return pending  # type: ignore[return-value] # None only where holes are

    def pause(self) -> None:
        """The transport has enough."""
        if self._broadcast is not None:
            self._part(self._broadcast)
        self._paused = True
        self._judge()

    def resume(self) -> None:
        """The transport takes more."""
        self._paused = False
        self.flush()
        self._judge()

    def finish(self, *, flush: bool) -> None:
        """Take nothing more; write what waits even to a paused way, or forget it."""
        if self.finished:
            return
        batch = self.take() if flush else []
        self.finished = True
        self._forget()
        self._stop_patience()
        if batch:
            self._send_all(batch)

    def _part(self, broadcast: Broadcast) -> None:
        """Follow no more: keep what was said so far, get the rest one by one."""
        self._pending += broadcast.messages
        self._bytes += broadcast.size
        self._broadcast = None
        if broadcast.open:
            broadcast.strays.append(self.put)

    def _queue(self, data: bytes, droppable: bool, coalesce: str | None) -> None:
        replaced = coalesce is not None and self._replace(coalesce)
        if droppable and not replaced and not self._make_room(len(data)):
            metrics.dropped.inc()
            return
        if coalesce is not None:
            if self._keys is None:
                self._keys = {}
            self._keys[coalesce] = len(self._pending)
        elif droppable:
            if self._droppable is None:
                self._droppable = deque()
            self._droppable.append(len(self._pending))
        if not self._pending and not self._paused:
            self._ticks.flush_at_end(self)
        self._pending.append(data)
        self._bytes += len(data)
        if self._bytes > self._budget.soft and not self._paused:
            self.flush()  # a burst within one tick: ask the transport at once
        self._judge()

    def _make_room(self, size: int) -> bool:
        """Drop old droppable messages until ``size`` more bytes fit; whether they do.

        What the transport holds does not count: it cannot be dropped any more.
        """
        while self._bytes + size > self._budget.soft:
            if not self._droppable:
                return False
            self._remove(self._droppable.popleft())
        return True

    def _replace(self, key: str) -> bool:
        """Forget the message of ``key`` that still waits, if there is one."""
        position = self._keys.pop(key, None) if self._keys else None
        if position is None:
            return False
        self._remove(position)
        return True

    def _remove(self, position: int) -> None:
        old = self._pending[position]
        assert old is not None, "a position that is kept is one of a message that waits"
        self._pending[position] = None
        self._bytes -= len(old)
        self._holes += 1
        metrics.dropped.inc()
        if self._holes > _HOLES and 2 * self._holes > len(self._pending):
            self._close_holes()

    def _close_holes(self) -> None:
        """A reader that is stuck for hours under progress would keep a long list."""
        moved: dict[int, int] = {}
        waiting: list[bytes | None] = []
        for position, message in enumerate(self._pending):
            if message is not None:
                moved[position] = len(waiting)
                waiting.append(message)
        self._pending = waiting
        self._holes = 0
        if self._keys:
            self._keys = {key: moved[at] for key, at in self._keys.items()}
        if self._droppable:
            self._droppable = deque(moved[at] for at in self._droppable)

    def _forget(self) -> None:
        self._broadcast = None
        self._pending = []
        self._holes = 0
        self._bytes = 0
        self._keys = None
        self._droppable = None

    def _judge(self) -> None:
        """Compare what waits with the budget."""
        waiting = len(self)
        if waiting <= self._budget.soft:
            self._stop_patience()
        elif waiting > self._budget.hard:
            self._overflow(f"{waiting} bytes wait, {self._budget.hard} may")
        elif self._patience is None and not self.finished:
            self._patience = self._timers.call_later(
                self._budget.patience, self._too_long
            )

    def _too_long(self) -> None:
        self._patience = None
        waiting = len(self)
        if waiting > self._budget.soft:  # it may have got most of it meanwhile
            self._overflow(f"{waiting} bytes wait after {self._budget.patience:g} s")

    def _overflow(self, how: str) -> None:
        if self.finished:
            return
        self.finish(flush=False)
        metrics.slow_readers.inc()
        self._on_overflow(how)

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
