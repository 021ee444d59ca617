"""Slowing down whoever guesses passwords, without locking anybody out.

Theory of operation. Three counters of tries, each with an exponentially growing
pause once some tries are used up:

- (account, address): the ordinary case, somebody mistypes or guesses at one account;
- account: one account guessed at from many addresses;
- address: many accounts guessed at from one address.

A try is counted *before* the password is checked, so a hundred tries at once are a
hundred tries; a right password takes its own count back. A try during a pause is
refused, not counted: the pause does not grow while it lasts, and ends for everybody
(``LONGEST`` seconds at most). Guessing from elsewhere never delays an address from
which the right password came before: there the account's counter is not asked.

In memory, bounded, least recently used out first: one who makes us forget has spent
more tries than they win. A restart forgives everything, which costs little: passwords
that survive a guesser for a day are not among the guessable ones.
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from salon.clock import Clock
from salon.errors import Refusal

LONGEST = 30.0
"""Seconds: a person waits that long; a guesser gets 2,880 tries a day."""

FORGET_AFTER = 3600.0
"""Seconds without a try until the tries are forgotten."""

CAPACITY = 10_000
"""Keys that a counter remembers; about 2 MB each."""


@dataclass(slots=True)
class _Tries:
    count: int
    last: float
    pause_ends: float


class Backoff:
    """Counts tries by key; after ``free`` of them each doubles the pause.

    Args:
        clock: its monotonic time.
        free: tries without a pause.
        longest: the longest pause in seconds; the first is one second.
        capacity: keys remembered.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        free: int,
        longest: float = LONGEST,
        capacity: int = CAPACITY,
    ) -> None:
        self._clock = clock
        self._free = free
        self._longest = longest
        self._capacity = capacity
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until the next try of ``key`` is let through; 0 for now."""
        tries = self._tries.get(key)
        if tries is None:
            return 0.0
        return max(0.0, tries.pause_ends - self._clock.monotonic())

    def count(self, key: str) -> None:
        """A try happens now."""
        now = self._clock.monotonic()
        tries = self._tries.get(key)
        if tries is None or now - tries.last > FORGET_AFTER:
            tries = self._tries[key] = _Tries(0, now, now)
        tries.count += 1
        tries.last = now
        over = tries.count - self._free
        if over >= 0:
            tries.pause_ends = now + min(self._longest, 2.0 ** min(over, 60))
        self._tries.move_to_end(key)
        while len(self._tries) > self._capacity:
            self._tries.popitem(last=False)

    def take_back(self, key: str) -> None:
        """The last counted try was a right one."""
        tries = self._tries.get(key)
        if tries is not None:
            tries.count -= 1
            tries.pause_ends = min(tries.pause_ends, self._clock.monotonic())

    def forget(self, key: str) -> None:
        self._tries.pop(key, None)


class LoginThrottle:
    """The three counters together. Call ``admit``, check, then ``succeeded``."""

    def __init__(self, clock: Clock) -> None:
        self._pairs = Backoff(clock, free=5)
        self._accounts = Backoff(clock, free=20)
        self._addresses = Backoff(clock, free=50)
        self._known: OrderedDict[str, None] = OrderedDict()

    def admit(self, account: str, address: str) -> None:
        """Count a try at ``account`` (a handle key) from ``address`` (an IP).

        Raises:
            Refusal: theirs; ``too_many_attempts`` with the seconds to wait.
        """
        source = _network(address)
        pair = f"{source} {account}"
        keys = [(self._pairs, pair), (self._addresses, source)]
        if pair not in self._known:
            keys.append((self._accounts, account))
        wait = max(counter.wait(key) for counter, key in keys)
        if wait > 0:
            raise Refusal(
                "too_many_attempts",
                "Too many wrong passwords; wait a little and try again.",
                retry_after=wait,
                status=429,
            )
        for counter, key in keys:
            counter.count(key)

    def succeeded(self, account: str, address: str) -> None:
        """The password was right."""
        source = _network(address)
        pair = f"{source} {account}"
        self._pairs.forget(pair)
        self._addresses.take_back(source)
        if pair not in self._known:
            self._accounts.take_back(account)
        self._known[pair] = None
        self._known.move_to_end(pair)
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)


def _network(address: str) -> str:
    """The part of an address that one customer holds: an IPv6 /64, else all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a Unix socket, a test client
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
