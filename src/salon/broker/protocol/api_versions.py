"""ApiVersions: the conversation every client begins with (KIP-35, KIP-511)."""

from salon.broker.errors import Code
from salon.broker.protocol.primitives import Writer
from salon.broker.protocol.versions import ADVERTISED_LOWEST, API_VERSIONS, APIS


def encode(version: int, apis: frozenset[int]) -> bytes:
    """The response body for a listener that serves ``apis``; an unknown ``version`` gets error 35 in the form of v0."""
    known = version <= APIS[API_VERSIONS].highest
    version = version if known else 0
    w = Writer(compact=version >= 3)
    w.int16(Code.NONE if known else Code.UNSUPPORTED_VERSION)
    w.array(len(apis))
    for key in sorted(apis):
        api = APIS[key]
        w.int16(key)
        w.int16(ADVERTISED_LOWEST.get(key, api.lowest))
        w.int16(api.highest)
        w.tags()
    if version >= 1:
        w.int32(0)  # throttle_time_ms
    w.tags()
    return bytes(w.out)
