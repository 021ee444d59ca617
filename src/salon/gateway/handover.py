"""A WebSocket upgrade leaves uvicorn here and goes on as picows' protocol.

uvicorn speaks HTTP on the port. When a request asks for an upgrade it constructs the
class given as ``ws=``, replays the request's head to it and makes it the transport's
protocol. ``Handover`` is such a class on top of picows' Cython protocol, so echo and
fan-out cost what picows costs, and REST what uvicorn costs, on one port.

This is the only module that touches picows: its ``WSProtocol`` has a constructor of
15 positional arguments that its documentation does not promise (hence the pinned
version), and behaviour that the steps below answer:

* it wants ``Connection`` to be exactly ``upgrade``; Firefox and many proxies send
  ``keep-alive, Upgrade``: the replayed head is rewritten;
* it answers 500 with the text of an exception in its listener factory: ours catches
  everything and answers fixed bodies;
* it calls the factory before it checks the handshake: the factory changes nothing,
  and checks the handshake itself;
* it calls ``on_ws_connected`` while the HTTP protocol still owns the transport: the
  channel opens in the next tick;
* its automatic PING is a task per connection, its automatic PONG is unbounded, and
  its logger is a new object per connection: all three are off.

An upgrade never reaches the ASGI app: origin, path, limits and proxies are decided
here, by the same ``Edge`` that the HTTP transports ask.
"""

import base64
import binascii
import json
from http import HTTPStatus
from typing import Any, Self, cast
from urllib.parse import unquote

import structlog
from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
)
from picows.common import WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]
from uvicorn.config import Config
from uvicorn.server import ServerState

from salon.errors import Refusal
from salon.gateway.connections import RESTART
from salon.gateway.edge import Edge, choose_subprotocol, parse_cookies
from salon.gateway.framing import PLAIN, SOCKJS, Framing
from salon.gateway.websocket import WebSocketChannel, reset
from salon.messaging.channel import Handshake
from salon.sockjs import paths

log = structlog.get_logger("salon.gateway")

_READ_BUFFER = 2048
"""Bytes; the least picows takes. It doubles on demand and never shrinks, so the
largest frame also bounds what an idle connection may keep."""

