"""One SockJS session over HTTP: a channel that is emptied instead of writing.

The rules of a session are in ``salon.sockjs.session``; here are its requests, timers
and outbox. A receiver (xhr, xhr_streaming, ...) is served by ``HttpSession.serve``: it takes
what waits in the outbox, frame by frame; xhr_send and jsonp_send come by ``deliver``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from starlette.types import Receive, Scope, Send

from salon import ids, metrics
from salon.errors import Refusal
from salon.gateway.edge import Edge
from salon.gateway.outbox import Outbox
from salon.gateway.timer import Timer
from salon.gateway.websocket import SLOW_READER
from salon.messaging.broadcast import Broadcast
from salon.messaging.channel import ChannelHandler, Handshake
from salon.sockjs import frames
from salon.sockjs.receivers import Receiver
from salon.sockjs.session import Session

log = structlog.get_logger("salon.gateway")

_SENDING: Final = 16
"""xhr_send requests of one session that may wait for a paused reader."""

_TEXT: Final = b"text/plain; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class SockJsRequest:
    """One HTTP request below the prefix; ``extra``: headers of whatever answer."""

    scope: Scope
    receive: Receive
    send: Send
    path: str
    headers: dict[str, str]
    extra: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    async def answer(
        self,
        status: int,
        body: bytes = b"",
        *headers: tuple[bytes, bytes],
        content_type: bytes = _TEXT,
    ) -> None:
        """A whole answer."""
        await self.start(status, *headers, length=len(body), content_type=content_type)
        await self.send({"type": "http.response.body", "body": body})

    async def start(
        self,
        status: int,
        *headers: tuple[bytes, bytes],
        length: int | None = None,
        content_type: bytes = _TEXT,
    ) -> None:
        """The head of an answer; without ``length`` the body comes in chunks."""
        every = [*headers, *self.extra, *self._cors()]
        if status != 304:
            every.insert(0, (b"content-type", content_type))
        if length is not None and status not in {204, 304}:
            every.append((b"content-length", b"%d" % length))
        await self.send(
            {"type": "http.response.start", "status": status, "headers": every}
        )

    async def write(self, data: bytes, *, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    def _cors(self) -> list[tuple[bytes, bytes]]:
        # Only origins of the list come this far: see SockJsApp.__call__.
        answer = []
        asked = self.headers.get("access-control-request-headers")
        if asked:
            answer.append((b"access-control-allow-headers", asked.encode("latin-1")))
        origin = self.headers.get("origin")
        if origin is not None:
            answer += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-allow-credentials", b"true"),
                (b"vary", b"Origin"),
            ]
        return answer


class HttpSession:
    """One SockJS session over HTTP requests as a ``Channel``."""

    def __init__(
        self,
        edge: Edge,
        handshake: Handshake,
        *,
        owner: str,
        forget: Callable[[], None],
    ) -> None:
        self.id = ids.token(128)
        self.handshake = handshake
        self.owner = owner
        self._edge = edge
        self._forget = forget
        self._session = Session(
            edge.clock.monotonic(),
            disconnect_delay=edge.sockjs.disconnect_delay,
            heartbeat_delay=edge.limits.heartbeat,
        )
        self._handler: ChannelHandler | None = None
        self._news = asyncio.Event()
        self._resumed = asyncio.Event()
        self._sending = asyncio.Lock()
        self._senders = 0
        self._closed: tuple[int, str] | None = None
        self._reset: Callable[[], None] | None = None
        self._timer: Timer | None = None
        self._outbox = Outbox(
            edge.ticks,
            edge.wheel,
            edge.budget,
            send=_never,
            send_all=_never,
            held=lambda: 0,
            on_overflow=self._on_overflow,
        )
        # This outbox is emptied by receivers, it never writes by itself.
        self._outbox.pause()

    @property
    def over(self) -> bool:
        """Whether the session takes no more messages."""
        return self._closed is not None

    def open(self) -> None:
        """Begin: count it, tell the handler."""
        self._edge.connections.add(self)
        metrics.connections.labels(self.handshake.transport).inc()
        self._look_later()
        self._resumed.set()
        self._handler = self._edge.channels()
        try:
            self._handler.on_open(self)
        except Exception:
            log.exception("gateway.on_open")
            self.close(1011, "internal error")

    # -- Channel --------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return len(self._outbox)

    def send(
        self, data: bytes, *, droppable: bool = False, coalesce: str | None = None
    ) -> None:
        if self._closed is None:
            self._outbox.put(data, droppable=droppable, coalesce=coalesce)
            self._news.set()

    def follow(self, broadcast: Broadcast) -> bool:
        self.send(broadcast.messages[0])
        return False

    def close(self, code: int, reason: str) -> None:
        """Say why to this and later receivers, after what waits; the first counts."""
        if self._closed is not None:
            return
        self._closed = (code, reason)
        self._session.close(code, reason, now=self._edge.clock.monotonic())
        self._news.set()
        self._resumed.set()
        # Not from inside another call of the handler's.
        asyncio.get_running_loop().call_soon(self._tell_closed, code, reason)
        self._look_later()

    def pause_reading(self) -> None:
        self._resumed.clear()

    def resume_reading(self) -> None:
        self._resumed.set()

    # -- what requests do -----------------------------------------------------

    async def deliver(self, messages: list[bytes]) -> None:
        """Give the handler what an xhr_send brought, after what came before it.

        Raises:
            Refusal: theirs; too many such requests wait already.
        """
        if self._senders >= _SENDING:
            raise Refusal(
                "too_fast", "Too many requests wait.", retry_after=1, status=503
            )
        self._senders += 1
        try:
            async with self._sending:
                for message in messages:
                    await self._resumed.wait()
                    if self._handler is None or self.over:
                        return
                    self._handler.on_data(message)
        except Exception:
            log.exception("gateway.on_data")
            self.close(1011, "internal error")
        finally:
            self._senders -= 1

    async def serve(
        self,
        request: SockJsRequest,
        receiver: Receiver,
        head: list[tuple[bytes, bytes]],
    ) -> None:
        """Be the receiver's answer: frames until it is full, or the end.

        Args:
            request: asks for frames.
            receiver: how they are carried.
            head: headers of an answer of one frame; a stream is begun already.
        """
        first, mine = self._session.attach(
            self._edge.clock.monotonic(), waiting=len(self._outbox) > 0
        )
        answer = _Answer(request, receiver, head)
        if not mine:
            assert first is not None, "who is not served is told why"
            await answer.write(first, last=True)
            return
        self._reset = request.scope.get("salon.reset")
        gone = asyncio.create_task(until_gone(request.receive))
        self._look_later()
        try:
            if await self._stream(answer, first, gone):
                self._session.detach(self._edge.clock.monotonic())
            else:
                self._interrupted()
        except BaseException:
            self._interrupted()
            raise
        finally:
            gone.cancel()
            self._reset = None
            self._look_later()

    async def _stream(
        self, answer: "_Answer", frame: bytes | None, gone: asyncio.Task[None]
    ) -> bool:
        """Write frames; False when the receiver's connection broke."""
        limit = self._edge.limits.response if answer.receiver.streaming else 1
        while True:
            if frame is None:
                frame = await self._next_frame(gone)
            if frame is None or gone.done():
                return False
            farewell = frame.startswith(b"c")
            last = farewell or answer.size + len(frame) >= limit
            await answer.write(frame, last=last)
            if gone.done():
                return False
            self._session.written(self._edge.clock.monotonic())
            if last:
                return True
            frame = None

    async def _next_frame(self, gone: asyncio.Task[None]) -> bytes | None:
        """What to write next; None when the receiver is gone."""
        while not gone.done():
            batch = self._outbox.take()
            if batch:
                return frames.messages(batch)
            farewell = self._session.farewell()
            if farewell is not None:
                return farewell
            if self._session.heartbeat_due(self._edge.clock.monotonic()):
                return frames.HEARTBEAT
            self._news.clear()
            news = asyncio.create_task(_wait(self._news))
            try:
                await asyncio.wait({news, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
        return None

    # -- inside ---------------------------------------------------------------

    def _interrupted(self) -> None:
        now = self._edge.clock.monotonic()
        self._session.interrupted(now)
        self.close(*frames.INTERRUPTED)

    def _on_overflow(self, how: str) -> None:
        log.warning("gateway.slow_reader", how=how, transport=self.handshake.transport)
        self.close(SLOW_READER, "reads too slowly: " + how)
        if self._reset is not None:
            # A stream whose reader does not read: its own end waits there, too.
            reset, self._reset = self._reset, None
            self._edge.wheel.call_later(self._edge.limits.linger, reset)

    def _look_later(self) -> None:
        """Look again when a heart-beat or the end of the wait may be due."""
        if self._timer is not None:
            self._timer.cancel()
        delay = self._session.next_look(self._edge.clock.monotonic())
        self._timer = self._edge.wheel.call_later(delay, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._edge.clock.monotonic()
        if self._session.expired(now):
            self._end()
            return
        if self._session.heartbeat_due(now):
            self._news.set()
        self._timer = self._edge.wheel.call_later(
            max(1.0, self._session.next_look(now)), self._look
        )

    def _end(self) -> None:
        """No receiver came: the session is forgotten."""
        self.close(1006, "no receiver came")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget()
        self._outbox.finish(flush=False)

    def _tell_closed(self, code: int, reason: str) -> None:
        self._edge.connections.remove(self)
        metrics.connections.labels(self.handshake.transport).dec()
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.on_close(code, reason)
            except Exception:
                log.exception("gateway.on_close")


def _never(_: Any) -> None:
    raise AssertionError("a paused outbox writes nothing")


class _Answer:
    """The answer of a receiver: frames in its wrapping."""

    def __init__(
        self,
        request: SockJsRequest,
        receiver: Receiver,
        head: list[tuple[bytes, bytes]],
    ) -> None:
        self.receiver = receiver
        self.size = 0
        self._request = request
        self._head = head

    async def write(self, frame: bytes, *, last: bool) -> None:
        data = self.receiver.wrap(frame)
        self.size += len(data)
        if self.receiver.streaming:
            await self._request.write(data, more=not last)
        else:
            kind = self.receiver.content_type.encode()
            await self._request.answer(200, data, *self._head, content_type=kind)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
