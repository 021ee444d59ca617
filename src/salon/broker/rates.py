"""Numbers that are differences: rates, and the share of time that something was idle.

(Kafka's ``Meter`` and ``Rate``.) Kafka averages over minutes or eleven windows; here a
rate is what came since somebody last looked, at least a second ago. Nothing is sampled
while nobody looks, and nothing of it is on a request's way.
"""

import time
from collections.abc import Callable

_WINDOW_S = 1.0


class Since:
    """How much a number grew per second since an earlier look.

    Args:
        read: the number, which only grows.
        now: monotonic seconds.
    """

    def __init__(
        self, read: Callable[[], float], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._now = now
        self._last = self._before = (now(), read())

    def __call__(self) -> float:
        at, value = self._now(), self._read()
        if at - self._last[0] >= _WINDOW_S:
            self._before, self._last = self._last, (at, value)
        since, earlier = self._before
        return (value - earlier) / (at - since) if at > since else 0.0


def loop_idle() -> Callable[[], float]:
    """The share of time in which this thread's loop waited; call it on that loop.

    That is its processors' ``IdlePercent``, all of them at once: they share the loop.
    It is the time that the thread did not use the CPU, so a write that the disk kept
    waiting counts as idle.
    """
    used = Since(time.thread_time)
    return lambda: min(1.0, max(0.0, 1.0 - used()))


class Blocked:
    """How long something stood still, as a number for ``Since``.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._total = 0.0
        self._from: float | None = None

    def begin(self) -> None:
        """It stands still from now on."""
        if self._from is None:
            self._from = self._now()

    def end(self) -> None:
        """It goes on."""
        if self._from is not None:
            self._total += self._now() - self._from
            self._from = None

    def seconds(self) -> float:
        """In all, the present included."""
        running = 0.0 if self._from is None else self._now() - self._from
        return self._total + running
