"""How many messages a user may send: a token bucket per user.

The bucket is kept as the generic cell rate algorithm (ITU-T I.371, GCRA): one number
a user, the time at which the bucket will be full again. A bucket that is full is the
same as none, so forgetting old users is exact.
"""

from salon.clock import Clock
from salon.errors import Refusal

_PRUNE_AT = 4096
"""Users remembered before the full buckets are looked for."""


class RateLimit:
    """``rate`` messages a second in the long run, ``burst`` at once.

    Ten a second with a burst of thirty is far above what a hand can type and far
    below what hurts.
    """

    def __init__(self, clock: Clock, *, rate: float = 10.0, burst: int = 30) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a rate is above 0 a second and a burst at least 1")
        self._clock = clock
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) / rate
        self._full_at: dict[str, float] = {}
        self._prune_at = _PRUNE_AT
        self.rate = rate
        self.burst = burst

    def take(self, user: str) -> float:
        """Take one token: 0.0, or the seconds until there will be one."""
        now = self._clock.monotonic()
        full_at = max(self._full_at.get(user, now), now)
        wait = full_at - now - self._tolerance
        # A nanosecond: sums of intervals are not exact.
        if wait > 1e-9:
            return wait
        self._full_at[user] = full_at + self._interval
        if len(self._full_at) > self._prune_at:
            self._forget(now)
        return 0.0

    def check(self, user: str) -> None:
        """Take one token.

        Raises:
            Refusal: theirs; ``too_fast``, with ``retry_after``.
        """
        wait = self.take(user)
        if wait > 0:
            raise Refusal(
                "too_fast",
                f"Too many messages: {self.rate:g} a second, {self.burst} at once.",
                params={"rate": self.rate, "burst": self.burst},
                retry_after=wait,
                status=429,
            )

    def _forget(self, now: float) -> None:
        self._full_at = {user: at for user, at in self._full_at.items() if at > now}
        # Looked for again only after the table has doubled: O(1) a message.
        self._prune_at = max(_PRUNE_AT, 2 * len(self._full_at))
