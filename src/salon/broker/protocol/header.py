"""The header of a request: which API, which version, which answer belongs to it."""

import struct
from typing import NamedTuple

from salon.broker.errors import ProtocolError
from salon.broker.protocol.primitives import Reader
from salon.broker.protocol.versions import API_VERSIONS, KNOWN

_FIXED = struct.Struct(">hhih")
_I32_PAIR = struct.Struct(">ii")
_FLEXIBLE_PREFIX = struct.Struct(">iib")


class RequestHeader(NamedTuple):
    """RequestHeader v1 and v2 (the tagged fields of v2 carry nothing today)."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body: int
    """Where the body begins in the frame."""

    @property
    def flexible(self) -> bool:
        return self.api_version >= KNOWN[self.api_key].flexible

    @property
    def name(self) -> str:
        return KNOWN[self.api_key].name


def parse(frame: memoryview) -> RequestHeader:
    """The header of a frame (without its length prefix).

    Raises:
        ProtocolError: theirs; an API or version that is not served, except an unknown
            version of ApiVersions, which the handler answers (KIP-511).
    """
    if len(frame) < _FIXED.size:
        raise ProtocolError(f"a request of {len(frame)} bytes has no header")
    key, version, correlation_id, size = _FIXED.unpack_from(frame)
    api = KNOWN.get(key)
    if api is None:
        raise ProtocolError(f"API {key} is not served")
    if key == API_VERSIONS and version > api.highest:
        return RequestHeader(key, version, correlation_id, None, len(frame))
    if not api.lowest <= version <= api.highest:
        raise ProtocolError(
            f"{api.name} v{version} is not served, v{api.lowest} to v{api.highest} are"
        )
    position = _FIXED.size
    client_id = None
    if size >= 0:
        stop = position + size
        if stop > len(frame):
            raise ProtocolError("the client id is longer than the request")
        try:
            client_id = str(frame[position:stop], "utf-8")
        except UnicodeDecodeError:
            raise ProtocolError("the client id is not UTF-8") from None
        position = stop
    if version >= api.flexible:
        reader = Reader(frame, position)
        reader.skip_tags()
        position = reader.position
    return RequestHeader(key, version, correlation_id, client_id, position)


def response_prefix(header: RequestHeader, body_size: int) -> bytes:
    """Length prefix and response header in front of ``body_size`` bytes."""
    key, version, correlation_id, _, _ = header
    if version >= KNOWN[key].flexible and key != API_VERSIONS:
        return _FLEXIBLE_PREFIX.pack(body_size + 5, correlation_id, 0)
    return _I32_PAIR.pack(body_size + 4, correlation_id)
