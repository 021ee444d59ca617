"""All queues of a server: who may put how much, and what ACK and NACK lead to.

A message that was NACKed ``attempts`` times, or once with ``requeue:false``, goes to
the dead letter queue, with the headers ``dead-letter-from`` and ``nacks``. Being lost
with a connection is no NACK: that only comes back, marked ``redelivered:true``.

A full queue refuses in words; the dead letter queue forgets its oldest instead, with
a warning. Queues are made by their first message or consumer and forgotten when they
have neither; a restart forgets them all.

A subscription to a *topic* in an acknowledging mode is the same thing with one
consumer: a private queue that nobody else takes from. Its dead letters are dropped,
since others had copies.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from salon import metrics
from salon.errors import Refusal
from salon.messaging.queue import Consumer, Delivery, Queue, Stored
from salon.messaging.refusal import AckUnknown
from salon.messaging.sessions import Session, Subscription
from salon.stomp.events import Ack, Nack
from salon.stomp.frames import Headers

log = structlog.get_logger("salon.messaging")

TOO_SLOW = 4408

Plan = dict[Delivery, Ack]
"""What ACKs and NACKs will do to which deliveries."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much queues may hold."""

    messages: int = 10_000
    """Of one queue, waiting and held."""
    bytes: int = 16 * 1024 * 1024
    """Of one queue, waiting and held."""
    queues: int = 1_000
    """Queues with a message or a consumer."""
    attempts: int = 5
    """NACKs until a message becomes a dead letter."""
    prefetch: int = 100
    """Messages that a consumer may hold; its ``prefetch-count`` may ask for fewer."""
    window: int = 32 * 1024
    """Bytes that may wait in a consumer's channel when it is given more."""
    private: int = 1_000
    """Messages of a topic that wait for one acknowledging subscriber."""
    private_bytes: int = 1024 * 1024
    """Bytes of the same."""
    private_queues: int = 20
    """Acknowledging subscriptions to topics that one session may have."""
    dead_letters: str = "/queue/DLQ"
    """Where messages go that nobody wanted."""


