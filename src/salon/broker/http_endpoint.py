"""A small HTTP endpoint for people and Prometheus: /metrics, /health, /status.

Not a web server: GET, one request a connection, loopback only. It shares no queue with
the Kafka listeners, so it answers while they are full.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from salon.broker.errors import SettingError

_TIMEOUT_S = 5.0
_LONGEST_HEAD = 8192
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Unavailable"}

Answer = tuple[int, str, str]
"""Status, content type, body."""


class HttpEndpoint:
    """Serves ``pages`` until it is closed.

    Args:
        pages: what to answer, by path.
    """

    def __init__(self, pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self.host = ""
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            SettingError: theirs; the address is taken or not ours.
        """
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=_LONGEST_HEAD
            )
        except OSError as error:
            raise SettingError(
                f"salon.metrics.listener: cannot listen on {host}:{port}: "
                f"{error.strerror}"
            ) from error
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(
            TimeoutError, ConnectionError, asyncio.IncompleteReadError, ValueError
        ):
            async with asyncio.timeout(_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        page = self._pages.get(path)
        if method != "GET":
            status, kind, body = 405, "text/plain", "GET is all there is\n"
        elif page is None:
            known = ", ".join(self._pages)
            status, kind, body = 404, "text/plain", f"there are {known}\n"
        else:
            status, kind, body = page()
        data = body.encode()
        return (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
            f"Content-Type: {kind}; charset=utf-8\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        ).encode() + data


def as_json(value: Any, status: int = 200) -> Answer:
    """A page of JSON."""
    return status, "application/json", json.dumps(value)
