"""SockJS addresses: ``/{server}/{session}/{transport}`` under the service's prefix.

Both ids are any text without ``/`` and ``.``. The server id is for a proxy to route
by; the service ignores it. The session id names the session.
"""

from typing import NamedTuple

XHR = "xhr"
XHR_STREAMING = "xhr_streaming"
XHR_SEND = "xhr_send"
WEBSOCKET = "websocket"

TRANSPORTS = frozenset({XHR, XHR_STREAMING, XHR_SEND, WEBSOCKET})
"""The transports that are served. JSONP and the iframe page stay off: a script tag
reads across sites with the user's cookies."""


class SessionPath(NamedTuple):
    """A request to one session."""

    session: str
    transport: str


def greeting(path: str) -> bool:
    """Whether ``path`` (after the prefix) is the service's own address."""
    return path in {"", "/"}


def info(path: str) -> bool:
    return path in {"/info", "/info/"}


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
