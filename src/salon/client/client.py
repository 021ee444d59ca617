"""A STOMP 1.2 client that comes back by itself.

::

    async with Client("ws://127.0.0.1:8000/ws", login="Ann") as client:
        async with await client.subscribe("/topic/public") as messages:
            await client.send("/app/chat.sendMessage", {"type": "CHAT", "content": "hi"})
            async for message in messages:
                print(message.json())

Theory of operation. One task holds the connection: it connects, subscribes what was
subscribed (with ``resume-from``), waits for the end, pauses, and begins again. The pause
doubles from ``0.2 s`` to ``10 s`` and is random within that, so that a thousand clients
of a server that restarts do not come at once. It gives up where coming back is no use:
not authorised any more, or closed with 1008 (policy).

``send`` and the other frames wait for their RECEIPT. A frame whose RECEIPT did not come
before the connection broke raises ``Disconnected``: it may have taken effect, so it is
the caller's to send it again, with an idempotency key where the server knows one.
"""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from salon.client.errors import ClientError, Disconnected, Refused
from salon.client.sockjs import POLLING, STREAMING, SockJsWire
from salon.client.subscription import Message, Subscription
from salon.client.wire import Wire, open_wire
from salon.stomp.codec import Decoder, Limits, encode
from salon.stomp.errors import StompError
from salon.stomp.frames import SERVER_COMMANDS, Frame, Version

HEART_BEAT_MS = 10_000
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
POLICY = 1008

TRANSPORTS = ("websocket", STREAMING, POLLING)

FINAL = frozenset({"unauthorised", "unsupported_version"})
"""Codes of ERROR with which it does not come back. Others may pass: a guest's name
is taken as long as the server has not noticed that the old connection is gone."""