@dataclass(slots=True)
class Queues:
    """All queues of this server, and what their consumers hold."""

    limits: QueueLimits = field(default_factory=QueueLimits)
    _queues: dict[str, Queue] = field(default_factory=dict)
    _acks: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # ------------------------------------------------------------ messages

    def put(self, destination: str, headers: Headers, body: bytes) -> None:
        """Add a message to a queue.

        Raises:
            Refusal: theirs; ``queue_full``, ``too_many_queues``.
        """
        stored = Stored(next(self._numbers), headers, body)
        self.check_room({destination: (1, stored.size)})
        self._queue(destination).put(stored)

    def check_room(self, wanted: Mapping[str, tuple[int, int]]) -> None:
        """Whether so many messages and bytes fit into these queues.

        Raises:
            Refusal: theirs; ``queue_full``, ``too_many_queues``.
        """
        limits = self.limits
        for name, (messages, size) in wanted.items():
            queue = self._queues.get(name)
            count, used = (queue.count, queue.bytes) if queue else (0, 0)
            if count + messages > limits.messages or used + size > limits.bytes:
                raise Refusal(
                    "queue_full",
                    f"{name} is full: a queue holds {limits.messages} messages and"
                    f" {limits.bytes} bytes. Consumers have to take some first.",
                    field="destination",
                    params={"messages": limits.messages, "bytes": limits.bytes},
                    retry_after=1.0,
                    status=503,
                )
        new = wanted.keys() - self._queues.keys()
        if len(self._queues) + len(new) > limits.queues:
            raise Refusal(
                "too_many_queues",
                f"There may be {limits.queues} queues; empty some, or use fewer names.",
                params={"limit": limits.queues},
                status=503,
            )

    def sizes(self) -> dict[str, tuple[int, int, int]]:
        """Waiting messages, held ones and consumers, by queue."""
        return {
            name: (queue.waiting, queue.count - queue.waiting, queue.consumers)
            for name, queue in self._queues.items()
        }

    # ------------------------------------------------------------ consumers

    def consume(self, subscription: Subscription, prefetch: str | None = None) -> None:
        """Let a subscription take from the queue of its destination.

        Args:
            subscription: not yet a consumer.
            prefetch: its header ``prefetch-count``: how much it wants to hold at most.

        Raises:
            Refusal: theirs; ``invalid_prefetch``, ``too_many_queues``.
        """
        most = self.limits.prefetch
        if prefetch is not None:
            if not (prefetch.isascii() and prefetch.isdigit() and int(prefetch[:9])):
                raise Refusal(
                    "invalid_prefetch",
                    f"prefetch-count {prefetch[:20]!r} is not a number from 1 on.",
                    field="prefetch-count",
                )
            most = min(most, int(prefetch[:9]))
        self.check_room({subscription.destination: (0, 0)})
        queue = self._queue(subscription.destination)
        self._add(queue, subscription, most)

    def keep_for(self, subscription: Subscription) -> None:
        """Give a subscription to a topic a queue of its own, for acknowledgements.

        Raises:
            Refusal: theirs; ``too_many_acknowledging``.
        """
        limits = self.limits
        others = subscription.session.subscriptions.values()
        if sum(each.consumer is not None for each in others) >= limits.private_queues:
            raise Refusal(
                "too_many_acknowledging",
                f"A connection may have {limits.private_queues} subscriptions that"
                " acknowledge; subscribe to more with ack:auto.",
                params={"limit": limits.private_queues},
            )
        queue = Queue(
            subscription.destination, limits.private, limits.private_bytes, self._acks
        )
        self._add(queue, subscription, limits.prefetch)

    def put_private(
        self, subscription: Subscription, headers: Headers, body: bytes
    ) -> None:
        """A message of a topic for a subscription that acknowledges."""
        consumer: Consumer = subscription.consumer
        queue = consumer.queue
        stored = Stored(next(self._numbers), headers, body)
        if queue.has_room(1, stored.size):
            queue.put(stored)
            return
        log.warning("messaging.unacknowledged", destination=queue.name)
        metrics.slow_readers.inc()
        subscription.session.channel.close(
            TOO_SLOW, f"{queue.count} messages of {queue.name} wait for your ACK"
        )

    def cancel(self, subscriptions: Iterable[Subscription]) -> None:
        """These subscriptions take no more; what they held goes to others."""
        left: dict[str, Queue] = {}
        for subscription in subscriptions:
            consumer: Consumer | None = subscription.consumer
            if consumer is None:
                continue
            subscription.consumer = None
            consumer.queue.remove(consumer)
            if self._queues.get(consumer.queue.name) is consumer.queue:
                left[consumer.queue.name] = consumer.queue
        for queue in left.values():  # not before all of them are gone
            queue.pump()
            self._forget_if_idle(queue)

    def _add(self, queue: Queue, subscription: Subscription, prefetch: int) -> None:
        consumer = Consumer(queue, subscription, prefetch, self.limits.window)
        subscription.consumer = consumer
        queue.add(consumer)

    # ------------------------------------------------------------ acknowledgements

    def plan(self, session: Session, acks: Iterable[Ack]) -> Plan:
        """Which deliveries ACKs and NACKs mean; changes nothing.

        Raises:
            AckUnknown: theirs; one of them names nothing that the session holds.
        """
        plan: Plan = {}
        for ack in acks:
            for delivery in self._meant(session, ack, plan):
                plan[delivery] = ack
        return plan

    def carry_out(self, plan: Plan) -> None:
        """End deliveries as planned, without anything in between."""
        touched: dict[int, Queue] = {}
        for delivery, ack in plan.items():
            consumer = delivery.consumer
            if consumer.held.pop(delivery.ack, None) is None:
                continue  # its connection ended meanwhile: it waits again
            del consumer.subscription.session.deliveries[delivery.ack]
            self._end(consumer.queue, delivery.stored, ack)
            touched[id(consumer.queue)] = consumer.queue
        for queue in touched.values():
            queue.pump()
            self._forget_if_idle(queue)

    def _meant(self, session: Session, ack: Ack, taken: Plan) -> list[Delivery]:
        """The deliveries that an ACK or NACK means; several in mode ``client``."""
        named = self._named(session, ack)
        if named is None or named in taken:
            name = ack.id if ack.id is not None else ack.message_id
            raise AckUnknown(f"no MESSAGE {name!r} waits for an ACK or NACK")
        if named.consumer.subscription.ack != "client":
            return [named]
        meant = []
        for delivery in named.consumer.held.values():
            if delivery not in taken:
                meant.append(delivery)
            if delivery is named:
                break
        return meant

    @staticmethod
    def _named(session: Session, ack: Ack) -> Delivery | None:
        among: dict[str, Delivery] = session.deliveries
        if ack.id is not None:
            return among.get(ack.id)
        if ack.subscription is not None:
            subscription = session.subscriptions.get(ack.subscription)
            if subscription is None or subscription.consumer is None:
                return None
            among = subscription.consumer.held
        for delivery in among.values():
            if delivery.stored.message_id == ack.message_id:
                return delivery
        return None

    def _end(self, queue: Queue, stored: Stored, ack: Ack) -> None:
        """A message was acknowledged, or comes back, or is dead."""
        if not isinstance(ack, Nack):
            queue.drop(stored)
            return
        stored.nacks += 1
        final = ("requeue", "false") in ack.headers
        public = self._queues.get(queue.name) is queue
        if public and queue.name == self.limits.dead_letters:
            final = False  # there is nowhere further to go
        elif stored.nacks >= self.limits.attempts:
            final = True
        if not final:
            queue.put_back([stored])
            return
        queue.drop(stored)
        if public:
            self._bury(queue.name, stored)
        else:
            log.info("messaging.rejected", destination=queue.name)

    def _bury(self, name: str, stored: Stored) -> None:
        """To the dead letters, which never refuse."""
        dead = self._queue(self.limits.dead_letters)
        letter = Stored(
            next(self._numbers),
            (*stored.headers, ("dead-letter-from", name), ("nacks", f"{stored.nacks}")),
            stored.body,
        )
        log.info("messaging.dead_letter", origin=name)
        while not dead.has_room(1, letter.size):
            log.warning("messaging.dead_letter_lost", queue=dead.name)
            if not dead.drop_oldest():
                return  # consumers hold all there is room for
        dead.put(letter)

    # ------------------------------------------------------------ the table

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            limits = self.limits
            queue = Queue(name, limits.messages, limits.bytes, self._acks)
            self._queues[name] = queue
        return queue

    def _forget_if_idle(self, queue: Queue) -> None:
        if queue.idle and self._queues.get(queue.name) is queue:
            del self._queues[queue.name]
