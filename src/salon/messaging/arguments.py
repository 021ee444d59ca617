"""What a handler's parameters get, worked out once from their names and annotations.

In this order: a parameter named like a destination variable gets it (converted to its
annotation); ``Annotated[int, Header("priority")]`` gets that header, converted as well;
``Principal``, ``Session``, ``Headers``, ``ReceiptHeaders`` and ``Message`` are known by
their types; the one that is left gets the payload: ``bytes`` raw, ``str``
as UTF-8, anything else from JSON and validated by msgspec.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from salon.errors import Error, Refusal
from salon.messaging.message import Headers, Message, ReceiptHeaders
from salon.messaging.principal import Principal
from salon.messaging.sessions import Session


@dataclass(frozen=True)
class Header:
    """Marks a parameter that gets one header of the frame (Spring's ``@Header``).

    A message without the header is refused, unless the parameter has a default.
    """

    name: str


Resolver = Callable[[Message], Any]


class MappingError(Error):
    """Ours: controllers that cannot work, found at start-up; names the handler."""


BY_TYPE: dict[Any, Resolver] = {
    Principal: lambda message: message.principal,
    Session: lambda message: message.session,
    Headers: lambda message: message.headers,
    ReceiptHeaders: lambda message: message.receipt,
    Message: lambda message: message,
}


def resolvers_of(
    name: str,
    function: Callable[..., Any],
    variables: tuple[str, ...],
    known: Mapping[Any, Resolver] = BY_TYPE,
) -> dict[str, Resolver]:
    """A resolver for each parameter of a bound method.

    Raises:
        MappingError: ours; two parameters could be the payload, or ``*args``.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    resolvers: dict[str, Resolver] = {}
    payload: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise MappingError(f"{name}: *{parameter.name} cannot be filled")
        kind, header = _unwrapped(hints.get(parameter.name, Any))
        if parameter.name in variables:
            resolvers[parameter.name] = _variable(parameter.name, kind)
        elif header is not None:
            resolvers[parameter.name] = _header(header.name, kind, parameter.default)
        elif kind in known:
            resolvers[parameter.name] = known[kind]
        elif payload is not None:
            raise MappingError(
                f"{name}: {payload!r} and {parameter.name!r} could both be the payload;"
                " name one like a destination variable or annotate it with a known type"
            )
        else:
            payload = parameter.name
            resolvers[payload] = payload_of(kind)
    return resolvers


def _unwrapped(hint: Any) -> tuple[Any, Header | None]:
    """The type of an annotation, and whether it names a header.

    What else is annotated (limits of msgspec) stays with the type.
    """
    extras = getattr(hint, "__metadata__", ())
    header = next((each for each in extras if isinstance(each, Header)), None)
    return (hint if header is None else hint.__origin__), header


def _header(name: str, kind: Any, default: Any) -> Resolver:
    def get(message: Message) -> Any:
        value = message.headers.get(name)
        if value is None:
            if default is inspect.Parameter.empty:
                raise Refusal(
                    "header_missing", f"The header {name!r} is missing.", field=name
                )
            return default
        if kind in (Any, str):
            return value
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            raise Refusal("invalid_header", str(error), field=name) from None

    return get


def _variable(name: str, kind: Any) -> Resolver:
    if kind in (Any, str):
        return lambda message: message.variables[name]

    def convert(message: Message) -> Any:
        try:
            return msgspec.convert(message.variables[name], kind, strict=False)
        except msgspec.ValidationError as error:
            raise Refusal("invalid_destination", str(error), field=name) from None

    return convert


def payload_of(kind: Any) -> Resolver:
    """A resolver that reads the body as ``kind``."""
    if kind is bytes:
        return lambda message: message.body
    if kind is str:
        return _text
    decoder = msgspec.json.Decoder(kind)

    def decode(message: Message) -> Any:
        try:
            return decoder.decode(message.body)
        except msgspec.ValidationError as error:
            field = re.search(r"`\$\.([\w.]+)", str(error))
            missing = re.search(r"missing required field `(\w+)`", str(error))
            blame = missing or field
            raise Refusal(
                "invalid_payload", str(error), field=blame[1] if blame else None
            ) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Refusal("invalid_payload", "the body must be JSON") from None

    return decode


def _text(message: Message) -> str:
    try:
        return message.body.decode()
    except UnicodeDecodeError:
        raise Refusal("invalid_payload", "the body must be UTF-8 text") from None
