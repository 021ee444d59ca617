"""The server's side of one STOMP connection, without I/O.

Theory of operation
-------------------
::

    NEW ── CONNECT/STOMP ──> CONNECTING ── connected() ──> CONNECTED
     │                           │                             │
     └───── error() ─────────────┴──── error(), DISCONNECT ────┴──> ENDED

* NEW: nothing but CONNECT or STOMP may come (ERROR ``unexpected_frame``).
* CONNECTING: the caller finds out who it is. Bytes that arrive meanwhile stay
  undecoded; ``next_event`` gives None.
* CONNECTED: frames become events, one at a time; CONNECT is an error.
* ENDED: input is ignored (STOMP 1.2: "the client MUST NOT send any more frames").

The caller's loop is ``receive(data)``, then ``next_event()`` until it gives None; a
``RemoteProtocolError`` that it raises is answered by ``failed(error)`` and a close.
The other methods return the bytes of a frame to send. When a frame is answered is the
caller's affair; which frames make sense is decided here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from salon.stomp.codec import Decoder, Limits, encode
from salon.stomp.errors import (
    FrameTooLarge,
    MalformedFrame,
    RemoteProtocolError,
    UnexpectedFrame,
    UnsupportedFrame,
    UnsupportedVersion,
)
from salon.stomp.events import (
    Abort,
    Ack,
    Begin,
    Commit,
    Connect,
    Disconnect,
    Event,
    Held,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)
from salon.stomp.frames import Frame, Headers, Version
from salon.stomp.transactions import TransactionLimits, Transactions

SUPPORTED = (Version.V12, Version.V11, Version.V10)
ACK_MODES = frozenset({"auto", "client", "client-individual"})

HEART_BEAT = b"\n"
"""What travels when nothing else does (STOMP 1.2, "Heart-beating")."""


class State(Enum):
    """Where a connection stands."""

    NEW = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class HeartBeats:
    """What we offer in CONNECTED; milliseconds.

    The client's wish is met where it lies between the two, so that its own figure
    is what the MAX rule of the specification gives.
    """

    shortest: int = 1_000
    preferred: int = 10_000

    def offer(self, wish: int) -> int:
        """Our side of ``heart-beat`` for the client's; 0 is a wish for none."""
        return min(max(wish, self.shortest), self.preferred) if wish else self.preferred


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one connection may ask for."""

    frame: Limits = field(default_factory=Limits)
    subscriptions: int = 200
    transactions: TransactionLimits = field(default_factory=TransactionLimits)


class ServerSession:
    """One connection as the server sees it.

    Attributes:
        state: see the module.
        version: as negotiated; None before CONNECT.
        send_every: seconds after which the client expects something from us; 0 never.
        expect_every: seconds within which the client promised something; 0 never.
    """

    __slots__ = (
        "_cx",
        "_cy",
        "_decoder",
        "_heart_beats",
        "_limits",
        "_subscriptions",
        "_transactions",
        "expect_every",
        "send_every",
        "state",
        "version",
    )

    def __init__(
        self,
        limits: SessionLimits | None = None,
        heart_beats: HeartBeats | None = None,
    ) -> None:
        self._limits = limits or SessionLimits()
        self._heart_beats = heart_beats or HeartBeats()
        self._decoder = Decoder(self._limits.frame)
        self._subscriptions: dict[str, str] = {}
        self._transactions = Transactions(self._limits.transactions)
        self._cx = self._cy = 0
        self.state = State.NEW
        self.version: Version | None = None
        self.send_every = self.expect_every = 0.0

    # ------------------------------------------------------------ what comes in

    @property
    def buffered(self) -> int:
        """Bytes that wait to be decoded."""
        return self._decoder.buffered

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; then ask for events."""
        if self.state is not State.ENDED:
            self._decoder.receive(data)

    def next_event(self) -> Event | None:
        """What the client asks for next; None when bytes (or we) are missing.

        Raises:
            RemoteProtocolError: theirs; answer with ``failed`` and close.
        """
        if self.state is not State.NEW and self.state is not State.CONNECTED:
            return None
        frame = self._decoder.next_frame()
        if frame is None:
            return None
        try:
            return self._event(frame)
        except RemoteProtocolError as error:
            error.receipt = frame.get("receipt")
            raise

    def _event(self, frame: Frame) -> Event:
        command = frame.command
        if self.state is State.NEW:
            if command not in ("CONNECT", "STOMP"):
                raise UnexpectedFrame(f"the first frame must be CONNECT, not {command}")
            return self._connect(frame)
        match command:
            case "SEND":
                return self._or_held(frame, self._send(frame))
            case "SUBSCRIBE":
                return self._subscribe(frame)
            case "UNSUBSCRIBE":
                return self._unsubscribe(frame)
            case "DISCONNECT":
                self.state = State.ENDED
                return Disconnect(frame.get("receipt"))
            case "CONNECT" | "STOMP":
                raise UnexpectedFrame("this connection has already sent CONNECT")
            case "ACK" | "NACK":
                return self._or_held(frame, self._ack(frame))
            case _:
                return self._transaction(frame)

    def _connect(self, frame: Frame) -> Connect:
        accepted = frame.get("accept-version")
        self.version = negotiate(accepted)
        self._decoder.version = self.version
        self._cx, self._cy = _heart_beat(frame.get("heart-beat", "0,0") or "")
        self.state = State.CONNECTING
        login, passcode = frame.get("login"), frame.get("passcode")
        if accepted is None:  # 1.0's own examples write "login: <username>"
            login = login.strip() if login is not None else None
            passcode = passcode.strip() if passcode is not None else None
        return Connect(self.version, login, passcode, frame.get("host"), frame.headers)

    def _send(self, frame: Frame) -> Send:
        destination = _required(frame, "destination")
        return Send(destination, frame.headers, frame.body, frame.get("receipt"))

    def _subscribe(self, frame: Frame) -> Subscribe:
        destination = _required(frame, "destination")
        id_ = frame.get("id")
        named = id_ is not None
        if id_ is None:
            if self.version is not Version.V10:
                raise MalformedFrame("SUBSCRIBE needs the header id")
            id_ = destination
        ack = frame.get("ack", "auto")
        if ack not in ACK_MODES:
            raise MalformedFrame(f"unknown ack mode {ack!r}")
        if frame.get("selector"):
            raise UnsupportedFrame("selectors are not offered; subscribe without one")
        if id_ in self._subscriptions:
            raise UnexpectedFrame(f"subscription {id_!r} exists already")
        if len(self._subscriptions) >= self._limits.subscriptions:
            raise FrameTooLarge(
                f"a connection may have {self._limits.subscriptions} subscriptions"
            )
        self._subscriptions[id_] = destination
        return Subscribe(
            id_, destination, frame.headers, frame.get("receipt"), named, ack
        )

    def _unsubscribe(self, frame: Frame) -> Unsubscribe:
        id_ = frame.get("id")
        if id_ is None:
            if self.version is not Version.V10:
                raise MalformedFrame("UNSUBSCRIBE needs the header id")
            id_ = _required(frame, "destination")
        if self._subscriptions.pop(id_, None) is None:
            raise UnexpectedFrame(f"there is no subscription {id_!r}")
        return Unsubscribe(id_, frame.get("receipt"))

    def _ack(self, frame: Frame) -> Ack:
        """ACK or NACK in the client's version; 1.2 also takes the form of 1.1."""
        kind = Ack if frame.command == "ACK" else Nack
        if kind is Nack and self.version is Version.V10:
            raise UnexpectedFrame("NACK is not part of STOMP 1.0")
        id_ = frame.get("id") if self.version is Version.V12 else None
        message_id = None
        if id_ is None:
            if self.version is Version.V12 and frame.get("message-id") is None:
                raise MalformedFrame(f"{frame.command} needs the header id")
            message_id = _required(frame, "message-id")
        subscription = frame.get("subscription")
        if id_ is None and subscription is None and self.version is not Version.V10:
            raise MalformedFrame(f"{frame.command} needs the header subscription")
        return kind(id_, message_id, subscription, frame.headers, frame.get("receipt"))

    def _or_held(self, frame: Frame, part: Send | Ack) -> Event:
        """The event itself, or word that its transaction keeps it."""
        name = frame.get("transaction")
        if name is None:
            return part
        self._transactions.hold(name, part)
        return Held(name, part.receipt)

    def _transaction(self, frame: Frame) -> Event:
        name, receipt = _required(frame, "transaction"), frame.get("receipt")
        if frame.command == "BEGIN":
            self._transactions.begin(name)
            return Begin(name, receipt)
        parts = self._transactions.end(name)
        if frame.command == "COMMIT":
            return Commit(name, parts, receipt)
        return Abort(name, receipt)

    # ------------------------------------------------------------ what goes out

    def connected(self, session: str, user: str, server: str) -> bytes:
        """CONNECTED, and from now on frames are taken.

        Args:
            session: id of this session.
            user: id of the authenticated user, for the header ``user-name``.
            server: ``name/version``.
        """
        assert self.state is State.CONNECTING
        assert self.version is not None
        self.state = State.CONNECTED
        sx, sy = self._heart_beats.offer(self._cy), self._heart_beats.offer(self._cx)
        self.send_every = max(sx, self._cy) / 1000 if self._cy else 0.0
        self.expect_every = max(sy, self._cx) / 1000 if self._cx else 0.0
        headers = (
            ("version", self.version.value),
            ("session", session),
            ("server", server),
            ("heart-beat", f"{sx},{sy}"),
            ("user-name", user),
        )
        return encode(Frame("CONNECTED", headers), self.version)

    def receipt(self, id_: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """RECEIPT: the frame with this ``receipt``, and all before it, took effect."""
        frame = Frame("RECEIPT", (("receipt-id", id_), *headers))
        return encode(frame, self.version)

    def error(
        self,
        code: str,
        message: str,
        *,
        receipt: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "text/plain",
    ) -> bytes:
        """ERROR; the connection must be closed after it.

        ``message`` may quote what the client said: what a header cannot hold is
        replaced, and it is cut at 1,000 characters.
        """
        self.state = State.ENDED
        message = message[:1000].replace("\0", "\ufffd")
        message = message.encode(errors="replace").decode()
        head = [("message", message), ("code", code), *headers]
        if receipt is not None:
            head.append(("receipt-id", receipt))
        head.append(("content-type", content_type))
        frame = Frame("ERROR", tuple(head), body or message.encode())
        return encode(frame, self.version)

    def failed(self, error: RemoteProtocolError) -> bytes:
        """ERROR for what ``next_event`` raised."""
        headers: Headers = ()
        if isinstance(error, UnsupportedVersion):
            headers = (("version", ",".join(SUPPORTED)),)
        return self.error(
            error.code, error.message, receipt=error.receipt, headers=headers
        )


def negotiate(accepted: str | None) -> Version:
    """The highest version in common; no ``accept-version`` means 1.0.

    Raises:
        UnsupportedVersion: theirs; nothing in common.
    """
    if accepted is None:
        return Version.V10
    wanted = {version.strip() for version in accepted.split(",")}
    for version in SUPPORTED:
        if version.value in wanted:
            return version
    raise UnsupportedVersion("supported protocol versions are 1.2, 1.1 and 1.0")


def _heart_beat(value: str) -> tuple[int, int]:
    """The client's ``heart-beat``: what it can send, what it wants; ms."""
    match = re.fullmatch(r"([0-9]{1,9}),([0-9]{1,9})", value)
    if match is None:
        raise MalformedFrame(f"heart-beat {value[:20]!r} is not two numbers of ms")
    return int(match[1]), int(match[2])


def _required(frame: Frame, name: str) -> str:
    value = frame.get(name)
    if not value:
        raise MalformedFrame(f"{frame.command} needs the header {name}")
    return value
