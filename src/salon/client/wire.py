"""Bytes to a server and back: over WebSocket or plain TCP."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import picows

from salon.client.errors import Disconnected

SUBPROTOCOLS = "v12.stomp, v11.stomp"

OnData = Callable[[bytes], None]
OnClose = Callable[[Disconnected], None]


class Wire(Protocol):
    """One open connection."""

    def send(self, data: bytes) -> None:
        """Put one whole frame on its way; what waits is the caller's to bound."""

    def close(self) -> None:
        """Send what waits, then end."""


async def open_wire(
    url: str,
    on_data: OnData,
    on_close: OnClose,
    *,
    headers: Sequence[tuple[str, str]] = (),
) -> Wire:
    """Connect by WebSocket, or to ``tcp://host:port``.

    Args:
        url: where the server is; for WebSocket also ``http://host/ws``, the address of
            a SockJS service: its raw WebSocket is at ``http://host/ws/websocket``.
        on_data: called with bytes, cut anywhere.
        on_close: called once, when the connection is gone.
        headers: of the WebSocket handshake (``Cookie``, ``Origin``, ``Authorization``).

    Raises:
        Disconnected: theirs or the network's; nobody answers, or not with WebSocket.
        ValueError: ours; another scheme.
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "tcp":
            loop = asyncio.get_running_loop()
            _, stream = await loop.create_connection(
                lambda: _Stream(on_data, on_close),
                parts.hostname or "",
                parts.port or 61613,  # what STOMP brokers listen on by habit
            )
            return stream
        if parts.scheme in ("http", "https"):
            url = f"ws{url.removeprefix('http').rstrip('/')}/websocket"
        elif parts.scheme not in ("ws", "wss"):
            raise ValueError(f"{url!r} is neither ws://, wss://, http:// nor tcp://")
        _, listener = await picows.ws_connect(
            lambda: _Socket(on_data, on_close),
            url,
            extra_headers=[("Sec-WebSocket-Protocol", SUBPROTOCOLS), *headers],
        )
    except (OSError, picows.WSError, TimeoutError) as error:
        raise Disconnected(1006, str(error)) from error
    assert isinstance(listener, _Socket)
    return listener


class _Stream(asyncio.Protocol):
    """TCP."""

    def __init__(self, on_data: OnData, on_close: OnClose) -> None:
        self._on_data = on_data
        self._on_close = on_close
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_close(Disconnected(1006, str(exc or "")))

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()


class _Socket(picows.WSListener):
    """WebSocket; STOMP frames may span messages, so fragments need no joining."""

    def __init__(self, on_data: OnData, on_close: OnClose) -> None:
        super().__init__()
        self._on_data = on_data
        self._on_close = on_close
        self._transport: Any = None
        self._why = (1006, "")

    def on_ws_connected(self, transport: Any) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            self._why = (int(frame.get_close_code()), frame.get_close_message() or "")
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in _DATA:
            self._on_data(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: Any) -> None:
        self._on_close(Disconnected(*self._why))

    def send(self, data: bytes) -> None:
        # Text where it is text: some servers take nothing else.
        kind = picows.WSMsgType.TEXT
        try:
            data.decode()
        except UnicodeDecodeError:
            kind = picows.WSMsgType.BINARY
        self._transport.send(kind, data)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it is gone already
            self._transport.send_close(picows.WSCloseCode.OK)
            self._transport.disconnect()


_DATA = (
    picows.WSMsgType.TEXT,
    picows.WSMsgType.BINARY,
    picows.WSMsgType.CONTINUATION,
)
