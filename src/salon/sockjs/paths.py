"""SockJS addresses: ``/{server}/{session}/{transport}`` under the service's prefix.

Both ids are any text without ``/`` and ``.``. The server id is for a proxy to route
by; the service ignores it. The session id names the session.
"""

import re
from typing import NamedTuple

XHR = "xhr"
XHR_STREAMING = "xhr_streaming"
XHR_SEND = "xhr_send"
WEBSOCKET = "websocket"

EVENTSOURCE = "eventsource"
HTMLFILE = "htmlfile"
JSONP = "jsonp"
JSONP_SEND = "jsonp_send"

TRANSPORTS = frozenset(
    {WEBSOCKET, XHR, XHR_STREAMING, XHR_SEND, EVENTSOURCE, HTMLFILE, JSONP, JSONP_SEND}
)
"""All transports of the protocol; which are served is for the service to say."""

_IFRAME = re.compile(r"/iframe[0-9\-.a-z_]*\.html")


class SessionPath(NamedTuple):
    """A request to one session."""

    session: str
    transport: str


def greeting(path: str) -> bool:
    """Whether ``path`` (after the prefix) is the service's own address."""
    return path in {"", "/"}


def info(path: str) -> bool:
    return path in {"/info", "/info/"}


def chunking_test(path: str) -> bool:
    """Whether ``path`` is where old clients test what proxies do to chunks."""
    return path in {"/chunking_test", "/chunking_test/"}


def iframe(path: str) -> bool:
    """Whether ``path`` is the page for iframes; its name may have a version."""
    return _IFRAME.fullmatch(path) is not None


def raw_websocket(path: str) -> bool:
    """Whether ``path`` is the WebSocket without SockJS framing."""
    return path in {"/websocket", "/websocket/"}


def session(path: str) -> SessionPath | None:
    """The session and transport of ``path`` (after the prefix), or None."""
    parts = path.removesuffix("/").split("/")
    if len(parts) != 4 or parts[0]:
        return None
    _, server_id, session_id, transport = parts
    if transport not in TRANSPORTS:
        return None
    if not server_id or not session_id or "." in server_id or "." in session_id:
        return None
    return SessionPath(session_id, transport)
