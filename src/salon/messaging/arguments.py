"""What a handler's parameters get, worked out once from their names and annotations.

In this order: a parameter named like a destination variable gets it (converted to its
annotation); ``Principal``, ``Session``, ``Headers``, ``ReceiptHeaders`` and ``Message``
are known by their types; the one that is left gets the payload: ``bytes`` raw, ``str``
as UTF-8, anything else from JSON and validated by msgspec.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from salon.errors import Error, Refusal
from salon.messaging.message import Headers, Message, ReceiptHeaders
from salon.messaging.principal import Principal
from salon.messaging.sessions import Session

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
    hints = typing.get_type_hints(function)
    resolvers: dict[str, Resolver] = {}
    payload: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise MappingError(f"{name}: *{parameter.name} cannot be filled")
        kind = hints.get(parameter.name, Any)
        if parameter.name in variables:
            resolvers[parameter.name] = _variable(parameter.name, kind)
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
