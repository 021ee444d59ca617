"""From a frame to a handler, and from its value to subscribers.

Every SEND and SUBSCRIBE passes the same gates in the same order: spelling
(``destinations``), rights (``grants``), then the registry, or interceptors and a handler.

A SEND goes to controllers. Straight to a topic, a queue or a user it goes only where a
grant opens that destination: a client that may send to ``/topic`` passes by every rule
and speaks in anybody's name. A plain broker is what grants make of it, not the default.

What a frame leads to happens in ``Reply.publish``, which the bridge calls when it is
that frame's turn; only subscriptions and acknowledgements take effect at once.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from salon.errors import Refusal
from salon.messaging.conversion import encode_payload
from salon.messaging.destinations import (
    APP,
    QUEUE,
    TOPIC,
    USER,
    check_canonical,
    is_pattern,
    within,
)
from salon.messaging.grants import Grants
from salon.messaging.invocation import (
    Addressed,
    Interceptor,
    Invoker,
)
from salon.messaging.mapping import (
    SEND,
    SUBSCRIBE,
    Handler,
    MappingTable,
    mappings_of,
)
from salon.messaging.message import Headers, Message, ReceiptHeaders
from salon.messaging.refusal import NotGranted
from salon.messaging.sessions import CLOSE, SLOW, Session, Subscription
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import MessagingTemplate
from salon.stomp import events

__all__ = ["Dispatcher", "Interceptor", "Reply", "encode_payload"]

NOT_FORWARDED = frozenset(
    {"destination", "receipt", "transaction", "message-id", "content-length"}
)
"""Headers of a SEND that are between client and server (the template has its own)."""


class Reply(msgspec.Struct):
    """What became of a frame: its value, or where it will be.

    Attributes:
        result: the value, or a future of it.
        publish: sends the value where it belongs; call it when the value is there.
        receipt: headers for the RECEIPT; complete when the value is there.
    """

    result: Any = None
    publish: Callable[[Any], None] | None = None
    receipt: ReceiptHeaders | None = None


class Dispatcher:
    """Routes the frames of all sessions.

    Args:
        controllers: objects with decorated methods.
        registry: where subscriptions are kept.
        template: sends what handlers return; has the queues.
        grants: what is allowed; the rest is refused.
        interceptors: called in order, before the handler.
        advice: objects whose exception handlers serve all controllers.
        prefix: of destinations that controllers take.
        separator: between the segments of what controllers take: ``/`` or ``.``.

    Raises:
        MappingError: ours; controllers that contradict each other.
    """

    def __init__(
        self,
        controllers: Iterable[object],
        registry: SubscriptionRegistry,
        template: MessagingTemplate,
        grants: Grants,
        *,
        interceptors: Sequence[Interceptor] = (),
        advice: Iterable[object] = (),
        prefix: str = APP,
        separator: str = "/",
    ) -> None:
        mappings = [m for c in controllers for m in mappings_of(c, separator)]
        self._sends = MappingTable(m for m in mappings if m.kind == SEND)
        self._subscribes = MappingTable(m for m in mappings if m.kind == SUBSCRIBE)
        self._registry = registry
        self._template = template
        self._queues = template.queues
        self._grants = grants
        self._invoker = Invoker(template, interceptors, advice)
        self._prefix = prefix

    # ------------------------------------------------------------ SEND

    async def send(self, session: Session, event: events.Send) -> Reply:
        """Give a SEND to its handler; returns when the handler did.

        Raises:
            NotGranted: theirs; may not be sent there, or nobody is there.
            Refusal, Exception: what the handler raised and nobody took.
        """
        found = self._handler_of(session, event)
        if found is None:
            sent = self._straight(session, event)
            return Reply(None, lambda _: self._invoker.deliver(sent))
        handler, message = found
        result = await self._invoker.invoke(handler, message)
        publish = partial(self._invoker.publish, handler, message)
        return Reply(result, publish, message.receipt)

    def _handler_of(
        self, session: Session, event: events.Send
    ) -> tuple[Handler, Message] | None:
        """Who takes a SEND that is granted; None: no controller, but a destination."""
        self._check(SEND, session, event.destination)
        path = within(self._prefix, event.destination)
        if path is None:
            return None
        found = self._sends.find(path)
        if found is None:
            raise _unknown(event.destination)
        handler, variables = found
        message = self._message(session, event.destination, path, event)
        message.body = event.body
        message.variables = variables
        return handler, message

    def _straight(self, session: Session, event: events.Send) -> Addressed:
        """A SEND to a topic, a queue or a user; the grants have allowed it."""
        message = self._message(session, event.destination, event.destination, event)
        message.body = event.body
        self._invoker.check(message)
        headers = tuple(h for h in event.headers if h[0] not in NOT_FORWARDED)
        if within(QUEUE, event.destination) or within(TOPIC, event.destination):
            return Addressed(event.destination, event.body, headers)
        path = within(USER, event.destination)
        if path is None or "/" not in path[1:]:
            raise _unknown(event.destination)
        user, _, rest = path[1:].partition("/")
        return Addressed(f"/{rest}", event.body, headers, user)

    # ------------------------------------------------------------ SUBSCRIBE

    async def subscribe(
        self, session: Session, event: events.Subscribe
    ) -> tuple[Reply, Subscription]:
        """Store a SUBSCRIBE, or answer it at once where it goes to a controller.

        Raises:
            NotGranted: theirs; may not listen there, or nobody is there.
            Refusal, Exception: what the handler raised and nobody took.
        """
        if is_pattern(event.destination):
            return self._store_pattern(session, event)
        self._check(SUBSCRIBE, session, event.destination)
        path = within(self._prefix, event.destination)
        if path is None:
            return self._store(session, event)
        found = self._subscribes.find(path)
        if found is None:
            raise _unknown(event.destination)
        handler, variables = found
        message = self._message(session, event.destination, path, event)
        message.variables = variables
        subscription = Subscription(
            session, event.id, event.destination, named=event.named, ack=event.ack
        )
        session.subscriptions[event.id] = subscription
        if event.ack != "auto":
            self._queues.keep_for(subscription)

        def publish(value: Any) -> None:
            if handler.send_to or handler.send_to_user:
                self._invoker.publish(handler, message, value)
            elif value is not None:
                body, headers = encode_payload(value)
                self._template.answer(subscription, body, headers=headers)

        result = await self._invoker.invoke(handler, message)
        return Reply(result, publish, message.receipt), subscription

    def _store(
        self, session: Session, event: events.Subscribe
    ) -> tuple[Reply, Subscription]:
        """A subscription that lasts: to a topic, a queue, or what is the user's own."""
        headers = Headers(event.headers)
        subscription = self._registry.add(
            session,
            event.id,
            event.destination,
            named=event.named,
            ack=event.ack,
            slow=_slow(event, headers),
        )
        queue = within(QUEUE, event.destination) is not None
        try:
            if queue:
                self._queues.consume(subscription, headers.get("prefetch-count"))
            elif event.ack != "auto":
                self._queues.keep_for(subscription)
        except Exception:
            self._registry.remove(session, event.id)
            raise
        if queue:
            return Reply(), subscription
        receipt = ReceiptHeaders()
        if self._template.retention.keeps(event.destination) is not None:
            receipt["position"] = self._template.position
        resume = headers.get("resume-from")
        if resume is not None and not self._template.replay(subscription, resume):
            receipt["gap"] = "true"
        return Reply(receipt=receipt), subscription

    def _store_pattern(
        self, session: Session, event: events.Subscribe
    ) -> tuple[Reply, Subscription]:
        """A subscription to all topics of a pattern, where that pattern is granted."""
        if not self._grants.allow_pattern(event.destination, session.principal):
            raise NotGranted(
                "destination_invalid",
                f"SUBSCRIBE to the pattern {event.destination!r} is not granted to you",
            )
        if event.ack != "auto":
            raise NotGranted("ack_refused", "patterns are subscribed to with ack:auto")
        subscription = self._registry.add(
            session,
            event.id,
            event.destination,
            named=event.named,
            slow=_slow(event, Headers(event.headers)),
        )
        return Reply(), subscription

    def unsubscribe(
        self, session: Session, event: events.Unsubscribe
    ) -> Subscription | None:
        """Forget a subscription; what it has not acknowledged goes to others."""
        subscription = self._registry.remove(session, event.id)
        if subscription is not None:
            self._queues.cancel([subscription])
        return subscription

    def disconnect(self, session: Session) -> None:
        """Forget all subscriptions of a session that is gone."""
        subscriptions = list(session.subscriptions.values())
        self._registry.remove_all(session)
        self._queues.cancel(subscriptions)

    # ------------------------------------------------------------ ACK, COMMIT

    def acknowledge(self, session: Session, event: events.Ack) -> None:
        """Carry out an ACK or NACK.

        Raises:
            AckUnknown: theirs; the session holds no such message.
        """
        self._queues.carry_out(self._queues.plan(session, [event]))

    async def commit(self, session: Session, event: events.Commit) -> Reply:
        """All frames of a transaction, or none; returns when the handlers did.

        First everything is checked, then handlers run, then, in ``Reply.publish``,
        acknowledgements and messages take effect in one go. A handler takes part only
        if it is ``@transactional``: what it returns is all that it does.

        Raises:
            NotGranted: theirs; a destination, or a handler that takes no part.
            Refusal, Exception: what a handler raised; nothing took effect.
        """
        acks = [part for part in event.parts if isinstance(part, events.Ack)]
        steps: list[tuple[Handler, Message] | Addressed] = []
        for part in event.parts:
            if isinstance(part, events.Ack):
                continue
            found = self._handler_of(session, part)
            if found is not None and not found[0].transactional:
                raise NotGranted(
                    "transaction_refused",
                    f"{part.destination!r} cannot be part of a transaction:"
                    " it could not be undone",
                )
            steps.append(found or self._straight(session, part))
        calls = [step for step in steps if not isinstance(step, Addressed)]
        for _, message in calls:
            self._invoker.check(message)
        results = [await self._invoker.call(*call) for call in calls]

        def publish(values: Any) -> None:
            self._apply(session, acks, steps, values)

        if any(map(inspect.isawaitable, results)):
            return Reply(asyncio.gather(*map(_given, results)), publish)
        return Reply(results, publish)

    def _apply(
        self,
        session: Session,
        acks: Sequence[events.Ack],
        steps: Sequence[tuple[Handler, Message] | Addressed],
        values: list[Any],
    ) -> None:
        """Every check before every effect; nothing else runs in between."""
        results = iter(values)
        sent: list[Addressed] = []
        for step in steps:
            if isinstance(step, Addressed):
                sent.append(step)
            else:
                sent += self._invoker.addressed(*step, next(results))
        wanted: dict[str, tuple[int, int]] = {}
        for each in sent:
            if each.user is None and within(QUEUE, each.destination) is not None:
                count, size = wanted.get(each.destination, (0, 0))
                size += len(each.body) + _HEADERS + len(str(each.headers))
                wanted[each.destination] = count + 1, size
        plan = self._queues.plan(session, acks)
        self._queues.check_room(wanted)
        for each in sent:
            self._invoker.deliver(each)
        self._queues.carry_out(plan)

    # ------------------------------------------------------------ gates

    def _check(self, operation: str, session: Session, destination: str) -> None:
        check_canonical(destination)
        if not self._grants.allow(operation, destination, session.principal):
            raise NotGranted(
                "destination_refused",
                f"{operation} to {destination!r} is not granted to you",
            )

    @staticmethod
    def _message(
        session: Session,
        destination: str,
        path: str,
        event: events.Send | events.Subscribe,
    ) -> Message:
        return Message(
            destination,
            path,
            Headers(event.headers),
            b"",
            session,
            receipt_id=event.receipt,
        )


_HEADERS = 100
"""Bytes that a message's own id takes at most, for looking for room."""


async def _given(result: Any) -> Any:
    """What a handler returned, or what its awaitable will give."""
    return await result if inspect.isawaitable(result) else result


def _slow(event: events.Subscribe, headers: Headers) -> str:
    """The header ``slow-consumer``.

    Raises:
        Refusal: theirs; ``invalid_slow_consumer``.
    """
    slow = headers.get("slow-consumer") or CLOSE
    kept = event.ack != "auto" or within(QUEUE, event.destination) is not None
    if slow not in SLOW or (kept and slow != CLOSE):
        raise Refusal(
            "invalid_slow_consumer",
            f"slow-consumer {slow[:20]!r} is not close, drop-oldest or coalesce; where "
            "messages wait for an ACK, or in a queue, it can only be close.",
            field="slow-consumer",
        )
    return slow


def _unknown(destination: str) -> NotGranted:
    return NotGranted("destination_unknown", f"nothing is at {destination!r}")
