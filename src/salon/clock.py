"""The one place that reads the time; everything else takes a ``Clock``.

Durations use ``monotonic``: a wall clock that jumps must change no order, lease,
session or retry.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for people, monotonic time for decisions."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 (UTC): for showing, never for deciding."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; its zero means nothing."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by ``seconds``."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds
