"""The memory of requests: ``queued.max.request.bytes`` of them at a time.

(``SimpleMemoryPool``, not strict, as Kafka uses it.) A request takes its stated size
before anything is read into it, as long as *something* is left, so the bound is exceeded
by one request at most. When nothing is left its connection waits, unread, and TCP tells
the sender. The memory comes back when the request is answered.
"""

from collections import deque
from collections.abc import Callable

from salon.broker.rates import Blocked


class MemoryPool:
    """Counts bytes; allocates nothing itself.

    Args:
        capacity: ``queued.max.request.bytes``.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self.depleted = Blocked()

    @property
    def available(self) -> int:
        return max(0, self.capacity - self.used)

    def try_allocate(self, size: int) -> bool:
        """Take ``size`` bytes; False when nothing is left."""
        if self.used >= self.capacity:
            return False
        self.used += size
        if self.used >= self.capacity:
            self.depleted.begin()
        return True

    def release(self, size: int) -> None:
        """Give ``size`` bytes back and let those who wait try again, oldest first."""
        self.used -= size
        if self.used < self.capacity:
            self.depleted.end()
        while self._waiting and self.used < self.capacity:
            self._waiting.popleft()()

    def when_available(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, when something is left again."""
        self._waiting.append(callback)
