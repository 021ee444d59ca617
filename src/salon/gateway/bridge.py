"""Between a channel and messaging: one STOMP connection, from open to close.

Theory of operation
-------------------
A transport calls ``on_data``; bytes go into the STOMP session, frames come out one at
a time and are handled strictly in order by at most one task, which exists only while
there is something to do (ten thousand idle connections have no task).

* **Undecoded bytes are the queue.** While a frame is being handled (or the client is
  being authenticated) nothing is decoded; what waits is bytes, bounded: above
  ``read_ahead`` the channel stops reading, far above it the connection ends.
* **Results wait in the pipeline**, not the reader: a handler that returns a future lets
  the next frame begin. RECEIPTs and refusals leave in the order of the frames. At
  ``pending`` open results the channel stops reading.
* **Endings wait their turn as well.** The ERROR for a bad frame, and the RECEIPT of a
  DISCONNECT, come after the RECEIPTs before them, or after ``linger`` seconds.

Which answer a failure gets:

=====================================  =========================  ===========
what happened                          answer                     close
=====================================  =========================  ===========
the protocol is broken                 ERROR, code of the error   1002, 1009
a destination was never granted        ERROR                      1008
a SUBSCRIBE failed                     ERROR                      1008
an ACK or NACK names nothing           ERROR                      1002
a handler refused, or failed           MESSAGE on                 none
                                       ``/user/queue/errors``
… and nobody listens there             ERROR                      1008, 1011
CONNECT was refused                    ERROR                      1008
… for now (``retry_after``, engines)   ERROR                      1013
no CONNECT in time, heart-beats lost   ERROR                      4408
it sends on though we stopped reading  ERROR                      1009
=====================================  =========================  ===========
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import structlog

from salon import metrics
from salon.clock import Clock
from salon.errors import Refusal, Unavailable
from salon.ids import token
from salon.messaging.channel import Channel, ChannelFactory, Timer, TimerHandle
from salon.messaging.conversion import JSON
from salon.messaging.dispatch import Dispatcher, Reply
from salon.messaging.events import SessionEvents, tell
from salon.messaging.pipeline import Pipeline
from salon.messaging.principal import (
    Authenticator,
    Credentials,
    HeaderAuthenticator,
    Principal,
)
from salon.messaging.refusal import Fatal
from salon.messaging.sessions import Session
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry
from salon.stomp import events
from salon.stomp.errors import RemoteProtocolError
from salon.stomp.frames import Headers
from salon.stomp.session import (
    HEART_BEAT,
    HeartBeats,
    ServerSession,
    SessionLimits,
)

log = structlog.get_logger("salon.bridge")

ERRORS = "/queue/errors"
"""The user destination that refusals of commands go to."""

NORMAL = 1000
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
TRY_LATER = 1013
TIMED_OUT = 4408

_FRAMES_IN = {
    kind: metrics.frames_in.labels(kind.__name__.upper())
    for kind in (
        events.Connect,
        events.Send,
        events.Subscribe,
        events.Unsubscribe,
        events.Ack,
        events.Nack,
        events.Begin,
        events.Held,
        events.Commit,
        events.Abort,
        events.Disconnect,
    )
}


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Limits of one connection; seconds and bytes."""

    connect_deadline: float = 10.0
    """From open to CONNECTED, authentication included."""
    pending: int = 256
    """Results that may be open before reading stops."""
    read_ahead: int = 64 * 1024
    """Bytes that may wait undecoded before reading stops."""
    linger: float = 5.0
    """How long an ending waits for the RECEIPTs before it."""
    session: SessionLimits = field(default_factory=SessionLimits)
    heart_beats: HeartBeats = field(default_factory=HeartBeats)

    @property
    def most_waiting(self) -> int:
        """Bytes at which a channel that does not stop reading is ended."""
        return 4 * self.read_ahead + 2 * self.session.frame.body


@dataclass(frozen=True, slots=True)
class BridgeServices:
    """What all connections share."""

    authenticator: Authenticator | HeaderAuthenticator
    dispatcher: Dispatcher
    users: UserRegistry
    template: MessagingTemplate
    timer: Timer
    clock: Clock
    events: SessionEvents = field(default_factory=SessionEvents)
    settings: BridgeSettings = field(default_factory=BridgeSettings)
    server: str = "Salon"


