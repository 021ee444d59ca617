"""As much HTTP/1.1 as a SockJS client needs: one connection, one request at a time.

Requests have a body with a length; answers may be streams. Connections are kept alive,
cookies of the server are sent back to it (``JSESSIONID``, by which proxies route), and
nothing is tried twice: a request whose answer did not come may have taken effect.
Redirects are not followed, and proxies of the environment are not asked.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import SplitResult

import httptools

from salon.client.errors import Disconnected

HEAD_MAX = 64 * 1024
"""Bytes of an answer's head."""
BODY_MAX = 1 << 24
"""Bytes of an answer that is read as a whole."""
_READ = 64 * 1024


class Cookies:
    """What a server has set; shared by the connections of one session."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def take(self, header: str) -> None:
        """Remember a ``Set-Cookie``."""
        try:
            found = SimpleCookie(header)
        except CookieError:
            return
        self._values.update({name: each.value for name, each in found.items()})

    def header(self, given: str | None) -> str | None:
        """``Cookie``: the caller's own, and what the server has set."""
        pairs = [f"{name}={value}" for name, value in self._values.items()]
        return "; ".join([given, *pairs] if given else pairs) or None


class Connection:
    """To one server.

    Args:
        base: scheme, host and port are looked at.
        headers: of each request.
        cookies: shared with other connections.
    """

    def __init__(
        self, base: SplitResult, headers: Sequence[tuple[str, str]], cookies: Cookies
    ) -> None:
        self._secure = base.scheme == "https"
        self._host = base.hostname or ""
        self._port = base.port or (443 if self._secure else 80)
        self._headers = [("Host", base.netloc.rpartition("@")[2]), *headers]
        self._cookies = cookies
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, target: str, body: bytes = b"") -> "Answer":
        """Send a request; returns when the head of its answer is there.

        Raises:
            Disconnected: theirs or the network's.
        """
        try:
            reader, writer = await self._open()
            writer.write(self._request(method, target, body))
            await writer.drain()
            answer = Answer(self, reader, self._cookies)
            await answer.head()
        except OSError as error:
            self.close()
            raise Disconnected(1006, str(error) or type(error).__name__) from error
        except BaseException:
            self.close()
            raise
        return answer

    def close(self) -> None:
        """End the connection; the next request opens another."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._reader.at_eof():
            self.close()  # the server has kept it long enough
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host,
                self._port,
                ssl=ssl.create_default_context() if self._secure else None,
            )
        return self._reader, self._writer

    def _request(self, method: str, target: str, body: bytes) -> bytes:
        own = [(n, v) for n, v in self._headers if n.lower() != "cookie"]
        given = next((v for n, v in self._headers if n.lower() == "cookie"), None)
        cookie = self._cookies.header(given)
        lines = [
            f"{method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in own),
            *([f"Cookie: {cookie}"] if cookie else []),
        ]
        if method == "POST":
            lines += [
                "Content-Type: text/plain;charset=UTF-8",
                f"Content-Length: {len(body)}",
            ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class Answer:
    """One answer, as it comes."""

    def __init__(
        self, connection: Connection, reader: asyncio.StreamReader, cookies: Cookies
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._cookies = cookies
        self._parser = httptools.HttpResponseParser(self)
        self._parts: deque[bytes] = deque()
        self._begun = self._complete = self._measured = False

    @property
    def status(self) -> int:
        return int(self._parser.get_status_code())

    async def head(self) -> None:
        """Read until the head is there.

        Raises:
            Disconnected: it ended before, or is no HTTP.
        """
        size = 0
        while not self._begun:
            size += await self._feed()
            if size > HEAD_MAX and not self._begun:
                raise Disconnected(1006, f"a head of more than {HEAD_MAX} bytes")

    async def parts(self) -> AsyncIterator[bytes]:
        """The body, in pieces as they come.

        Raises:
            Disconnected: it was cut, or is no HTTP.
        """
        while True:
            while self._parts:
                yield self._parts.popleft()
            if self._complete:
                break
            await self._feed()
        if not self._parser.should_keep_alive():
            self._connection.close()

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            Disconnected: see ``parts``; also when it is larger than ``BODY_MAX``.
        """
        body = bytearray()
        async for part in self.parts():
            body += part
            if len(body) > BODY_MAX:
                self._connection.close()
                raise Disconnected(1009, f"an answer of more than {BODY_MAX} bytes")
        return bytes(body)

    async def _feed(self) -> int:
        try:
            data = await self._reader.read(_READ)
            if data:
                self._parser.feed_data(data)
            elif self._begun and not self._measured:
                self._complete = True  # its end is that of the connection (HTTP/1.0)
                self._connection.close()
            else:
                self._connection.close()
                raise Disconnected(1006, "the answer was cut")
        except (OSError, httptools.HttpParserError) as error:
            self._connection.close()
            raise Disconnected(1006, str(error) or type(error).__name__) from error
        return len(data)

    # ------------------------------------------------------------ httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        if key == b"set-cookie":
            self._cookies.take(value.decode("latin-1"))
        self._measured |= key in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._complete = True
