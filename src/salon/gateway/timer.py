"""One timer wheel for every deadline of every connection.

Theory of operation (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels",
1987, scheme 6): time is cut into ticks of 100 ms; a ring of slots holds the timers,
a timer in slot ``due % slots``; each tick looks at one slot and fires what is due.
Starting and stopping a timer is O(1) and costs no task and no heap entry, which is
why ten thousand connections can have a heart-beat each (an asyncio task per
connection, as a WebSocket library's automatic ping has, costs a few KB and a wake-up
for each). A timer never fires early, and at most one tick plus one turn of the event
loop late.

``TimerWheel`` is turned by hand (``turn``), so tests need no waiting;
``run_on`` lets an event loop turn it, and only while a timer is set.
"""

import asyncio
from collections.abc import Callable

import structlog

from salon.clock import Clock

log = structlog.get_logger("salon.gateway")

TICK = 0.1
"""Seconds a tick lasts: heart-beats and idle limits are seconds, not milliseconds."""

SLOTS = 512
"""51.2 s a turn: heart-beats (25 s) and deadlines (2 to 30 s) fit into one."""


class Timer:
    """A callback that is to run once; ``cancel`` may be called at any time."""

    __slots__ = ("_slot", "callback", "due")

    def __init__(
        self, due: int, callback: Callable[[], None], slot: "set[Timer]"
    ) -> None:
        self.due = due
        self.callback = callback
        self._slot = slot

    def cancel(self) -> None:
        """Forget it; does nothing where it has fired or was cancelled."""
        self._slot.discard(self)


class TimerWheel:
    """Timers in a ring of slots."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self._tick = 0
        self._slots: list[set[Timer]] = [set() for _ in range(SLOTS)]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many timers are set."""
        return sum(map(len, self._slots))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` once, no earlier than ``seconds`` from now."""
        elapsed = self._clock.monotonic() - self._start
        # +1: the tick that contains "now + seconds" has to be over.
        due = max(int((elapsed + seconds) / TICK), self._tick) + 1
        slot = self._slots[due % SLOTS]
        timer = Timer(due, callback, slot)
        slot.add(timer)
        if self._loop is not None and self._handle is None:
            self._handle = self._loop.call_later(TICK, self._on_tick)
        return timer

    def turn(self) -> None:
        """Fire what is due by the clock; a callback that fails stops no other."""
        now = int((self._clock.monotonic() - self._start) / TICK)
        # After a long sleep of the machine one turn of the ring sees every slot.
        first = max(self._tick + 1, now - SLOTS + 1)
        self._tick = now
        for tick in range(first, now + 1):
            slot = self._slots[tick % SLOTS]
            for timer in [timer for timer in slot if timer.due <= now]:
                if timer not in slot:
                    continue  # an earlier callback of this tick cancelled it
                slot.discard(timer)
                try:
                    timer.callback()
                except Exception:
                    log.exception("gateway.timer")

    def run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let ``loop`` turn the wheel from now on."""
        self._loop = loop
        if self._handle is None and len(self):
            self._handle = loop.call_later(TICK, self._on_tick)

    def stop(self) -> None:
        """Turn no more; what is set never fires."""
        self._loop = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_tick(self) -> None:
        self.turn()
        # Set meanwhile: call_later of a callback found this handle and added none.
        self._handle = None
        if self._loop is not None and any(self._slots):
            self._handle = self._loop.call_later(TICK, self._on_tick)
