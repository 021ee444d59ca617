"""Calling handlers, and sending what they return.

Around every handler stand interceptors (Spring's ChannelInterceptor) and exception
handlers: first those of its controller, then those of *advice*, objects whose
``@message_exception_handler`` methods serve all controllers.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import structlog

from salon.messaging.conversion import encode_payload
from salon.messaging.mapping import Handler, closest_taker, exception_handlers_of
from salon.messaging.message import Message
from salon.messaging.template import MessagingTemplate
from salon.stomp import frames

log = structlog.get_logger("salon.messaging")

After = Callable[[Any, BaseException | None], None]
"""Told what became of a message: the value, or the error."""

Interceptor = Callable[[Message], After | None]
"""Sees each message that has a handler before it; a ``Refusal`` stops it (rates).
May return a function that is called when the result is there (times, traces)."""


class Addressed(NamedTuple):
    """A body on its way to a destination, or to a user's."""

    destination: str
    body: bytes
    headers: frames.Headers = ()
    user: str | None = None
    session: str | None = None


class Invoker:
    """Calls handlers in the company of interceptors and exception handlers."""

    def __init__(
        self,
        template: MessagingTemplate,
        interceptors: Sequence[Interceptor],
        advice: Iterable[object],
    ) -> None:
        self._template = template
        self._interceptors = interceptors
        self._advice = tuple(h for each in advice for h in exception_handlers_of(each))

    async def invoke(self, handler: Handler, message: Message) -> Any:
        """The value of a handler, or a future where it returned an awaitable."""
        afters = self._before(message)
        try:
            result = await self.call(handler, message)
        except Exception as error:
            _tell(afters, None, error)
            return await self._recover(handler, message, error)
        if not inspect.isawaitable(result):
            _tell(afters, result, None)
            return result
        if afters or handler.exceptions or self._advice:
            result = self._guarded(handler, message, result, afters)
        return asyncio.ensure_future(result)

    async def call(self, handler: Handler, message: Message) -> Any:
        """Run a handler's body; errors are the caller's affair."""
        result = handler.invoke(message)
        return await result if inspect.iscoroutine(result) else result

    def check(self, message: Message) -> None:
        """Let interceptors refuse a message that is handled in another way."""
        _tell(self._before(message), None, None)

    def addressed(
        self, handler: Handler, message: Message, value: Any
    ) -> Iterator[Addressed]:
        """Where a handler's value goes, as its decorators say; None goes nowhere."""
        if value is None:
            return
        body, headers = encode_payload(value)
        for destination in handler.send_to:
            target = destination.format_map(message.variables)
            yield Addressed(target, body, headers)
        for user in handler.send_to_user:
            yield Addressed(
                user.destination.format_map(message.variables),
                body,
                headers,
                message.principal.id,
                None if user.broadcast else message.session.id,
            )
        if not handler.send_to and not handler.send_to_user:
            yield Addressed(f"/topic{message.path}", body, headers)

    def publish(self, handler: Handler, message: Message, value: Any) -> None:
        """Send a handler's value to where it goes."""
        for each in self.addressed(handler, message, value):
            self.deliver(each)

    def deliver(self, sent: Addressed) -> None:
        """Give one message to the template."""
        if sent.user is None:
            self._template.send(sent.destination, sent.body, headers=sent.headers)
        else:
            self._template.send_to_user(
                sent.user,
                sent.destination,
                sent.body,
                session=sent.session,
                headers=sent.headers,
            )

    def _before(self, message: Message) -> list[After]:
        """Ask the interceptors; those that were asked hear of a refusal, too."""
        afters: list[After] = []
        try:
            for interceptor in self._interceptors:
                after = interceptor(message)
                if after is not None:
                    afters.append(after)
        except Exception as error:
            _tell(afters, None, error)
            raise
        return afters

    async def _guarded(
        self,
        handler: Handler,
        message: Message,
        result: Awaitable[Any],
        afters: list[After],
    ) -> Any:
        try:
            value = await result
        except Exception as error:
            _tell(afters, None, error)
            return await self._recover(handler, message, error)
        _tell(afters, value, None)
        return value

    async def _recover(
        self, handler: Handler, message: Message, error: Exception
    ) -> None:
        """Give an error to an exception handler; raises it where there is none."""
        taker = handler.handler_of(error) or closest_taker(self._advice, error)
        if taker is None:
            raise error
        bound = taker.bound(error)
        value = bound.invoke(message)
        if inspect.isawaitable(value):
            value = await value
        if bound.send_to or bound.send_to_user:
            self.publish(bound, message, value)


def _tell(afters: list[After], value: Any, error: BaseException | None) -> None:
    """The last to be asked is the first to be told."""
    for after in reversed(afters):
        try:
            after(value, error)
        except Exception:
            log.exception("messaging.interceptor")
