"""Hierarchical timing wheels: when waiting operations give up.

Theory of operation. (Kafka's ``SystemTimer``; Varghese and Lauck, "Hashed and
hierarchical timing wheels", 1987.) A wheel has ``size`` buckets of ``tick_ms`` each.
A task goes into the bucket of its deadline: O(1), and leaving it early, which is what
nearly every waiting fetch does, is O(1) too; a heap would pay a logarithm for both. A
deadline beyond the wheel goes to the next wheel, whose tick is the whole span of this
one: 1 ms x 20, 20 ms x 20, 400 ms x 20, ... When a coarse bucket comes due, its tasks
that still have time are put in again and land in a finer wheel.

Only *buckets* are in the heap that says when to wake up, so there is no ticking:
the owner asks ``next_expiry_ms`` and sleeps until then. Expiry is exact to one tick and
never early. Time is given in, in milliseconds of any monotonic clock.
"""

import heapq
from collections.abc import Callable


class TimerTask:
    """Something to do at a deadline unless cancelled before."""

    __slots__ = ("_bucket", "callback", "deadline_ms")

    def __init__(self, deadline_ms: int, callback: Callable[[], None]) -> None:
        self.deadline_ms = deadline_ms
        self.callback = callback
        self._bucket: Bucket | None = None

    def cancel(self) -> None:
        """Forget the task; without effect when it has run already."""
        bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.tasks.pop(self, None)

    @property
    def pending(self) -> bool:
        return self._bucket is not None


class Bucket:
    """Tasks whose deadlines share one tick. A dict is a set that keeps its order."""

    __slots__ = ("expiry_ms", "tasks")

    def __init__(self) -> None:
        self.expiry_ms = -1
        self.tasks: dict[TimerTask, None] = {}


class _Wheel:
    """``size`` buckets of ``tick_ms``; makes the next coarser wheel when needed."""

    def __init__(self, tick_ms: int, size: int, now_ms: int, timer: "Timer") -> None:
        self.tick_ms = tick_ms
        self.size = size
        self.span_ms = tick_ms * size
        self.current_ms = now_ms - now_ms % tick_ms
        self._timer = timer
        self._buckets = [Bucket() for _ in range(size)]
        self._overflow: _Wheel | None = None

    def add(self, task: TimerTask) -> bool:
        """Put ``task`` into its bucket; false when its deadline has come."""
        deadline = task.deadline_ms
        if deadline < self.current_ms + self.tick_ms:
            return False
        if deadline >= self.current_ms + self.span_ms:
            if self._overflow is None:
                self._overflow = _Wheel(
                    self.span_ms, self.size, self.current_ms, self._timer
                )
            return self._overflow.add(task)
        tick = deadline // self.tick_ms
        bucket = self._buckets[tick % self.size]
        bucket.tasks[task] = None
        task._bucket = bucket  # noqa: SLF001 - one mechanism in two classes
        expiry_ms = tick * self.tick_ms
        if bucket.expiry_ms != expiry_ms:
            # A bucket is used again for a later round only after it came due.
            bucket.expiry_ms = expiry_ms
            self._timer.schedule(bucket)
        return True

    def advance(self, now_ms: int) -> None:
        if now_ms >= self.current_ms + self.tick_ms:
            self.current_ms = now_ms - now_ms % self.tick_ms
            if self._overflow is not None:
                self._overflow.advance(self.current_ms)


class Timer:
    """All deadlines of one broker.

    Args:
        now_ms: the time at which the wheels begin.
        tick_ms: resolution of the finest wheel.
        size: buckets of every wheel.
    """

    def __init__(self, now_ms: int, *, tick_ms: int = 1, size: int = 20) -> None:
        self._due: list[tuple[int, int, Bucket]] = []
        self._tie = 0
        self._wheel = _Wheel(tick_ms, size, now_ms, self)

    def add(self, task: TimerTask) -> None:
        """Watch ``task``; one whose deadline has come already runs at once."""
        if not self._wheel.add(task):
            task.callback()

    def schedule(self, bucket: Bucket) -> None:
        """Note when a bucket comes due (called by the wheels)."""
        self._tie += 1
        heapq.heappush(self._due, (bucket.expiry_ms, self._tie, bucket))

    def next_expiry_ms(self) -> int | None:
        """When the next bucket comes due; ``advance`` should be called then."""
        return self._due[0][0] if self._due else None

    def advance(self, now_ms: int) -> None:
        """Run every task whose deadline is ``now_ms`` or earlier."""
        while self._due and self._due[0][0] <= now_ms:
            expiry_ms, _, bucket = heapq.heappop(self._due)
            self._wheel.advance(expiry_ms)
            tasks, bucket.tasks = bucket.tasks, {}
            bucket.expiry_ms = -1
            for task in tasks:
                # Cancelled by a task that ran before it, in this very loop.
                if task.pending and task._bucket is bucket:  # noqa: SLF001
                    task._bucket = None  # noqa: SLF001
                    self.add(task)
        self._wheel.advance(now_ms)
