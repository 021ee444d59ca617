"""One message after another to the same many channels, without asking each again.

Theory of operation. Under load a topic gets many messages within one tick of the event
loop, and the channels join them into one write each (``gateway/outbox.py``). To append
every message to every channel's list would cost more than the write. So an *audience*
(the subscriptions that get the same bytes) keeps one list for all of its channels: a
``Broadcast``. The first message of a tick asks each channel to ``follow`` it; later
ones are appended to that list once, whoever follows.

Order within a channel is kept. Who is sent something else meanwhile, stops reading, or
cannot follow, becomes a *stray*: it keeps what was said so far, and gets the rest one by
one, as anybody did before. When a channel writes what it has, the broadcast is
*closed*: a list that is being written does not grow, and the next message begins another.
A change of the audience closes it, too: nobody gets what was sent before they came.
"""

from collections.abc import Callable

import structlog

log = structlog.get_logger("salon.messaging")

FULL = 32 * 1024
"""Bytes after which a broadcast is closed, so that budgets are looked at again: half of
what may wait for one reader before it counts as slow."""


class Broadcast:
    """Messages of one tick to many channels.

    Attributes:
        messages: in order; not to be changed by those who follow.
        size: their bytes.
        open: whether more may come.
        strays: send to channels that do not follow (any more).
    """

    __slots__ = ("messages", "open", "size", "strays")

    def __init__(self, message: bytes) -> None:
        self.messages = [message]
        self.size = len(message)
        self.open = True
        self.strays: list[Callable[[bytes], None]] = []

    def add(self, message: bytes) -> int:
        """One more message for everybody; how many strays failed to take it."""
        self.messages.append(message)
        self.size += len(message)
        if self.size >= FULL:
            self.open = False
        failed = 0
        for send in self.strays:
            try:
                send(message)
            except Exception:  # one bad connection must not end a fan-out
                log.exception("messaging.send")
                failed += 1
        return failed
