"""Controllers: methods that take messages, found by their decorators.

Spring's annotations under Python's names::

    @message_mapping("/chat")                     # a prefix for all of the class
    class Rooms:
        @message_mapping("/{room}")               # SEND to /app/chat/{room}
        @send_to("/topic/chat/{room}")
        async def say(self, room: str, payload: Said, principal: Principal) -> Said: ...

        @subscribe_mapping("/{room}/people")      # SUBSCRIBE: answered once, directly
        async def people(self, room: str) -> list[str]: ...

        @message_exception_handler(RoomFull)
        @send_to_user("/queue/full")
        def full(self, error: RoomFull) -> dict[str, str]: ...

A handler returns what is to be sent (None: nothing), or an awaitable of it: its
*async result*. The session's next message is taken when the handler returned, not when
the result is there; so handlers of one session never overlap and results may.

Where the value goes: to the destinations of ``send_to`` and ``send_to_user``, whose
``{placeholders}`` are destination variables; with neither, to ``/topic`` + path.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from salon.messaging.ant import AntPattern, compare, overlaps
from salon.messaging.arguments import (
    BY_TYPE,
    MappingError,
    Resolver,
    resolvers_of,
)
from salon.messaging.message import Message

T = TypeVar("T")

_MAPPING = "__salon_mapping__"
_SEND_TO = "__salon_send_to__"
_TO_USER = "__salon_send_to_user__"
_HANDLES = "__salon_handles__"
_TRANSACTIONAL = "__salon_transactional__"

SEND = "SEND"
SUBSCRIBE = "SUBSCRIBE"


@dataclass(frozen=True, slots=True)
class ToUser:
    """Where ``send_to_user`` sends: all sessions of the speaker, or only this one."""

    destination: str
    broadcast: bool


def message_mapping(*patterns: str) -> Callable[[T], T]:
    """Take SENDs to ``/app`` + pattern; on a class: a prefix of all its patterns."""
    return _marked(_MAPPING, (SEND, patterns))


def subscribe_mapping(*patterns: str) -> Callable[[T], T]:
    """Answer SUBSCRIBEs to ``/app`` + pattern, once, to the subscriber only."""
    return _marked(_MAPPING, (SUBSCRIBE, patterns))


def send_to(*destinations: str) -> Callable[[T], T]:
    """Send what is returned to these; on a class: the default of its methods."""
    return _marked(_SEND_TO, destinations)


def send_to_user(*destinations: str, broadcast: bool = True) -> Callable[[T], T]:
    """Send what is returned to the speaker's ``/user`` + destination; also on a class."""
    return _marked(_TO_USER, tuple(ToUser(d, broadcast) for d in destinations))


def message_exception_handler(*kinds: type[Exception]) -> Callable[[T], T]:
    """Take exceptions that handlers of the same controller raise."""
    return _marked(_HANDLES, kinds)


def transactional(handler: T) -> T:
    """All that this handler does is what it returns: it may be part of a transaction.

    Nothing of a transaction may be left of one that fails, and what a handler does
    besides (a database, a session's attributes) would be.
    """
    return _marked(_TRANSACTIONAL, True)(handler)


def _marked(name: str, value: Any) -> Callable[[T], T]:
    def mark(target: T) -> T:
        setattr(target, name, value)
        return target

    return mark


@dataclass(frozen=True)
class Handler:
    """A method that takes messages, and where its value goes.

    Attributes:
        name: ``Class.method``, for errors and logs.
        exceptions: the exception handlers of its controller, in order of definition.
        transactional: whether it does nothing besides what it returns.
    """

    name: str
    function: Callable[..., Any]
    resolvers: Mapping[str, Resolver]
    send_to: tuple[str, ...] = ()
    send_to_user: tuple[ToUser, ...] = ()
    exceptions: tuple["ExceptionHandler", ...] = ()
    transactional: bool = False

    def invoke(self, message: Message) -> Any:
        """Call it; the value, a coroutine or another awaitable.

        Raises:
            Refusal: theirs; the payload or a variable does not fit.
        """
        arguments = {name: get(message) for name, get in self.resolvers.items()}
        return self.function(**arguments)

    def handler_of(self, error: Exception) -> "ExceptionHandler | None":
        """The exception handler of its controller that takes this error."""
        return closest_taker(self.exceptions, error)


@dataclass(frozen=True)
class ExceptionHandler:
    """A method that takes exceptions of its controller's handlers."""

    kinds: tuple[type[Exception], ...]
    function: Callable[..., Any]
    name: str
    send_to: tuple[str, ...]
    send_to_user: tuple[ToUser, ...]

    def bound(self, error: Exception) -> Handler:
        """A handler of the message that led to this error."""
        known = {**BY_TYPE, **dict.fromkeys(self.kinds, lambda _: error)}
        known[Exception] = lambda _: error
        return Handler(
            self.name,
            self.function,
            resolvers_of(self.name, self.function, (), known),
            self.send_to,
            self.send_to_user,
        )


def closest_taker(
    handlers: Iterable[ExceptionHandler], error: Exception
) -> ExceptionHandler | None:
    """Of these, the one that names the error's class, or the nearest base of it.

    Spring's ExceptionDepthComparator; of two that are as near, the first.
    """
    bases = type(error).__mro__
    taking = [
        (
            min((bases.index(k) for k in handler.kinds if k in bases), default=99),
            handler,
        )
        for handler in handlers
        if isinstance(error, handler.kinds)
    ]
    return min(taking, key=lambda each: each[0])[1] if taking else None


