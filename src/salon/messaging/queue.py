"""A queue: each message goes to one consumer, and stays until that one is done with it.

Theory of operation
-------------------
A message is *waiting* or *held* by one consumer; ACK ends it, everything else leads
back to waiting::

                 ┌──── NACK, UNSUBSCRIBE, connection lost ────┐
                 ▼                                            │
    put() ──> waiting ──── a consumer has credit ────────> held ── ACK ──> gone
                                                              │
                                    NACKed ``attempts`` times ─> dead letter queue

* **Order.** What waits is a heap by the order of ``put``, so a message that comes
  back stands where it stood. With one consumer that means first in, first out.
* **Credit.** Consumers take turns. One has credit while it holds less than its
  ``prefetch`` and its channel has less than ``window`` bytes to write; a backlog thus
  never floods a reader. Who only lacks the latter is asked again a little later.
* **auto.** A message given to a consumer in mode ``auto`` is gone: such a consumer may
  lose what was under way when its connection breaks (STOMP 1.2, "SUBSCRIBE").
* **Bounds.** Waiting and held messages count. Whoever puts asks for room first.

What happens to acknowledgements and dead letters: ``queues.py``.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from salon import metrics
from salon.messaging.sessions import Subscription
from salon.stomp.codec import encode_headers
from salon.stomp.frames import Headers

log = structlog.get_logger("salon.messaging")

AGAIN = 0.02
"""Seconds until a consumer that had enough to write is asked again."""


class Stored:
    """A message in a queue.

    Attributes:
        number: its place in the order of all messages.
        size: bytes of headers and body.
        given: how often a consumer got it.
        nacks: how often a consumer did not want it.
    """

    __slots__ = ("body", "given", "headers", "message_id", "nacks", "number", "size")

    def __init__(self, number: int, headers: Headers, body: bytes) -> None:
        self.number = number
        self.headers = headers
        self.body = body
        self.message_id = next((v for n, v in headers if n == "message-id"), None)
        self.size = len(body) + sum(len(n) + len(v) for n, v in headers)
        self.given = 0
        self.nacks = 0

    def __lt__(self, other: "Stored") -> bool:
        return self.number < other.number


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that a consumer holds; ``ack`` is how ACK and NACK name it."""

    ack: str
    stored: Stored
    consumer: "Consumer"


class Consumer:
    """A subscription that takes from a queue.

    Attributes:
        held: what it has not acknowledged, the oldest first.
        broken: its channel failed; it gets nothing any more.
    """

    __slots__ = ("broken", "held", "prefetch", "queue", "subscription", "window")

    def __init__(
        self, queue: "Queue", subscription: Subscription, prefetch: int, window: int
    ) -> None:
        self.queue = queue
        self.subscription = subscription
        self.prefetch = prefetch
        self.window = window
        self.held: dict[str, Delivery] = {}
        self.broken = False

    @property
    def writable(self) -> bool:
        return self.subscription.session.channel.waiting < self.window

    @property
    def has_room(self) -> bool:
        return not self.broken and len(self.held) < self.prefetch

    def give(self, stored: Stored, ack: str) -> bool:
        """Send a MESSAGE; whether the consumer now holds it (not in mode auto)."""
        subscription = self.subscription
        session, group = subscription.session, subscription.group
        headers = [*stored.headers]
        if stored.given:
            headers.append(("redelivered", "true"))
        acknowledges = subscription.ack != "auto"
        if acknowledges:
            headers.append(("ack", ack))
        head = encode_headers(headers, group.version)
        body = stored.body
        session.channel.send(
            b"%b%bcontent-length:%d\n\n%b\0" % (group.start, head, len(body), body)
        )
        stored.given += 1
        if acknowledges:
            delivery = Delivery(ack, stored, self)
            self.held[ack] = session.deliveries[ack] = delivery
        return acknowledges

    def release(self) -> list[Stored]:
        """Take from it all that it holds."""
        deliveries, self.held = self.held, {}
        for ack in deliveries:
            self.subscription.session.deliveries.pop(ack, None)
        return [delivery.stored for delivery in deliveries.values()]


class Queue:
    """One queue.

    Args:
        name: its destination.
        messages: how many it may hold.
        size: how many bytes it may hold.
    """

    __slots__ = (
        "_acks",
        "_again",
        "_consumers",
        "_pumping",
        "_waiting",
        "bytes",
        "count",
        "most",
        "most_bytes",
        "name",
    )

    def __init__(
        self, name: str, messages: int, size: int, acks: "itertools.count[int]"
    ) -> None:
        self.name = name
        self.most = messages
        self.most_bytes = size
        self.count = self.bytes = 0  # waiting and held
        self._acks = acks
        self._waiting: list[Stored] = []
        self._consumers: deque[Consumer] = deque()
        self._pumping = False
        self._again: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Messages that no consumer has."""
        return len(self._waiting)

    @property
    def consumers(self) -> int:
        return len(self._consumers)

    @property
    def idle(self) -> bool:
        """Nothing in it, nobody at it: it can be forgotten."""
        return not self.count and not self._consumers

    def has_room(self, messages: int, size: int) -> bool:
        """Whether so much more fits."""
        return (
            self.count + messages <= self.most and self.bytes + size <= self.most_bytes
        )

    def put(self, stored: Stored) -> None:
        """Add a message; the caller has looked for room."""
        self.count += 1
        self.bytes += stored.size
        heapq.heappush(self._waiting, stored)
        self.pump()

    def put_back(self, messages: Iterable[Stored]) -> None:
        """What a consumer held waits again; ``pump`` afterwards."""
        for stored in messages:
            heapq.heappush(self._waiting, stored)

    def drop(self, stored: Stored) -> None:
        """A message is gone for good; it is not among those that wait."""
        self.count -= 1
        self.bytes -= stored.size

    def drop_oldest(self) -> bool:
        """Forget the first message that waits; whether there was one."""
        if self._waiting:
            self.drop(heapq.heappop(self._waiting))
            return True
        return False

    def add(self, consumer: Consumer) -> None:
        self._consumers.append(consumer)
        self.pump()

    def remove(self, consumer: Consumer) -> None:
        """Forget a consumer; what it held waits again. ``pump`` afterwards."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            self.put_back(consumer.release())

    def pump(self) -> None:
        """Give what waits to consumers with credit, in turn."""
        if self._pumping:
            return  # a channel that answers at once: the loop below goes on
        self._pumping = True
        try:
            while self._waiting and (consumer := self._next()) is not None:
                stored = heapq.heappop(self._waiting)
                try:
                    held = consumer.give(stored, str(next(self._acks)))
                except Exception:  # one bad connection must not stop the queue
                    log.exception("messaging.queue", queue=self.name)
                    consumer.broken = True
                    heapq.heappush(self._waiting, stored)
                    continue
                metrics.deliveries.labels("durable").inc()
                if not held:
                    self.drop(stored)
        finally:
            self._pumping = False
        if (
            self._waiting
            and self._again is None
            and any(consumer.has_room for consumer in self._consumers)
        ):
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(AGAIN, self._ask_again)

    def _ask_again(self) -> None:
        self._again = None
        self.pump()

    def _next(self) -> Consumer | None:
        """The consumer whose turn it is, among those with credit."""
        for _ in range(len(self._consumers)):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            if consumer.has_room and consumer.writable:
                return consumer
        return None
