"""ApiVersions (18): which APIs and versions this broker serves."""

from functools import cache

from salon.broker.channel import Request
from salon.broker.errors import Code, ProtocolError
from salon.broker.handlers.context import Context
from salon.broker.protocol import api_versions, versions

KEY = versions.API_VERSIONS

_UNKNOWN = versions.APIS[KEY].highest + 1
_encoded = cache(api_versions.encode)


def handle(context: Context, request: Request) -> None:
    """Note the client's software (KIP-511) and answer from a cache.

    What a listener serves never changes.
    """
    header, apis = request.header, request.owner.endpoint.apis
    error = Code.NONE
    try:
        software = api_versions.decode(request.frame, header.body, header.api_version)
        if software is not None:
            request.connection.software = software
    except ProtocolError:
        error, request.failed = Code.INVALID_REQUEST, True
        apis = frozenset()
    version = min(header.api_version, _UNKNOWN)  # unknown ones share an answer
    request.respond(_encoded(version, apis, error))
