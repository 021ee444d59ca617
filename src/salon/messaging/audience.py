"""The subscriptions that get the same bytes of a topic: an audience.

It keeps a list of its channels, and one ``Broadcast`` for as long as it is open.
"""

from collections.abc import Iterator

import structlog

from salon.messaging.broadcast import Broadcast
from salon.messaging.channel import Channel
from salon.messaging.sessions import Subscription

log = structlog.get_logger("salon.messaging")


class Audience:
    """Subscriptions that get the same bytes, in the order in which they came."""

    __slots__ = ("_broadcast", "_channels", "_keepers", "_subscriptions")

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}
        self._channels: list[Channel] | None = None  # None: to be looked up
        self._keepers: list[Subscription] = []
        self._broadcast: Broadcast | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __iter__(self) -> Iterator[Subscription]:
        """The subscriptions as they are now; may change meanwhile."""
        return iter(list(self._subscriptions))

    def add(self, subscription: Subscription) -> None:
        self._subscriptions[subscription] = None
        self._changed()

    def discard(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._changed()

    def keepers(self) -> list[Subscription]:
        """Those that acknowledge: each gets its messages through a queue of its own."""
        self._look_up()
        return self._keepers

    def send(self, message: bytes) -> int:
        """Send to all but the keepers; to how many."""
        channels = self._look_up()
        broadcast = self._broadcast
        if broadcast is not None and broadcast.open:
            return len(channels) - broadcast.add(message)
        return len(channels) - self._begin(channels, message)

    def _look_up(self) -> list[Channel]:
        channels = self._channels
        if channels is None:
            everybody = list(self._subscriptions)
            self._keepers = [one for one in everybody if one.consumer is not None]
            channels = [
                one.session.channel for one in everybody if one.consumer is None
            ]
            self._channels = channels
        return channels

    def _begin(self, channels: list[Channel], message: bytes) -> int:
        """Ask each channel to follow a new broadcast; how many failed."""
        broadcast = Broadcast(message)
        strays = broadcast.strays
        failed = 0
        self._broadcast = broadcast  # so that a change on the way closes it
        for channel in channels:
            try:
                if not channel.follow(broadcast):
                    strays.append(channel.send)
            except Exception:  # one bad connection must not end a fan-out
                log.exception("messaging.send", channel=channel.id)
                failed += 1
        if len(strays) + failed == len(channels):
            self._broadcast = None
        return failed

    def _changed(self) -> None:
        self._channels = None
        if self._broadcast is not None:
            self._broadcast.open = False
            self._broadcast = None
