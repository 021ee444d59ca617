"""SockJS over HTTP: for networks that let no WebSocket through.

An ASGI app for everything below the prefix: greeting, ``info``, the page for iframes,
and the transports xhr, xhr_streaming, eventsource, htmlfile and jsonp with their
senders. What a session is and does is in ``sockjs_session``; here are addresses,
methods and who may ask.

A session belongs to who opened it: the session cookie where there is one, else the
address. Anybody else gets the 404 of an unknown session.

Whose page asks is checked on every transport, each in the way it can be: ``Origin`` or
``Sec-Fetch-Site`` (``Edge.check_origin``); for jsonp, whose script tag sends neither,
``Referer`` (``Edge.check_script``); the page for iframes has no data, and its policy
names who may frame it. jsonp and the page are off until ``SockJsOptions`` says else.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from salon.errors import Refusal
from salon.gateway.edge import Edge, parse_cookies
from salon.gateway.sockjs_session import HttpSession, SockJsRequest, until_gone
from salon.messaging.channel import Handshake
from salon.sockjs import chunking, frames, iframe, info, paths, receivers
from salon.sockjs.receivers import Receiver

_NO_STORE: Final = (
    b"cache-control",
    b"no-store, no-cache, no-transform, must-revalidate, max-age=0",
)

_YEAR: Final = 31_536_000
"""Seconds that the answers which never change may be kept."""

_FOR_A_YEAR: Final = (b"cache-control", b"public, max-age=%d" % _YEAR)

_STREAM: Final = [
    _NO_STORE,
    # A proxy that buffers (nginx) would keep the stream to itself.
    (b"x-accel-buffering", b"no"),
]

_CROSS_ORIGIN: Final = (b"cross-origin-resource-policy", b"cross-origin")
"""For what pages of other origins load; who they are is checked before."""

_JSESSIONID: Final = re.compile(r"[\w.!~*-]{1,128}", re.ASCII)


class SockJsApp:
    """Serves one prefix: one service; ``Edge.mount`` has more of them in one process."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._options = edge.sockjs
        self._sessions: dict[str, HttpSession] = {}
        self._iframe = iframe.page(self._options.iframe or "/")
        served = {paths.XHR, paths.XHR_STREAMING, paths.EVENTSOURCE, paths.HTMLFILE}
        senders = {paths.XHR_SEND}
        if self._options.jsonp:
            served.add(paths.JSONP)
            senders.add(paths.JSONP_SEND)
        self._receivers = frozenset(served)
        self._senders = frozenset(senders)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        path = scope["path"][len(self._edge.prefix) :]
        session = paths.session(path)
        extra = self._cookie(headers) if session is not None else ()
        request = SockJsRequest(scope, receive, send, path, headers, extra)
        if self._options.iframe is not None and paths.iframe(path):
            await self._only(request, "GET", self._iframe_page)
            return
        transport = session.transport if session is not None else None
        if transport == paths.JSONP and transport in self._receivers:
            self._edge.check_script(headers)
        else:
            self._edge.check_origin(headers)
        await self._route(request, transport)

    async def _route(self, request: SockJsRequest, transport: str | None) -> None:
        raw = paths.raw_websocket(request.path)
        if paths.greeting(request.path):
            await self._only(request, "GET", self._greet)
        elif paths.info(request.path):
            await self._only(request, "GET", self._info)
        elif self._options.chunking_test and paths.chunking_test(request.path):
            await self._only(request, "POST", _send_in_chunks)
        elif (raw or transport == paths.WEBSOCKET) and self._options.websocket:
            await self._only(request, "GET", _no_websocket)
        elif transport in self._senders:
            await self._only(request, "POST", self._take)
        elif transport in self._receivers:
            xhr = transport in {paths.XHR, paths.XHR_STREAMING}
            await self._only(request, "POST" if xhr else "GET", self._give)
        else:
            await request.answer(404)

    async def _only(
        self, request: SockJsRequest, method: str, serve: Callable[[SockJsRequest], Any]
    ) -> None:
        """Serve ``method``, say to OPTIONS that it is served, refuse others."""
        allowed = f"OPTIONS, {method}".encode()
        if request.method == method:
            await serve(request)
        elif request.method == "OPTIONS":
            await request.answer(
                204,
                b"",
                (b"access-control-allow-methods", allowed),
                (b"access-control-max-age", b"%d" % _YEAR),
                _FOR_A_YEAR,
                self._expires(),
            )
        else:
            await request.answer(405, b"", (b"allow", allowed))

    # -- what is no session ---------------------------------------------------

    async def _greet(self, request: SockJsRequest) -> None:
        await request.answer(200, b"Welcome to SockJS!\n")

    async def _info(self, request: SockJsRequest) -> None:
        body = info.body(
            secrets.randbits(32),
            websocket=self._options.websocket,
            cookie_needed=self._options.cookie_needed,
        )
        await request.answer(
            200, body, _NO_STORE, content_type=b"application/json; charset=UTF-8"
        )

    async def _iframe_page(self, request: SockJsRequest) -> None:
        page = self._iframe
        head = [(b"etag", page.etag.encode()), _FOR_A_YEAR, self._expires()]
        if request.headers.get("if-none-match") == page.etag:
            await request.answer(304, b"", *head)
            return
        policy = (
            f"default-src 'self'; script-src {page.script_sources}; "
            f"frame-ancestors {self._ancestors()}"
        )
        head += [(b"content-security-policy", policy.encode()), _CROSS_ORIGIN]
        await request.answer(
            200, page.body, *head, content_type=b"text/html; charset=UTF-8"
        )

    def _expires(self) -> tuple[bytes, bytes]:
        """In a year, for caches that know no ``max-age``."""
        at = formatdate(self._edge.clock.now_ms() / 1000 + _YEAR, usegmt=True)
        return b"expires", at.encode()

    # -- sessions -------------------------------------------------------------

    async def _take(self, request: SockJsRequest) -> None:
        """xhr_send and jsonp_send: messages from the client."""
        session = self._find(request)
        if session is None or session.over:
            await request.answer(404)
            return
        body = await _body(request.receive, self._edge.limits.message)
        form = request.path.removesuffix("/").endswith(paths.JSONP_SEND)
        if form:
            body = receivers.form(request.headers.get("content-type", ""), body)
        try:
            messages = frames.decode(body)
        except ValueError as error:
            await request.answer(500, str(error).encode())
            return
        await session.deliver(messages)
        if form:
            await request.answer(200, b"ok", _NO_STORE)
        else:
            await request.answer(204, b"", _NO_STORE)

    async def _give(self, request: SockJsRequest) -> None:
        """A receiver: frames for the client."""
        path = paths.session(request.path)
        assert path is not None, "routed by it"
        try:
            receiver, head = self._receiver(path.transport, request)
        except ValueError as error:
            await request.answer(500, str(error).encode(), _NO_STORE)
            return
        session = self._find(request)
        if session is None:
            if path.session in self._sessions:
                await request.answer(404)  # somebody else's
                return
            session = self._open(request, path)
        if receiver.streaming:
            kind = receiver.content_type.encode()
            await request.start(200, *head, content_type=kind)
            await request.write(receiver.prelude)
        await session.serve(request, receiver, head)

    def _receiver(
        self, transport: str, request: SockJsRequest
    ) -> tuple[Receiver, list[tuple[bytes, bytes]]]:
        """How a transport carries frames, and the headers of its answer.

        Raises:
            BadCallback: theirs; htmlfile or jsonp without a usable callback.
        """
        query = request.scope["query_string"].decode("ascii", "replace")
        if transport == paths.JSONP:
            return receivers.jsonp(query), [_NO_STORE, _CROSS_ORIGIN]
        if transport == paths.HTMLFILE:
            # What it writes is script and nothing else: names and strings of ours.
            policy = (
                "default-src 'none'; script-src 'unsafe-inline'; "
                f"frame-ancestors {self._ancestors()}"
            )
            head = [*_STREAM, (b"content-security-policy", policy.encode())]
            return receivers.htmlfile(query), head
        if transport == paths.EVENTSOURCE:
            return receivers.EVENTSOURCE, _STREAM
        if transport == paths.XHR_STREAMING:
            return receivers.XHR_STREAMING, _STREAM
        return receivers.XHR, [_NO_STORE]

    def _ancestors(self) -> str:
        """Whose pages may frame ours; htmlfile stands inside the page for iframes."""
        others = self._edge.origins if self._options.iframe is not None else ()
        return " ".join(["'self'", *others])

    def _open(self, request: SockJsRequest, path: paths.SessionPath) -> HttpSession:
        handshake = Handshake(
            path=request.scope["path"],
            headers=request.headers,
            cookies=parse_cookies(request.headers.get("cookie", "")),
            remote=request.scope["client"][0],
            transport=path.transport,
        )
        self._edge.check_room(handshake.remote)

        def forget() -> None:
            del self._sessions[path.session]

        session = HttpSession(
            self._edge, handshake, owner=self._owner(request), forget=forget
        )
        self._sessions[path.session] = session
        session.open()
        return session

    def _find(self, request: SockJsRequest) -> HttpSession | None:
        """The session of the request's path, if it is the asker's."""
        path = paths.session(request.path)
        session = self._sessions.get(path.session) if path is not None else None
        if session is None or not secrets.compare_digest(
            session.owner.encode(), self._owner(request).encode()
        ):
            return None
        return session

    def _owner(self, request: SockJsRequest) -> str:
        cookies = parse_cookies(request.headers.get("cookie", ""))
        cookie = cookies.get(self._edge.session_cookie)
        if cookie:
            return "cookie " + cookie
        if "authorization" in request.headers:
            return "authorization " + request.headers["authorization"]
        return "address " + str(request.scope["client"][0])

    def _cookie(self, headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
        """JSESSIONID, for a proxy that routes by it: the client's own comes back."""
        if not self._options.cookie_needed:
            return ()
        value = parse_cookies(headers.get("cookie", "")).get("JSESSIONID", "")
        if _JSESSIONID.fullmatch(value) is None:
            value = "dummy"
        return ((b"set-cookie", f"JSESSIONID={value}; path=/".encode()),)


async def _no_websocket(request: SockJsRequest) -> None:
    await request.answer(400, b"Not a valid websocket request")


async def _send_in_chunks(request: SockJsRequest) -> None:
    """The parts of ``chunking_test``; ends early where the client has gone."""
    gone = asyncio.create_task(until_gone(request.receive))
    kind = receivers.JAVASCRIPT.encode()
    try:
        await request.start(200, *_STREAM, content_type=kind)
        for pause, part in chunking.STEPS:
            await asyncio.wait({gone}, timeout=pause)
            if gone.done():
                return
            await request.write(part)
        await request.write(b"", more=False)
    finally:
        gone.cancel()


async def _body(receive: Receive, limit: int) -> bytes:
    """A whole request body.

    Raises:
        Refusal: theirs; ``too_big``.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > limit:
            raise Refusal(
                "too_big",
                f"A request carries at most {limit} bytes of messages.",
                params={"limit": limit},
                status=413,
            )
        if not message.get("more_body", False):
            return bytes(body)