@dataclass(frozen=True)
class HandlerMapping:
    """A pattern and its handler."""

    kind: str
    pattern: AntPattern
    handler: Handler

    @property
    def key(self) -> str:
        """The pattern without the names of its variables."""
        return re.sub(r"\{\w+\}", "{}", self.pattern.text)


def mappings_of(controller: object, separator: str = "/") -> list[HandlerMapping]:
    """All mappings of a controller.

    Raises:
        MappingError: ours; a bad pattern, placeholder or parameter.
    """
    kind = type(controller)
    prefixes = getattr(kind, _MAPPING, (SEND, ("",)))[1]
    exceptions = exception_handlers_of(controller)
    found = []
    for name, method in _methods(controller):
        if not hasattr(method, _MAPPING):
            continue
        what, patterns = getattr(method, _MAPPING)
        for prefix in prefixes:
            for text in patterns or ("",):
                pattern = _pattern(name, _combined(prefix, text, separator), separator)
                handler = _handler(name, method, kind, pattern, exceptions)
                found.append(HandlerMapping(what, pattern, handler))
    return found


def exception_handlers_of(controller: object) -> tuple[ExceptionHandler, ...]:
    """The exception handlers of a controller, or of advice, in order of definition."""
    return tuple(
        ExceptionHandler(
            getattr(method, _HANDLES) or (Exception,),
            method,
            name,
            getattr(method, _SEND_TO, ()),
            getattr(method, _TO_USER, ()),
        )
        for name, method in _methods(controller)
        if hasattr(method, _HANDLES)
    )


def _methods(controller: object) -> list[tuple[str, Callable[..., Any]]]:
    """Names (``Class.method``) and bound methods."""
    kind = type(controller)
    return [
        (f"{kind.__name__}.{name}", getattr(controller, name))
        for name in _method_names(kind)
    ]


def _combined(prefix: str, text: str, separator: str) -> str:
    """A class's prefix and a method's pattern, as one path (which starts with ``/``).

    ``/`` may be left out where it can only be meant; with another separator, the
    parts are joined by that: ``red`` and ``blue.{shade}`` is ``/red.blue.{shade}``.
    """
    parts = [part.strip("/") if separator != "/" else part for part in (prefix, text)]
    first, second = parts
    if separator != "/":
        joined = separator.join(filter(None, (first, second.removeprefix(separator))))
        return f"/{joined}"
    if second and not second.startswith("/"):
        second = f"/{second}"
    joined = first.removesuffix("/") + second
    return joined if joined.startswith("/") or not joined else f"/{joined}"


def _method_names(kind: type) -> list[str]:
    """In order of definition, those of base classes first."""
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        names.update(dict.fromkeys(vars(base)))
    return [n for n in names if callable(getattr(kind, n)) and not n.startswith("__")]


def _pattern(name: str, text: str, separator: str) -> AntPattern:
    try:
        return AntPattern(text, separator)
    except ValueError as error:
        raise MappingError(f"{name}: {error}") from None


def _handler(
    name: str,
    method: Callable[..., Any],
    kind: type,
    pattern: AntPattern,
    exceptions: tuple[ExceptionHandler, ...],
) -> Handler:
    own = hasattr(method, _SEND_TO) or hasattr(method, _TO_USER)
    says = method if own else kind  # a class gives the default of its methods
    to_user = getattr(says, _TO_USER, ())
    to = getattr(says, _SEND_TO, ())
    for destination in (*to, *(user.destination for user in to_user)):
        for placeholder in re.findall(r"\{(\w+)\}", destination):
            if placeholder not in pattern.names:
                raise MappingError(
                    f"{name}: {destination!r} names {placeholder!r}, which is no"
                    f" variable of {pattern.text!r}"
                )
    resolvers = resolvers_of(name, method, pattern.names)
    return Handler(
        name,
        method,
        resolvers,
        to,
        to_user,
        exceptions,
        getattr(method, _TRANSACTIONAL, False),
    )


class MappingTable:
    """Finds the handler of a path: an exact one first, else the best pattern.

    Raises:
        MappingError: ours; two mappings between which nothing decides.
    """

    def __init__(self, mappings: Iterable[HandlerMapping]) -> None:
        self._exact: dict[str, Handler] = {}
        self._patterns: list[HandlerMapping] = []
        seen: dict[str, str] = {}
        for mapping in mappings:
            name = mapping.handler.name
            if mapping.key in seen:
                raise _ambiguous(mapping, seen[mapping.key])
            seen[mapping.key] = name
            if mapping.pattern.is_literal:
                self._exact[mapping.pattern.text] = mapping.handler
                continue
            for other in self._patterns:
                if not compare(mapping.pattern, other.pattern) and overlaps(
                    mapping.pattern, other.pattern
                ):
                    raise _ambiguous(mapping, other.handler.name)
            self._patterns.append(mapping)

    def find(self, path: str) -> tuple[Handler, dict[str, str]] | None:
        """The handler of a path and its variables."""
        handler = self._exact.get(path)
        if handler is not None:
            return handler, {}
        best: tuple[HandlerMapping, dict[str, str]] | None = None
        for mapping in self._patterns:
            variables = mapping.pattern.match(path)
            if variables is None:
                continue
            if best is None or compare(mapping.pattern, best[0].pattern) < 0:
                best = mapping, variables
        return None if best is None else (best[0].handler, best[1])


def _ambiguous(mapping: HandlerMapping, other: str) -> MappingError:
    return MappingError(
        f"ambiguous mapping: {mapping.kind} {mapping.pattern.text!r} could go to"
        f" {mapping.handler.name} and to {other}"
    )
