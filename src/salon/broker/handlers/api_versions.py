"""ApiVersions (18): which APIs and versions this broker serves."""

from functools import cache

from salon.broker.channel import Request
from salon.broker.handlers.context import Context
from salon.broker.protocol import api_versions, versions

KEY = versions.API_VERSIONS

_encoded = cache(api_versions.encode)


def handle(context: Context, request: Request) -> None:
    """Answer from a cache: what a listener serves never changes."""
    request.respond(_encoded(request.header.api_version, request.owner.endpoint.apis))