class Client:
    """One user of one server.

    Args:
        url: ``ws://host:port/ws``, ``wss://…``, ``http(s)://host/ws`` (a SockJS service)
            or ``tcp://host:port``.
        login: a guest's name, or nothing where a token or cookie says who it is.
        passcode: a session token.
        connect_headers: more headers of CONNECT.
        headers: of the WebSocket handshake (``Cookie``, ``Origin``).
        reconnect: whether to come back after a lost connection.
        timeout: seconds for connecting, and for a RECEIPT.
        heart_beat: milliseconds between signs of life, both ways; 0: none.
        transports: tried in this order, the first for half of ``timeout``, until one
            carries CONNECT and CONNECTED: networks that let no WebSocket through, or
            no stream, still let requests through. What worked is tried first when it
            comes back.

    Attributes:
        user: who the server says one is.
        transport: what it is connected by: one of ``transports``, or ``tcp``.
        connections: how often it connected.
    """

    def __init__(
        self,
        url: str,
        *,
        login: str | None = None,
        passcode: str | None = None,
        connect_headers: Mapping[str, str] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        reconnect: bool = True,
        timeout: float = 10.0,
        heart_beat: int = HEART_BEAT_MS,
        transports: Sequence[str] = TRANSPORTS,
    ) -> None:
        unknown = set(transports) - set(TRANSPORTS)
        if unknown or not transports:
            raise ValueError(f"transports are of {TRANSPORTS}, not {transports!r}")
        self._url = url
        self._transports = (
            ["tcp"] if urlsplit(url).scheme == "tcp" else list(transports)
        )
        self._headers = headers
        self._reconnect = reconnect
        self._timeout = timeout
        said = {"login": login, "passcode": passcode, **(connect_headers or {})}
        self._connect = Frame(
            "CONNECT",
            (
                ("accept-version", "1.2"),
                ("host", "salon"),
                ("heart-beat", f"{heart_beat},{heart_beat}"),
                *((n, v) for n, v in said.items() if v is not None),
            ),
        )
        self.user: str | None = None
        self.transport: str | None = None
        self.connections = 0
        self._numbers = itertools.count(1)
        self._subscriptions: dict[str, Subscription] = {}
        self._receipts: dict[str, asyncio.Future[Frame]] = {}
        self._wire: Wire | None = None
        self._decoder = Decoder(Limits(body=1 << 24, head=1 << 16), SERVER_COMMANDS)
        self._ready = asyncio.Event()
        self._lost: asyncio.Future[Disconnected] | None = None
        self._connected: asyncio.Future[Frame] | None = None
        self._failed: ClientError | None = None
        self._closing = False
        self._heard = 0.0
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Refused: theirs; the server does not let us in.
            Disconnected: nobody answers.
        """
        try:
            await self._open()
        except BaseException:
            if self._wire is not None:
                self._wire.close()
            raise
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye, and wait a moment for the server to have read all."""
        self._closing = True
        if self._wire is not None and self._ready.is_set():
            with contextlib.suppress(ClientError, TimeoutError):
                await self.ask("DISCONNECT", {})
        if self._wire is not None:
            self._wire.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._over(self._failed or Disconnected(1000, "closed"))
        for subscription in list(self._subscriptions.values()):
            subscription.end(Disconnected(1000, "closed"))

    async def _open(self) -> None:
        self._forgive()
        frame = await self._greeted()
        self.user = frame.get("user-name")
        self.connections += 1
        self._ready.set()
        self._start_heart_beats(frame)
        for subscription in list(self._subscriptions.values()):
            await self._subscribe(subscription)

    async def _greeted(self) -> Frame:
        """CONNECTED, by the first transport that carries it.

        Raises:
            Refused: theirs; the server does not let us in, however we come.
            Disconnected: by none of them; says why by each.
        """
        errors = []
        share, order = self._timeout, list(self._transports)
        for transport in order:
            share /= 1 if transport is order[-1] else 2
            try:
                async with asyncio.timeout(share):
                    frame = await self._greet(transport)
            except TimeoutError:
                errors.append(Disconnected(1006, f"{transport}: no answer"))
            except Disconnected as error:
                errors.append(error)
                nobody = isinstance(error.__cause__, ConnectionRefusedError)
                if nobody or error.code == POLICY:
                    break
            else:
                self.transport = transport
                self._transports.remove(transport)
                self._transports.insert(0, transport)
                return frame
            self._drop_wire()
        if len(errors) == 1:
            raise errors[0]
        raise Disconnected(1006, "; ".join(map(str, errors)))

    async def _greet(self, transport: str) -> Frame:
        """Open a wire, CONNECT, and wait for what comes of it."""
        loop = asyncio.get_running_loop()
        self._connected = connected = loop.create_future()
        self._lost = lost = loop.create_future()
        self._decoder = Decoder(Limits(body=1 << 24, head=1 << 16), SERVER_COMMANDS)

        def on_close(why: Disconnected) -> None:
            if self._lost is lost:  # and not one that was given up
                self._on_close(why)

        if transport in (STREAMING, POLLING):
            base = f"http{self._url.removeprefix('ws').removeprefix('http')}"
            self._wire = await SockJsWire.open(
                base, transport, self._on_data, on_close, self._headers
            )
        else:
            self._wire = await open_wire(
                self._url, self._on_data, on_close, headers=self._headers
            )
        self._wire.send(encode(self._connect, None))
        await asyncio.wait({lost, connected}, return_when=asyncio.FIRST_COMPLETED)
        if not connected.done():
            raise self._failed or lost.result()
        frame: Frame = connected.result()
        return frame

    def _drop_wire(self) -> None:
        self._lost = None
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    async def _keep(self) -> None:
        """Hold the connection, as long as it makes sense."""
        pause = FIRST_PAUSE
        while True:
            assert self._lost is not None
            why = await asyncio.shield(self._lost)
            if self._given_up(why):
                return
            while True:
                await asyncio.sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    await self._open()
                except (ClientError, TimeoutError) as error:
                    self._drop_wire()
                    if isinstance(error, Refused) and error.code in FINAL:
                        self._give_up(error)
                        return
                else:
                    pause = FIRST_PAUSE
                    break

    def _forgive(self) -> None:
        """What ended the last connection does not end the next."""
        self._failed = None

    def _given_up(self, why: Disconnected) -> bool:
        if self._failed is None and self._reconnect and why.code != POLICY:
            return self._closing
        self._give_up(self._failed or why)
        return True

    def _give_up(self, why: ClientError) -> None:
        self._failed = why
        self._ready.set()  # whoever waits for the connection hears of it
        for subscription in self._subscriptions.values():
            subscription.end(why)

    # ------------------------------------------------------------ what comes in

    def _on_data(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        try:
            for frame in self._decoder.feed(data):
                self._on_frame(frame)
        except StompError as error:
            self._failed = ClientError(f"the server does not speak STOMP: {error}")
            if self._wire is not None:
                self._wire.close()

    def _on_frame(self, frame: Frame) -> None:
        match frame.command:
            case "MESSAGE":
                found = self._subscriptions.get(frame.get("subscription") or "")
                if found is not None:
                    found.put(Message(frame, self._settle))
            case "RECEIPT":
                waiting = self._receipts.pop(frame.get("receipt-id") or "", None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
            case "CONNECTED":
                self._decoder.version = Version.V12
                if self._connected is not None and not self._connected.done():
                    self._connected.set_result(frame)
            case _:
                self._refused(Refused(frame))

    def _refused(self, error: Refused) -> None:
        """ERROR: the frame to blame fails with it; the connection ends after it."""
        waiting = self._receipts.pop(error.receipt or "", None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        elif not self._ready.is_set():
            self._failed = error

    def _on_close(self, why: Disconnected) -> None:
        self._ready.clear()
        self._wire = None
        self._over(why)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(why)

    def _over(self, why: ClientError) -> None:
        """No RECEIPT comes any more on this connection."""
        receipts, self._receipts = self._receipts, {}
        for future in receipts.values():
            if not future.done():
                future.set_exception(why)

    # ------------------------------------------------------------ what goes out

    async def send(
        self,
        destination: str,
        body: Any = b"",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """SEND; the headers of its RECEIPT (``seq``, ``message-id`` …).

        Args:
            destination: as ``/app/chat.send``.
            body: bytes, text, or anything that JSON can say.
            headers: more of them.

        Raises:
            Refused: theirs; an ERROR names this frame.
            Disconnected: the connection broke before the RECEIPT.
            TimeoutError: neither came in time, as when the server refused it on
                ``/user/queue/errors``.
        """
        data, kind = _encoded(body)
        said = {"destination": destination, **kind, **(headers or {})}
        return dict((await self.ask("SEND", said, data)).headers)

    async def subscribe(
        self,
        destination: str,
        *,
        ack: str = "auto",
        headers: Mapping[str, str] | None = None,
        buffer: int = 1_000,
    ) -> Subscription:
        """SUBSCRIBE; returns when it is in effect.

        Raises:
            Refused, Disconnected, TimeoutError: see ``send``.
        """
        made = Subscription(
            f"sub-{next(self._numbers)}",
            destination,
            ack,
            dict(headers or {}),
            buffer,
            self._unsubscribe,
        )
        self._subscriptions[made.id] = made
        try:
            await self._subscribe(made)
        except BaseException:
            self._subscriptions.pop(made.id, None)
            raise
        return made

    def transaction(self) -> "Transaction":
        """Several frames, all of them or none: ``async with client.transaction()``."""
        return Transaction(self, f"tx-{next(self._numbers)}")

    async def _subscribe(self, subscription: Subscription) -> None:
        said = {
            "id": subscription.id,
            "destination": subscription.destination,
            "ack": subscription.ack,
            **subscription.headers,
        }
        if subscription.last is not None:
            said["resume-from"] = subscription.last
        subscription.subscribed(await self.ask("SUBSCRIBE", said))

    async def _unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription.id, None)
        if self._wire is not None and self._ready.is_set():
            with contextlib.suppress(ClientError, TimeoutError):
                await self.ask("UNSUBSCRIBE", {"id": subscription.id})

    async def _settle(self, command: str, message: Message) -> None:
        await self.ask(command, {"id": message["ack"]})

    async def ask(
        self, command: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Frame:
        """Send a frame of any kind and wait for its RECEIPT.

        Raises:
            Refused, Disconnected, TimeoutError: see ``send``.
        """
        async with asyncio.timeout(self._timeout):
            while self._wire is None or not self._ready.is_set():
                if self._failed is not None:
                    raise self._failed
                if self._closing:
                    raise Disconnected(1000, "closed")
                await self._ready.wait()
            number = f"{next(self._numbers)}"
            said = (*headers.items(), ("receipt", number))
            data = encode(Frame(command, said, body), Version.V12)
            self._receipts[number] = asyncio.get_running_loop().create_future()
            try:
                self._wire.send(data)
                return await self._receipts[number]
            finally:
                self._receipts.pop(number, None)

    # ------------------------------------------------------------ heart-beats

    def _start_heart_beats(self, connected: Frame) -> None:
        offered = connected.get("heart-beat", "0,0") or "0,0"
        theirs, wanted = (int(n) / 1000 for n in offered.split(","))
        ours = int(dict(self._connect.headers)["heart-beat"].split(",")[0]) / 1000
        wire, loop = self._wire, asyncio.get_running_loop()
        self._heard = loop.time()

        def beat(every: float) -> None:
            if self._wire is wire and wire is not None:
                wire.send(b"\n")
                loop.call_later(every, beat, every)

        def watch(every: float) -> None:
            if self._wire is not wire or wire is None:
                return
            if loop.time() - self._heard > 2 * every:
                wire.close()
                self._on_close(Disconnected(1006, "the server is silent"))
            else:
                loop.call_later(every, watch, every)

        if ours and wanted:
            loop.call_later(0.9 * max(ours, wanted), beat, 0.9 * max(ours, wanted))
        if ours and theirs:
            loop.call_later(max(ours, theirs), watch, max(ours, theirs))


class Transaction:
    """Frames that take effect together, when its ``async with`` ends without error."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def __aenter__(self) -> Self:
        await self._client.ask("BEGIN", {"transaction": self._name})
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        command = "COMMIT" if kind is None else "ABORT"
        try:
            await self._client.ask(command, {"transaction": self._name})
        except (ClientError, TimeoutError):
            if kind is None:
                raise

    async def send(
        self,
        destination: str,
        body: Any = b"",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """SEND at COMMIT."""
        said = {**(headers or {}), "transaction": self._name}
        await self._client.send(destination, body, headers=said)

    async def ack(self, message: Message) -> None:
        """ACK at COMMIT."""
        await self._settle("ACK", message)

    async def nack(self, message: Message) -> None:
        """NACK at COMMIT."""
        await self._settle("NACK", message)

    async def _settle(self, command: str, message: Message) -> None:
        said = {"id": message["ack"], "transaction": self._name}
        await self._client.ask(command, said)


def _encoded(body: Any) -> tuple[bytes, dict[str, str]]:
    if isinstance(body, bytes):
        return body, {}
    if isinstance(body, str):
        return body.encode(), {"content-type": "text/plain;charset=utf-8"}
    return json.dumps(body).encode(), {"content-type": "application/json"}