_ANSWERED = frozenset(
    {
        "connection",
        "upgrade",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)
"""Headers of the handshake itself: kept no longer than it takes."""


class GatewayConfig(Config):
    """uvicorn's configuration, which also carries our edge to every protocol."""

    edge: Edge


class Handover(WSProtocol):  # type: ignore[misc] # compiled, without stubs
    """One upgraded connection, constructed by uvicorn with these keywords."""

    __slots__ = ("_edge", "_remote", "_server", "channel")

    def __new__(
        cls, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> Self:
        # A compiled class checks its own arguments in __new__.
        return cast("Self", WSProtocol.__new__(cls))

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._edge = cast("GatewayConfig", config).edge
        self._server = server_state
        self._remote = ""
        self.channel: WebSocketChannel | None = None
        super().__init__(
            None,  # host_port
            None,  # ws_path
            False,  # is_client_side
            self._accept,  # ws_listener_factory
            cast("Any", self),  # logger
            True,  # disconnect_on_exception
            self._edge.limits.head_seconds,  # websocket_handshake_timeout
            False,  # enable_auto_ping
            0,  # auto_ping_idle_timeout
            0,  # auto_ping_reply_timeout
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong
            self._edge.limits.message,  # max_frame_size
            None,  # extra_headers
            _READ_BUFFER,
        )

    # -- what uvicorn calls ---------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._server.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if peer else ""
        super().connection_made(transport)

    def data_received(self, head: bytes) -> None:
        """Take the replayed request head; everything later comes by ``get_buffer``."""
        if not head.startswith(b"GET "):
            transport = self.transport.underlying_transport
            transport.write(_METHOD_REFUSED)
            transport.close()
            return
        self.feed(_with_plain_connection_header(head))

    def feed(self, data: bytes) -> None:
        """Take bytes as if they had been read from the socket."""
        view = memoryview(data)
        while view and not self.transport.is_disconnected:
            buffer = self.get_buffer(len(view))
            size = min(len(buffer), len(view))
            buffer[:size] = view[:size]
            self.buffer_updated(size)
            view = view[size:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops."""
        if self.channel is None:
            self.transport.disconnect()
        else:
            self.channel.close(RESTART, "the server restarts")

    def cut(self) -> None:
        """End the connection at once, with RST."""
        reset(self.transport.underlying_transport)

    # -- the logger of picows: itself, to hear of faults ----------------------

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return False

    def error(self, message: str, *args: Any) -> None:
        """A peer has broken the protocol: ``args`` are those of the exception."""
        if self.channel is not None and args and isinstance(args[0], tuple):
            self.channel.fault(*args[0])

    def exception(self, message: str, *args: Any) -> None:
        log.exception("gateway.picows")  # noqa: LOG004 - called inside one

    def log(self, *args: Any) -> None:
        """Errors of peers are no news."""

    debug = info = warning = log

    # -- the listener factory -------------------------------------------------

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Decide about the handshake; no side effects, no exceptions, fixed bodies."""
        try:
            channel = self._negotiate(request)
        except Refusal as refusal:
            return WSUpgradeResponseWithListener(_refused(refusal), None)
        except Exception:
            log.exception("gateway.handshake")
            return WSUpgradeResponseWithListener(_refused(_INTERNAL), None)
        extra = {}
        if channel.handshake.subprotocol is not None:
            extra["Sec-WebSocket-Protocol"] = channel.handshake.subprotocol
        self.channel = channel
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_101_response(extra), _Listener(channel)
        )

    def _negotiate(self, request: WSUpgradeRequest) -> WebSocketChannel:
        target = request.path.decode("ascii", "replace").partition("?")[0]
        path = unquote(target)
        service, framing = _service_of(path, self._edge)
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            key = name.lower()
            if key in headers and key in {"origin", "host", "sec-websocket-key"}:
                raise Refusal("bad_request", f"The header {key} came twice.", field=key)
            joint = "; " if key == "cookie" else ", "
            headers[key] = headers[key] + joint + value if key in headers else value
        remote = self._edge.peers.remote(self._remote, headers.get("x-forwarded-for"))
        self._edge.check_origin(headers)
        _check_handshake(headers)
        self._edge.admit(headers, remote)
        subprotocol = choose_subprotocol(headers.get("sec-websocket-protocol", ""))
        handshake = Handshake(
            path=path,
            headers={k: v for k, v in headers.items() if k not in _ANSWERED},
            cookies=parse_cookies(headers.get("cookie", "")),
            remote=remote,
            transport="websocket",
            subprotocol=subprotocol,
        )
        return WebSocketChannel(service, handshake, framing)


class _Listener(WSListener):
    """Calls of picows, as plain values for the channel."""

    __slots__ = ("_channel",)

    def __init__(self, channel: WebSocketChannel) -> None:
        self._channel = channel

    def on_ws_connected(self, transport: WSTransport) -> None:
        # The transport keeps both as long as it lives; they have said what they had to.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._channel.connected(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._channel.frame(
            frame.msg_type.value,
            bool(frame.fin),
            bool(frame.rsv1 or frame.rsv2 or frame.rsv3),
            frame.get_payload_as_bytes(),
        )

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._channel.lost()

    def pause_writing(self) -> None:
        self._channel.pause()

    def resume_writing(self) -> None:
        self._channel.resume()


def _with_plain_connection_header(head: bytes) -> bytes:
    """The head with ``Connection: upgrade`` in place of any list that contains it."""
    lines = [
        line
        for line in head.split(b"\r\n")
        if not line.lower().startswith(b"connection:")
    ]
    lines.insert(1, b"connection: upgrade")
    return b"\r\n".join(lines)


def _service_of(path: str, edge: Edge) -> tuple[Edge, Framing]:
    """The service at ``path``, and the framing that is spoken there.

    Raises:
        Refusal: theirs; nothing is there.
    """
    service = edge.at(path)
    if service is not None and service.sockjs.websocket:
        below = path[len(service.prefix) :]
        if paths.greeting(below) or paths.raw_websocket(below):
            return service, PLAIN
        session = paths.session(below)
        if session is not None and session.transport == paths.WEBSOCKET:
            return service, SOCKJS
    raise Refusal("not_found", "There is no WebSocket at this address.", status=404)


def _check_handshake(headers: dict[str, str]) -> None:
    """RFC 6455, section 4.2.1, as far as uvicorn has not looked at it.

    Raises:
        Refusal: theirs; ``bad_request`` with the header, or 426.
    """
    if headers.get("sec-websocket-version") != "13":
        raise Refusal(
            "bad_request",
            "The server speaks WebSocket version 13.",
            field="sec-websocket-version",
            status=426,
        )
    key = headers.get("sec-websocket-key", "")
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise Refusal(
            "bad_request",
            "The header is not 16 bytes in base64.",
            field="sec-websocket-key",
        )


def _refused(refusal: Refusal) -> WSUpgradeResponse:
    extra = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        extra["Retry-After"] = str(max(1, round(refusal.retry_after)))
    if refusal.status == 426:
        extra["Sec-WebSocket-Version"] = "13"
    response = WSUpgradeResponse.create_error_response(
        HTTPStatus(refusal.status), json.dumps(refusal.as_json()).encode(), extra
    )
    return cast("WSUpgradeResponse", response)


_INTERNAL = Refusal("internal", "The server made a mistake.", status=500)

_METHOD_REFUSED = (
    b"HTTP/1.1 405 Method Not Allowed\r\n"
    b"allow: GET\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