def bridges(services: BridgeServices) -> ChannelFactory:
    """What a transport calls for each new connection."""
    return partial(StompBridge, services)


class StompBridge:
    """The handler of one channel."""

    __slots__ = (
        "_beat",
        "_channel",
        "_deadline",
        "_ending",
        "_paused",
        "_pipeline",
        "_services",
        "_session",
        "_silent",
        "_stomp",
        "_task",
        "_watch",
    )

    def __init__(self, services: BridgeServices) -> None:
        settings = services.settings
        self._services = services
        self._stomp = ServerSession(settings.session, settings.heart_beats)
        self._pipeline = Pipeline(settings.pending, self._pump)
        self._channel: Channel | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False  # no further frame is looked at
        self._paused = False
        self._silent = 0
        self._deadline: TimerHandle | None = None
        self._beat: TimerHandle | None = None
        self._watch: TimerHandle | None = None

    # ------------------------------------------------------------ the channel calls

    def on_open(self, channel: Channel) -> None:
        self._channel = channel
        self._deadline = self._services.timer.call_later(
            self._services.settings.connect_deadline, self._connect_too_late
        )

    def on_data(self, data: bytes) -> None:
        self._silent = 0
        if self._ending:
            return
        self._stomp.receive(data)
        self._pump()
        if self._stomp.buffered > self._services.settings.most_waiting:
            self._error("overload", "too many bytes wait to be read", close=TOO_BIG)

    def on_close(self, code: int, reason: str) -> None:
        self._ending = True
        self._channel = None
        self._clean_up()

    # ------------------------------------------------------------ frames, in order

    def _pump(self) -> None:
        """Start the task if there is none, and a frame for it."""
        event = self._next() if self._task is None else None
        if event is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(event))
        self._regulate()

    def _next(self) -> events.Event | None:
        if self._ending or self._pipeline.full:
            return None
        try:
            event = self._stomp.next_event()
        except RemoteProtocolError as error:
            self._end_in_order(partial(self._protocol_error, error))
            return None
        if event is not None:
            _FRAMES_IN[type(event)].inc()
        return event

    async def _run(self, event: events.Event | None) -> None:
        try:
            while event is not None:
                await self._handle(event)
                event = self._next()
        except Exception:
            log.exception("bridge.run")
            self._error("internal", "something went wrong here", close=INTERNAL)
        finally:
            self._task = None
            self._regulate()

    async def _handle(self, event: events.Event) -> None:
        if isinstance(event, events.Connect):
            await self._connect(event)
            return
        session = self._session
        if session is None:
            return
        match event:
            case events.Send() | events.Commit():
                await self._send(session, event)
            case events.Subscribe():
                await self._subscribe(session, event)
            case events.Unsubscribe():
                self._unsubscribe(session, event)
            case events.Ack():  # NACK, too
                self._acknowledge(session, event)
            case events.Begin() | events.Held() | events.Abort():
                self._done(session, event.receipt)
            case events.Disconnect():
                self._end_in_order(partial(self._goodbye, event.receipt))

    async def _connect(self, event: events.Connect) -> None:
        services = self._services
        channel = self._channel
        if channel is None:
            return
        try:
            principal = await self._who(channel, event)
        except Exception as error:
            later = not isinstance(error, Refusal) or error.retry_after is not None
            self._refuse_by_error(error, None, TRY_LATER if later else POLICY)
            return
        if self._ending:
            return
        session = Session(
            token(128), principal, channel, event.version, services.clock.now_ms()
        )
        self._session = session
        services.users.add(session)
        tell(services.events.connected, session)
        channel.send(self._stomp.connected(session.id, principal.id, services.server))
        self._cancel_deadline()
        self._start_heart_beats()

    async def _who(self, channel: Channel, event: events.Connect) -> Principal:
        authenticator = self._services.authenticator
        if isinstance(authenticator, HeaderAuthenticator):
            said = Credentials(event.login, event.passcode, event.headers)
            return await authenticator.identify(channel.handshake, said)
        return await authenticator.authenticate(
            channel.handshake, event.login, event.passcode
        )

    async def _send(self, session: Session, event: events.Send | events.Commit) -> None:
        dispatcher = self._services.dispatcher
        try:
            if isinstance(event, events.Send):
                reply = await dispatcher.send(session, event)
            else:
                reply = await dispatcher.commit(session, event)
        except Fatal as error:
            self._end_in_order(
                partial(self._refuse_by_error, error, event.receipt, error.close_code)
            )
        except Exception as error:
            self._pipeline.push(
                None, partial(self._settle_error, session, event.receipt, error)
            )
        else:
            self._pipeline.push(
                reply.result, partial(self._settle, session, event.receipt, reply)
            )

    async def _subscribe(self, session: Session, event: events.Subscribe) -> None:
        try:
            reply, stored = await self._services.dispatcher.subscribe(session, event)
        except Exception as error:
            self._end_in_order(
                partial(self._refuse_by_error, error, event.receipt, POLICY)
            )
            return
        if self._session is None:  # closed while a handler thought about it
            self._services.dispatcher.disconnect(session)
            return
        tell(self._services.events.subscribed, session, stored)
        self._pipeline.push(
            reply.result, partial(self._settle, session, event.receipt, reply)
        )

    def _unsubscribe(self, session: Session, event: events.Unsubscribe) -> None:
        forgotten = self._services.dispatcher.unsubscribe(session, event)
        if forgotten is not None:
            tell(self._services.events.unsubscribed, session, forgotten)
        self._done(session, event.receipt)

    def _acknowledge(self, session: Session, event: events.Ack) -> None:
        try:
            self._services.dispatcher.acknowledge(session, event)
        except Fatal as error:
            self._end_in_order(
                partial(self._refuse_by_error, error, event.receipt, error.close_code)
            )
        else:
            self._done(session, event.receipt)

    def _done(self, session: Session, receipt: str | None) -> None:
        """A frame took effect; its RECEIPT leaves when it is its turn."""
        self._pipeline.push(None, partial(self._settle, session, receipt, Reply()))

    # ------------------------------------------------------------ answers, in order

    def _settle(
        self,
        session: Session,
        receipt: str | None,
        reply: Reply,
        value: Any,
        error: BaseException | None,
    ) -> None:
        """The result of a frame is there, and it is that frame's turn."""
        if error is None and reply.publish is not None:
            try:
                reply.publish(value)
            except Exception as failure:
                error = failure
        if error is not None:
            self._refuse(session, error, receipt)
        elif receipt is not None and self._channel is not None:
            headers = (reply.receipt or {}).items()
            self._channel.send(self._stomp.receipt(receipt, headers))

    def _settle_error(
        self,
        session: Session,
        receipt: str | None,
        error: Exception,
        _value: None,
        _none: None,
    ) -> None:
        """The handler of a frame failed, and it is that frame's turn."""
        self._refuse(session, error, receipt)

    def _refuse(
        self, session: Session, error: BaseException, receipt: str | None
    ) -> None:
        """Say why a command was not carried out, and go on."""
        if isinstance(error, Fatal):
            self._refuse_by_error(error, receipt, error.close_code)
            return
        if ERRORS not in session.queues:
            ours = not isinstance(error, Refusal)
            self._refuse_by_error(error, receipt, INTERNAL if ours else POLICY)
            return
        headers: Headers = JSON
        if receipt is not None:
            headers = (("receipt-id", receipt), *JSON)
        body = msgspec.json.encode({**problem(error), "receipt": receipt})
        self._services.template.send_to_sessions(
            [session.id], ERRORS, body, headers=headers
        )

    def _refuse_by_error(
        self, error: BaseException, receipt: str | None, close: int
    ) -> None:
        said = problem(error)
        self._error(
            said["code"],
            said["message"],
            close=close,
            receipt=receipt,
            body=msgspec.json.encode({**said, "receipt": receipt}),
        )

    def _protocol_error(self, error: RemoteProtocolError) -> None:
        if self._channel is not None:
            self._channel.send(self._stomp.failed(error))
            self._close(error.close_code, error.message)

    def _goodbye(self, receipt: str | None) -> None:
        if self._channel is not None:
            if receipt is not None:
                self._channel.send(self._stomp.receipt(receipt))
            self._close(NORMAL, "goodbye")

    def _error(
        self,
        code: str,
        message: str,
        *,
        close: int,
        receipt: str | None = None,
        body: bytes = b"",
    ) -> None:
        """ERROR, then close: what is queued still goes out (lingering close)."""
        if self._channel is None:
            return
        kind = "application/json" if body else "text/plain"
        self._channel.send(
            self._stomp.error(
                code, message, receipt=receipt, body=body, content_type=kind
            )
        )
        self._close(close, message)

    # ------------------------------------------------------------ endings

    def _end_in_order(self, ending: Callable[[], None]) -> None:
        """Look at no further frame; end when the results before are there."""
        self._ending = True
        self._cancel_deadline()
        self._pipeline.push(None, lambda _, __: ending())
        if self._channel is not None:
            self._deadline = self._services.timer.call_later(
                self._services.settings.linger, ending
            )

    def _connect_too_late(self) -> None:
        seconds = self._services.settings.connect_deadline
        self._error(
            "connect_timeout",
            f"no CONNECT that could be granted came within {seconds:g} s",
            close=TIMED_OUT,
        )

    def _close(self, code: int, reason: str) -> None:
        channel, self._channel = self._channel, None
        self._ending = True
        if channel is not None:
            channel.close(code, _clipped(reason))
        self._clean_up()

    def _clean_up(self) -> None:
        """Forget everything; may be called twice."""
        self._cancel_deadline()
        for handle in (self._beat, self._watch):
            if handle is not None:
                handle.cancel()
        self._beat = self._watch = None
        self._pipeline.close()
        session, self._session = self._session, None
        if session is not None:
            self._services.users.remove(session)
            self._services.dispatcher.disconnect(session)
            tell(self._services.events.disconnected, session)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # ------------------------------------------------------------ heart-beats, flow

    def _start_heart_beats(self) -> None:
        timer = self._services.timer
        if self._stomp.send_every:
            self._beat = timer.call_later(0.9 * self._stomp.send_every, self._send_beat)
        if self._stomp.expect_every:
            self._watch = timer.call_later(self._stomp.expect_every, self._listen)

    def _send_beat(self) -> None:
        """Sent whether or not other data went out: that is simpler, and cheap."""
        if self._channel is not None:
            self._channel.send(HEART_BEAT, droppable=True, coalesce="heart-beat")
            every = 0.9 * self._stomp.send_every  # be early rather than late
            self._beat = self._services.timer.call_later(every, self._send_beat)

    def _listen(self) -> None:
        """The client may be silent for twice what it promised (margin of error)."""
        self._silent += 1
        if self._silent > 2:
            every = self._stomp.expect_every
            self._error(
                "heart_beat_lost",
                f"nothing came for more than {2 * every:g} s",
                close=TIMED_OUT,
            )
            return
        self._watch = self._services.timer.call_later(
            self._stomp.expect_every, self._listen
        )

    def _regulate(self) -> None:
        """Stop reading, or go on."""
        if self._channel is None:
            return
        busy = self._task is not None
        ahead = busy and self._stomp.buffered > self._services.settings.read_ahead
        pause = self._pipeline.full or ahead
        if pause is not self._paused:
            self._paused = pause
            if pause:
                self._channel.pause_reading()
            else:
                self._channel.resume_reading()


def problem(error: BaseException) -> dict[str, Any]:
    """An error as JSON: details of a refusal, none of what is ours."""
    if isinstance(error, Refusal):
        return error.as_json()
    if isinstance(error, (Unavailable, asyncio.CancelledError)):
        return {
            "code": "unavailable",
            "message": "The server cannot do this now; nothing was accepted.",
            "retry_after": 1,
        }
    log.error("bridge.handler", exc_info=error)
    return {"code": "internal", "message": "Something went wrong here."}


def _clipped(reason: str) -> str:
    """A close reason has 123 bytes (RFC 6455, 5.5)."""
    return reason.encode()[:120].decode(errors="ignore")
