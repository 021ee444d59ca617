"""HTTP/1.1 on one socket: uvicorn's protocol, with the limits that it leaves open.

uvicorn (httptools) takes heads of any size, waits for them for ever, and drops bytes
that follow an upgrade request in the same segment. This subclass bounds and times the
head, gives those bytes to the WebSocket protocol, and sets what every accepted socket
needs: a bounded send buffer and an end for peers that acknowledge nothing. HTTP/1.0
knows no chunks: there a body without a length ends with the connection.

It also puts ``salon.reset`` into the ASGI scope: a transport that streams to a reader
who reads no more must be able to end the connection, not only to stop writing.
"""

import contextlib
import socket
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from salon.gateway.handover import GatewayConfig, Handover
from salon.gateway.timer import Timer
from salon.gateway.websocket import reset

RESET = "salon.reset"
"""Key of the ASGI scope: a function that ends the connection with RST."""


class _HeadTooBig(Exception):
    pass


class _UntilClosed(int):
    """What is left of a body without a length, in uvicorn's count: always enough."""

    def __lt__(self, other: int) -> bool:
        return False

    def __sub__(self, other: int) -> "_UntilClosed":
        return self


class Http11(HttpToolsProtocol):
    """One accepted connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._edge = cast("GatewayConfig", self.config).edge
        self._head_bytes = 0
        self._head_timer: Timer | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _prepare(transport.get_extra_info("socket"), self._edge.limits)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._head_is_there()
            if not self._should_upgrade():
                return  # an upgrade to something else: served as plain HTTP
            if not getattr(self.cycle, "response_complete", True):
                self.send_400_response("Upgrade behind an unfinished request.")
                return
            self.handle_websocket_upgrade()
            self._pass_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooBig):
                self._refuse(b"431 Request Header Fields Too Large")
            else:
                self.send_400_response("Invalid HTTP request received.")

    def cut(self) -> None:
        """End the connection at once, with RST."""
        reset(self.transport)

    # -- the parser's callbacks -----------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[RESET] = self.cut
        self._head_bytes = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)
        if len(self.headers) > self._edge.limits.headers:
            raise _HeadTooBig

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0" and self.cycle is not None:
            self.cycle.chunked_encoding = False
            self.cycle.expected_content_length = _UntilClosed()

    # -- inside ---------------------------------------------------------------

    def _pass_on(self, rest: bytes) -> None:
        protocol = self.transport.get_protocol()
        if rest and isinstance(protocol, Handover):
            protocol.feed(rest)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._edge.limits.head:
            raise _HeadTooBig

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self._edge.wheel.call_later(
                self._edge.limits.head_seconds, self._head_is_late
            )

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_bytes or self.headers:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                % status
            )
            self.transport.close()


def _prepare(sock: Any, limits: Any) -> None:
    """Options for an accepted socket; a Unix socket has not all of them."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(
                socket.IPPROTO_TCP,
                socket.TCP_USER_TIMEOUT,
                round(limits.user_timeout * 1000),
            )
