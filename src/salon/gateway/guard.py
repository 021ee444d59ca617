"""What every HTTP request and answer has to pass; the outermost ASGI layer.

In: the real peer's address, an id, the origin of unsafe methods, the size and pace of
the body. Out: headers that tell browsers what a page of ours may do, and for a mistake
of ours a fixed answer with the request's id (the log has the rest under it).
"""

import asyncio
import json
import secrets
from typing import Any, Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from salon.errors import Refusal
from salon.gateway.edge import Edge

log = structlog.get_logger("salon.gateway")

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

BODY_LIMIT: Final = 256 * 1024
"""Bytes of a request's body, where the app names no other limit for its path."""

BODY_PACE: Final = 20.0
"""Seconds a request may take for its next piece of body."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not no-referrer: with it browsers write "Origin: null" into our own forms.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Wraps ``app``; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        edge: Edge,
        *,
        body_limit: int = BODY_LIMIT,
        body_limits: dict[str, int] | None = None,
    ) -> None:
        """Let bodies of at most ``body_limit`` bytes through.

        On paths that begin with a prefix in ``body_limits`` that limit counts.
        """
        self._app = app
        self._edge = edge
        self._body_limit = body_limit
        self._body_limits = body_limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _plain(scope)
        peer = scope["client"][0] if scope["client"] else ""
        remote = self._edge.peers.remote(peer, headers.get("x-forwarded-for"))
        scope["client"] = (remote, 0)
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        body = _Body(receive, self._limit(scope["path"]))
        try:
            if scope["method"] not in _SAFE:
                self._edge.check_origin(headers)
            body.check_length(headers)
            await self._app(scope, body.receive, answer.send)
        except Refusal as refusal:
            if answer.started:
                raise
            await answer.refuse(refusal)
        except Exception:
            log.exception("gateway.request", request_id=request_id, path=scope["path"])
            if not answer.started:
                await answer.refuse(internal(request_id))

    def _limit(self, path: str) -> int:
        fitting = [prefix for prefix in self._body_limits if path.startswith(prefix)]
        if fitting:
            return self._body_limits[max(fitting, key=len)]
        return self._body_limit


def internal(request_id: str) -> Refusal:
    """What is said about a mistake of ours: nothing but where to find it."""
    return Refusal(
        "internal",
        "The server made a mistake; its log has it under this request id.",
        params={"request_id": request_id},
        status=500,
    )


class _Body:
    """A request's body on its way in, counted and timed."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._more = True

    def check_length(self, headers: dict[str, str]) -> None:
        """Refuse before reading what says itself that it is too long."""
        length = headers.get("content-length", "")
        # The parser has let digits through only; as text they may be very many.
        if len(length) > 18 or int(length or 0) > self._limit:
            raise self._too_big()

    async def receive(self) -> Message:
        if not self._more:
            return await self._receive()  # waits for the end of the connection
        try:
            async with asyncio.timeout(BODY_PACE):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(
                "too_slow", "The request's body did not come.", status=408
            ) from None
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._more = message.get("more_body", False)
            if self._size > self._limit:
                raise self._too_big()
        return message

    def _too_big(self) -> Refusal:
        return Refusal(
            "too_big",
            f"A request's body has at most {self._limit} bytes here.",
            params={"limit": self._limit},
            status=413,
        )


class _Answer:
    """An answer on its way out, with the headers that all have."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            own_frames = "frame-ancestors" in headers.get("content-security-policy", "")
            for name, value in _HEADERS.items():
                if own_frames and name == "x-frame-options":
                    continue  # knows no list; frame-ancestors takes its place
                headers.setdefault(name, value)
            headers["x-request-id"] = self._request_id
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        body = json.dumps(refusal.as_json()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if refusal.status in {408, 413}:
            # The rest of the body is not read: the connection is of no more use.
            headers.append((b"connection", b"close"))
        if refusal.retry_after is not None:
            headers.append(retry_after(refusal.retry_after))
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": headers,
        }
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """The header in whole seconds, at least one."""
    return b"retry-after", b"%d" % max(1, round(seconds))


def _plain(scope: Scope) -> dict[str, str]:
    """The headers as text; a repeated one is joined by commas (RFC 9110, 5.2)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
