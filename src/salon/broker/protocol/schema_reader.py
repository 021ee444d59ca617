"""Reads a request by kio's schema, believing no length that it states.

kio generates one dataclass per entity and version from Kafka's own definitions; that is
the part of it we need most. Its native reader makes room for as many elements as an
array claims to have, and where memory does not suffice the *process* is aborted: twenty
bytes from anybody would end the broker. So requests are read here, field by field,
through ``Reader``, which refuses a length before anything is made for it.

``of(cls)`` turns the fields of an entity into a list of small functions, once.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from functools import cache
from typing import Any, get_origin

from kio.serial import _introspect as introspect
from kio.serial._implicit_defaults import get_tagged_field_default

from salon.broker.errors import ProtocolError
from salon.broker.protocol.primitives import Reader

Read = Callable[[Reader], Any]

_LONGEST_MS = -timedelta.min // timedelta(milliseconds=1)
"""Longer than that, to either side, ``timedelta`` cannot say, and nobody means it."""


@cache
def of(cls: Any) -> Read:
    """A function that reads one ``cls``.

    Its ``ProtocolError`` says what does not fit.
    """
    flexible = cls.__flexible__
    plain: list[tuple[str, Read]] = []
    tagged: dict[int, tuple[str, Read]] = {}
    defaults: dict[str, Any] = {}
    for field in fields(cls):
        tag = introspect.get_field_tag(field)
        read = _field(field, compact=flexible)
        if tag is None:
            plain.append((field.name, read))
        else:
            tagged[tag] = (field.name, read)
            defaults[field.name] = (
                get_tagged_field_default(field)
                if field.default is MISSING
                else field.default
            )

    def read_entity(r: Reader) -> Any:
        values = {name: read(r) for name, read in plain}
        if flexible:
            values |= defaults
            for tag, data in r.tags().items():
                if tag in tagged:  # others are of versions to come
                    name, read = tagged[tag]
                    values[name] = read(Reader(data))
        return cls(**values)

    return read_entity


def _field(field: Field[Any], *, compact: bool) -> Read:
    kind = introspect.classify_field(field)
    optional = introspect.is_optional(field)
    nullable = optional and get_origin(field.type) is not tuple  # the array itself
    if isinstance(kind, introspect.EntityField):
        if optional and "tag" not in field.metadata:
            raise NotImplementedError(f"{field.name}: a struct that may be null")
        return of(kind.type_)
    if isinstance(kind, introspect.EntityTupleField):
        return _array(of(kind.type_), compact=compact, nullable=nullable)
    name = introspect.get_schema_field_type(field)
    if isinstance(kind, introspect.PrimitiveTupleField):
        element = _primitive(name, compact=compact, optional=False)
        return _array(element, compact=compact, nullable=nullable)
    return _primitive(name, compact=compact, optional=optional)


def _array(element: Read, *, compact: bool, nullable: bool) -> Read:
    def read(r: Reader) -> tuple[Any, ...] | None:
        count = r.array_length(compact=compact)
        if count < 0:
            if not nullable:
                raise ProtocolError("an array that must be there is null")
            return None
        return tuple(element(r) for _ in range(count))

    return read


def _primitive(name: str, *, compact: bool, optional: bool) -> Read:
    if name == "string":
        if optional:
            return lambda r: r.nullable_string(compact=compact)
        return lambda r: r.string(compact=compact)
    if name in ("bytes", "records"):
        return lambda r: _bytes(r, compact=compact)
    return _FIXED[name]


def _bytes(r: Reader, *, compact: bool) -> bytes:
    """Null is read as nothing: no request here tells the two apart."""
    return bytes(r.nullable_bytes(compact=compact) or b"")


def _duration(ms: int) -> timedelta:
    return timedelta(milliseconds=max(-_LONGEST_MS, min(ms, _LONGEST_MS)))


_FIXED: dict[str, Read] = {
    "int8": Reader.int8,
    "int16": Reader.int16,
    "uint16": lambda r: r.int16() & 0xFFFF,
    "error_code": Reader.int16,  # of an answer
    "int32": Reader.int32,
    "int64": Reader.int64,
    "bool": Reader.boolean,
    # kio shows the id of all zeros as None, and durations as timedelta.
    "uuid": lambda r: value if (value := r.uuid()).int else None,
    "timedelta_i32": lambda r: timedelta(milliseconds=r.int32()),
    "timedelta_i64": lambda r: _duration(r.int64()),
}
