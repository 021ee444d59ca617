"""Building answers with kio's schemas: the module of a version, and ``make``."""

from types import ModuleType
from typing import Any

from salon.broker.channel import Request
from salon.broker.protocol import cold


def decode(request: Request) -> Any:
    """The request's body as kio's entity of its version."""
    header = request.header
    return cold.decode(header.api_key, header.api_version, request.frame, header.body)


def schema(request: Request) -> ModuleType:
    """Kio's response module of the request's version."""
    return cold.module(request.header.api_key, request.header.api_version, "response")


def respond(request: Request, **fields: Any) -> None:
    """Answer with the top-level response entity of the request's version."""
    module = schema(request)
    entity = cold.make(getattr(module, f"{request.header.name}Response"), **fields)
    request.respond(cold.encode(entity))
