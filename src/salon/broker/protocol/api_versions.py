"""ApiVersions: the conversation every client begins with (KIP-35, KIP-511)."""

import re

from salon.broker.errors import Code, ProtocolError
from salon.broker.protocol.primitives import Reader, Writer
from salon.broker.protocol.versions import (
    ADVERTISED_HIGHEST,
    ADVERTISED_LOWEST,
    API_VERSIONS,
    APIS,
    KNOWN,
)

_SOFTWARE_FROM = 3
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]{0,98}[a-zA-Z0-9])?")
"""KIP-511's form of a client's name and version; no longer than 100 here."""


def decode(frame: memoryview, position: int, version: int) -> tuple[str, str] | None:
    """The name and version of the client's software; None before v3, which has none.

    Raises:
        ProtocolError: theirs; it ends early, or a name is not of KIP-511's form.
    """
    if not _SOFTWARE_FROM <= version <= APIS[API_VERSIONS].highest:
        return None
    reader = Reader(frame, position)
    name, number = reader.string(compact=True), reader.string(compact=True)
    for text in (name, number):
        if not _SOFTWARE.fullmatch(text):
            raise ProtocolError("a client's software is named by letters and digits")
    return name, number


def encode(version: int, apis: frozenset[int], error: int = Code.NONE) -> bytes:
    """The response body for a listener that serves ``apis``.

    An unknown ``version`` gets error 35 in the form of v0.
    """
    known = version <= APIS[API_VERSIONS].highest
    version = version if known else 0
    w = Writer(compact=version >= 3)
    w.int16(error if known else Code.UNSUPPORTED_VERSION)
    w.array(len(apis))
    for key in sorted(apis):
        api = KNOWN[key]
        w.int16(key)
        w.int16(ADVERTISED_LOWEST.get(key, api.lowest))
        w.int16(ADVERTISED_HIGHEST.get(key, api.highest))
        w.tags()
    if version >= 1:
        w.int32(0)  # throttle_time_ms
    w.tags()
    return bytes(w.out)
