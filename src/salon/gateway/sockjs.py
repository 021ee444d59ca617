"""SockJS over HTTP: for networks that let no WebSocket through.

An ASGI app for everything below the prefix: greeting, ``info``, and the transports
xhr (one frame an answer), xhr_streaming (many) and xhr_send. What a session is and
does is in ``sockjs_session``; here are addresses, methods and who may ask.

A session belongs to who opened it: the session cookie where there is one, else the
address. Anybody else gets the 404 of an unknown session. No script of another site's
page is served (no JSONP, no iframe page, CORS for our own origins only).
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from salon.errors import Refusal
from salon.gateway.edge import Edge, parse_cookies
from salon.gateway.sockjs_session import JAVASCRIPT, HttpSession, SockJsRequest
from salon.messaging.channel import Handshake
from salon.sockjs import frames, info, paths

_PRELUDE: Final = b"h" * 2048 + b"\n"
"""Some browsers show nothing of an answer before its first 2 KiB."""

_NO_STORE: Final = (
    b"cache-control",
    b"no-store, no-cache, no-transform, must-revalidate, max-age=0",
)


class SockJsApp:
    """Serves one prefix."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._sessions: dict[str, HttpSession] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        path = scope["path"][len(self._edge.prefix) :]
        request = SockJsRequest(scope, receive, send, path, headers)
        self._edge.check_origin(headers)
        session = paths.session(path)
        if paths.greeting(path):
            await self._only(request, "GET", self._greet)
        elif paths.info(path):
            await self._only(request, "GET", self._info)
        elif paths.raw_websocket(path):
            await self._only(request, "GET", _no_websocket)
        elif session is None:
            await request.answer(404)
        elif session.transport == paths.WEBSOCKET:
            await self._only(request, "GET", _no_websocket)
        elif session.transport == paths.XHR_SEND:
            await self._only(request, "POST", self._xhr_send)
        else:
            await self._only(request, "POST", self._xhr)

    async def _only(
        self, request: SockJsRequest, method: str, serve: Callable[[SockJsRequest], Any]
    ) -> None:
        """Serve ``method``, say to OPTIONS that it is served, refuse others."""
        allowed = f"OPTIONS, {method}".encode()
        if request.method == method:
            await serve(request)
        elif request.method == "OPTIONS":
            asked = request.headers.get("access-control-request-headers")
            extra = []
            if asked is not None:
                extra.append((b"access-control-allow-headers", asked.encode("latin-1")))
            await request.answer(
                204,
                b"",
                (b"access-control-allow-methods", allowed),
                (b"access-control-max-age", b"31536000"),
                (b"cache-control", b"public, max-age=31536000"),
                *extra,
            )
        else:
            await request.answer(405, b"", (b"allow", allowed))

    async def _greet(self, request: SockJsRequest) -> None:
        await request.answer(200, b"Welcome to SockJS!\n")

    async def _info(self, request: SockJsRequest) -> None:
        body = info.body(secrets.randbits(32))
        await request.answer(
            200, body, _NO_STORE, content_type=b"application/json; charset=UTF-8"
        )

    async def _xhr_send(self, request: SockJsRequest) -> None:
        session = self._find(request)
        if session is None or session.over:
            await request.answer(404)
            return
        body = await _body(request.receive, self._edge.limits.message)
        try:
            messages = frames.decode(body)
        except ValueError as error:
            await request.answer(500, str(error).encode())
            return
        await session.deliver(messages)
        await request.answer(204, b"", _NO_STORE)

    async def _xhr(self, request: SockJsRequest) -> None:
        path = paths.session(request.path)
        assert path is not None, "routed by it"
        streaming = path.transport == paths.XHR_STREAMING
        session = self._find(request)
        if session is None:
            if path.session in self._sessions:
                await request.answer(404)  # somebody else's
                return
            session = self._open(request, path)
        head = [_NO_STORE]
        if not streaming:
            await session.serve(request, 1, head)
            return
        # A proxy that buffers (nginx) would keep the stream to itself.
        head.append((b"x-accel-buffering", b"no"))
        await request.start(200, *head, content_type=JAVASCRIPT)
        await request.write(_PRELUDE)
        await session.serve(request, self._edge.limits.response, None)

    def _open(self, request: SockJsRequest, path: paths.SessionPath) -> HttpSession:
        handshake = Handshake(
            path=request.scope["path"],
            headers=request.headers,
            cookies=parse_cookies(request.headers.get("cookie", "")),
            remote=request.scope["client"][0],
            transport=path.transport,
        )
        self._edge.admit(request.headers, handshake.remote)

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


async def _no_websocket(request: SockJsRequest) -> None:
    await request.answer(400, b"Not a valid websocket request")


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
