"""From a frame to a handler, and from its value to subscribers.

Every SEND and SUBSCRIBE passes the same gates in the same order: spelling
(``destinations``), rights (``grants``), then the registry, or interceptors and a handler.
A SEND goes to controllers only: a client that could send to ``/topic`` directly would
pass by every rule and speak in anybody's name.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from salon.messaging.destinations import APP, check_canonical, within
from salon.messaging.grants import Grants
from salon.messaging.mapping import (
    SEND,
    SUBSCRIBE,
    Handler,
    MappingTable,
    mappings_of,
)
from salon.messaging.message import Headers, Message, ReceiptHeaders
from salon.messaging.refusal import NotGranted
from salon.messaging.sessions import Session, Subscription
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import JSON, MessagingTemplate
from salon.stomp import events, frames

Interceptor = Callable[[Message], None]
"""Sees each message that has a handler before it; a ``Refusal`` stops it (rates)."""


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
        template: sends what handlers return.
        grants: what is allowed; the rest is refused.
        interceptors: called in order, before the handler.
        prefix: of destinations that controllers take.

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
        prefix: str = APP,
    ) -> None:
        mappings = [m for c in controllers for m in mappings_of(c)]
        self._sends = MappingTable(m for m in mappings if m.kind == SEND)
        self._subscribes = MappingTable(m for m in mappings if m.kind == SUBSCRIBE)
        self._registry = registry
        self._template = template
        self._grants = grants
        self._interceptors = interceptors
        self._prefix = prefix

    async def send(self, session: Session, event: events.Send) -> Reply:
        """Give a SEND to its handler; returns when the handler did.

        Raises:
            NotGranted: theirs; may not be sent there, or nobody is there.
            Refusal, Exception: what the handler raised and nobody took.
        """
        self._check(SEND, session, event.destination)
        path = within(self._prefix, event.destination)
        found = self._sends.find(path) if path is not None else None
        if path is None or found is None:
            raise _unknown(event.destination)
        handler, variables = found
        message = self._message(session, event.destination, path, event)
        message.body = event.body
        message.variables = variables
        result = await self._invoke(handler, message)
        return Reply(
            result,
            lambda value: self._publish(handler, message, value),
            message.receipt,
        )

    async def subscribe(
        self, session: Session, event: events.Subscribe
    ) -> tuple[Reply, Subscription]:
        """Store a SUBSCRIBE, or answer it at once where it goes to a controller.

        Raises:
            NotGranted: theirs; may not listen there, or nobody is there.
            Refusal, Exception: what the handler raised and nobody took.
        """
        self._check(SUBSCRIBE, session, event.destination)
        path = within(self._prefix, event.destination)
        if path is None:
            subscription = self._registry.add(
                session, event.id, event.destination, named=event.named
            )
            return Reply(), subscription
        found = self._subscribes.find(path)
        if found is None:
            raise _unknown(event.destination)
        handler, variables = found
        message = self._message(session, event.destination, path, event)
        message.variables = variables
        subscription = Subscription(
            session, event.id, event.destination, named=event.named
        )
        session.subscriptions[event.id] = subscription

        def publish(value: Any) -> None:
            if handler.send_to or handler.send_to_user:
                self._publish(handler, message, value)
            elif value is not None:
                body, headers = encode_payload(value)
                self._template.answer(subscription, body, headers=headers)

        result = await self._invoke(handler, message)
        return Reply(result, publish, message.receipt), subscription

    def unsubscribe(
        self, session: Session, event: events.Unsubscribe
    ) -> Subscription | None:
        """Forget a subscription."""
        return self._registry.remove(session, event.id)

    def disconnect(self, session: Session) -> None:
        """Forget all subscriptions of a session that is gone."""
        self._registry.remove_all(session)

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

    async def _invoke(self, handler: Handler, message: Message) -> Any:
        """The value of a handler, or a future where it returned an awaitable."""
        for interceptor in self._interceptors:
            interceptor(message)
        try:
            result = handler.invoke(message)
            if inspect.iscoroutine(result):
                result = await result
        except Exception as error:
            return await self._recover(handler, message, error)
        if not inspect.isawaitable(result):
            return result
        if handler.exceptions:
            result = self._guarded(handler, message, result)
        return asyncio.ensure_future(result)

    async def _guarded(
        self, handler: Handler, message: Message, result: Awaitable[Any]
    ) -> Any:
        try:
            return await result
        except Exception as error:
            return await self._recover(handler, message, error)

    async def _recover(
        self, handler: Handler, message: Message, error: Exception
    ) -> None:
        """Give an error to an exception handler; raises it where there is none."""
        taker = handler.handler_of(error)
        if taker is None:
            raise error
        bound = taker.bound(error)
        value = bound.invoke(message)
        if inspect.isawaitable(value):
            value = await value
        if bound.send_to or bound.send_to_user:
            self._publish(bound, message, value)

    def _publish(self, handler: Handler, message: Message, value: Any) -> None:
        """Send a handler's value to where its decorators say."""
        if value is None:
            return
        body, headers = encode_payload(value)
        for destination in handler.send_to:
            target = destination.format_map(message.variables)
            self._template.send(target, body, headers=headers)
        for user in handler.send_to_user:
            self._template.send_to_user(
                message.principal.id,
                user.destination.format_map(message.variables),
                body,
                session=None if user.broadcast else message.session.id,
                headers=headers,
            )
        if not handler.send_to and not handler.send_to_user:
            self._template.send(f"/topic{message.path}", body, headers=headers)


def encode_payload(value: Any) -> tuple[bytes, frames.Headers]:
    """A handler's value as a body: bytes as they are, text as UTF-8, else JSON."""
    if isinstance(value, bytes):
        return value, ()
    if isinstance(value, str):
        return value.encode(), (("content-type", "text/plain;charset=utf-8"),)
    return msgspec.json.encode(value), JSON


def _unknown(destination: str) -> NotGranted:
    return NotGranted("destination_unknown", f"nothing is at {destination!r}")
