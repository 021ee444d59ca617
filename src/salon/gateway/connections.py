"""The client connections of this process: found by id, by login, by user, counted.

A connection counts from its handshake until its socket is gone. Whose it is comes
later, when the client has said so (``bind``); from then on it can be closed with the
login that carries it: logging out, being disabled or changing the password ends every
connection at once, whatever the transport (ASVS 5.0, 7.4.1).
"""

import asyncio
from collections import Counter, defaultdict, deque

from salon.errors import Refusal
from salon.messaging.channel import Channel

REVOKED = 1008
"""Close code for a connection whose login is over: do not come back by itself."""

RESTART = 1012
"""Close code for a restart: come back, each after its own pause."""


_REMEMBERED = 1024
"""Logins that ended lately: one may be authenticating while it is revoked."""


class Connections:
    """The connections, and how many there may be."""

    def __init__(self, *, total: int = 10_000, per_address: int = 512) -> None:
        """Allow ``total`` connections, ``per_address`` from one address.

        Many people share an address behind a router, so that limit only stops one
        machine from taking all the room.
        """
        self.total = total
        self.per_address = per_address
        self._channels: dict[str, Channel] = {}
        self._addresses: Counter[str] = Counter()
        self._owners: dict[str, tuple[str, str]] = {}
        self._logins: defaultdict[str, set[str]] = defaultdict(set)
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._revoked: deque[str] = deque(maxlen=_REMEMBERED)

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, channel: str) -> Channel | None:
        return self._channels.get(channel)

    def from_address(self, remote: str) -> int:
        """How many connections ``remote`` has."""
        return self._addresses[remote]

    def of_user(self, user: str) -> int:
        """How many connections speak for ``user``."""
        return len(self._users.get(user, ()))

    def check_room(self, remote: str) -> None:
        """Decide whether one more from ``remote`` fits; changes nothing.

        Raises:
            Refusal: ``overloaded`` (ours) or ``too_many_connections`` (theirs).
        """
        if len(self._channels) >= self.total:
            raise Refusal(
                "overloaded",
                "This server has all the connections that it may have.",
                params={"limit": self.total},
                retry_after=10,
                status=503,
            )
        if self._addresses[remote] >= self.per_address:
            raise Refusal(
                "too_many_connections",
                f"One address may have {self.per_address} connections.",
                params={"limit": self.per_address},
                retry_after=10,
                status=429,
            )

    def add(self, channel: Channel) -> None:
        """Count a connection that is open now."""
        self._channels[channel.id] = channel
        self._addresses[channel.handshake.remote] += 1

    def remove(self, channel: Channel) -> None:
        """Forget a connection that is gone; harmless where it is unknown."""
        if self._channels.pop(channel.id, None) is None:
            return
        remote = channel.handshake.remote
        self._addresses[remote] -= 1
        if not self._addresses[remote]:
            del self._addresses[remote]
        login, user = self._owners.pop(channel.id, ("", ""))
        _discard(self._logins, login, channel.id)
        _discard(self._users, user, channel.id)

    def bind(self, channel: str, *, login: str, user: str) -> None:
        """Say whose connection it is (once, when the client is authenticated).

        Where the login was revoked while it was being looked at, the connection ends.
        """
        found = self._channels.get(channel)
        if found is None or channel in self._owners:
            return
        self._owners[channel] = (login, user)
        self._logins[login].add(channel)
        self._users[user].add(channel)
        if login in self._revoked:
            found.close(REVOKED, "logged out")

    def close_login(
        self, login: str, code: int = REVOKED, reason: str = "logged out"
    ) -> int:
        """Close every connection that ``login`` carries; how many there were.

        Each is gone within the linger time (2 s), also where the peer is silent.
        """
        if code == REVOKED:
            self._revoked.append(login)
        return self._close(self._logins.get(login, set()), code, reason)

    def close_user(
        self, user: str, code: int = REVOKED, reason: str = "logged out"
    ) -> int:
        """Close every connection that speaks for ``user``; how many there were."""
        return self._close(self._users.get(user, set()), code, reason)

    async def close_all(self, code: int, reason: str, *, batch: int = 200) -> None:
        """Close everybody, some at a time so that what is due else still runs."""
        everybody = list(self._channels.values())
        for start in range(0, len(everybody), batch):
            for channel in everybody[start : start + batch]:
                channel.close(code, reason)
            await asyncio.sleep(0)

    def _close(self, channels: set[str], code: int, reason: str) -> int:
        found = [self._channels[channel] for channel in channels]
        for channel in found:
            channel.close(code, reason)
        return len(found)


def _discard(index: dict[str, set[str]], key: str, channel: str) -> None:
    members = index.get(key)
    if members is not None:
        members.discard(channel)
        if not members:
            del index[key]
