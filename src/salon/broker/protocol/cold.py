"""All other APIs, through kio's generated schemas.

kio (one dataclass per entity and version) is loaded when first needed: importing it
takes longer than starting the broker. ``warm_steps`` loads the newest schemas bit by
bit while the loop is idle, so that the first consumer group does not wait for it
either. It happens on the loop, a module a step: a thread would compete for the GIL and
the import locks with the very request that waits for the same module.

A handler builds its response with ``make``, naming the fields of the newest version;
the fields that the asked version does not have are dropped. Writing is kio's; reading
is ``schema_reader``'s, which says why.
"""

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

from salon.broker.errors import ProtocolError
from salon.broker.protocol import versions
from salon.broker.protocol.primitives import Reader

_modules: dict[tuple[int, int, str], ModuleType] = {}
_readers: dict[tuple[int, int], Callable[[Reader], Any]] = {}
_writers: dict[type, Any] = {}
_HAND_MADE = {
    versions.PRODUCE,
    versions.FETCH,
    versions.METADATA,
    versions.API_VERSIONS,
}
ZERO = timedelta(0)


def module(key: int, version: int, kind: str) -> ModuleType:
    """Kio's module of one API version; ``kind`` is ``request`` or ``response``."""
    found = _modules.get((key, version, kind))
    if found is None:
        from kio.index import load_payload_module
        from kio.static.constants import EntityType

        if kind == "request":
            found = load_payload_module(key, version, EntityType.request)
        else:
            found = load_payload_module(key, version, EntityType.response)
        _modules[key, version, kind] = found
    return found


def _root(key: int, version: int, kind: str) -> Any:
    name = versions.KNOWN[key].name + kind.capitalize()
    return getattr(module(key, version, kind), name)


def decode(key: int, version: int, buffer: memoryview, position: int) -> Any:
    """The request entity.

    Raises:
        ProtocolError: theirs; the bytes are no such request.
    """
    read = _readers.get((key, version))
    if read is None:
        from salon.broker.protocol import schema_reader

        read = schema_reader.of(_root(key, version, "request"))
        _readers[key, version] = read
    try:
        return read(Reader(buffer, position))
    except ProtocolError as error:
        name = versions.KNOWN[key].name
        raise ProtocolError(f"{name} v{version} cannot be read: {error}") from error


def decode_answer(key: int, version: int, body: memoryview) -> Any:
    """The response entity that another broker has sent, without its header.

    Raises:
        ProtocolError: theirs; the bytes are no such response.
    """
    from salon.broker.protocol import schema_reader

    return schema_reader.of(_root(key, version, "response"))(Reader(body))


def make(cls: Any, **values: Any) -> Any:
    """A response entity of ``cls``, without the fields its version lacks."""
    known = cls.__dataclass_fields__
    kept = {}
    for name, value in values.items():
        if name in known:
            kept[name] = tuple(value) if isinstance(value, list) else value
    if "throttle_time" in known and "throttle_time" not in kept:
        kept["throttle_time"] = ZERO
    return cls(**kept)


def encode(entity: Any) -> bytes:
    """The bytes of a response entity."""
    cls = type(entity)
    write = _writers.get(cls)
    if write is None:
        from kio.serial import entity_writer

        write = _writers[cls] = entity_writer(cls)
    out = io.BytesIO()
    write(out, entity)
    return out.getvalue()


def milliseconds(value: timedelta) -> int:
    """Kio's duration as whole milliseconds."""
    return value // timedelta(milliseconds=1)


def warm_steps() -> Iterator[None]:
    """Load the newest schema of every API that is not hand-made, one a step."""
    from salon.broker.protocol import schema_reader  # noqa: F401

    yield
    for key, api in versions.APIS.items():
        if key not in _HAND_MADE:
            for kind in ("request", "response"):
                module(key, api.highest, kind)
                yield
