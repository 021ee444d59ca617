"""A device as Salon wants them: retries with its keys, reconnects, fills gaps, and
writes down everything it does and sees for the checker.

One ``Device`` is one login of a user. It keeps an outbox; each message leaves it when
its RECEIPT is there, or its refusal, or its time is over. After a reconnect it
subscribes first, then syncs, then sends its outbox again in order: the idempotency
key makes that harmless. Events go on the screen by the rule of the protocol
(``docs/reference/protocol.md``): the next number is shown, an older one ignored, a
later one waits until the hole is fetched.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from salon.stomp.codec import Decoder, encode
from salon.stomp.frames import SERVER_COMMANDS, Frame, Version
from tests.faults.checker import Line

TRANSIENT = {"unavailable", "rate_limited", "overloaded", "busy", "internal"}
"""Refusals of the moment: the same message may be accepted later."""

FAILURES = (OSError, WebSocketException, InvalidHandshake, TimeoutError)
PAGE = 200


class Recorder:
    """The one history of a run."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, type_: str, /, **fields: Any) -> Line:
        line = {"type": type_, **fields, "t": time.monotonic_ns()}
        self.lines.append(line)
        return line

    def save(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in self.lines)


@dataclass
class Waiting:
    """A message in the outbox."""

    conv: str
    client_id: str
    text: str
    deadline: float
    done: asyncio.Future[str] = field(repr=False)
    on_wire: bool = False


class Device:
    """One terminal of one user; ``start`` it, ``send``, ``stop`` it.

    Args:
        url: the server's address; it must come back at the same one.
        token: a session token of the user.
        history: where everything is written.
        op_s: seconds until a message is given up (its result is unknown then).
    """

    _connections = itertools.count(1)

    def __init__(
        self,
        url: str,
        token: str,
        *,
        user: str,
        name: str,
        history: Recorder,
        op_s: float = 60.0,
    ) -> None:
        self.url = url
        self.user = user
        self.name = name
        self.reconnects = 0
        self.last: dict[str, int] = {}
        self._token = token
        self._history = history
        self._op_s = op_s
        self._outbox: dict[str, Waiting] = {}
        self._early: dict[str, dict[int, dict[str, Any]]] = {}
        self._holes: dict[str, asyncio.Task[None]] = {}
        self._sync_token: str | None = None
        self._socket: ClientConnection | None = None
        self._connected = asyncio.Event()
        self._more = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._keys = itertools.count(1)
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Origin": url},
            timeout=10.0,
        )

    # life

    async def start(self) -> None:
        """Connect; returns when the first sync is done."""
        self._running = asyncio.create_task(self._run(), name=f"device-{self.name}")
        await self._connected.wait()

    async def stop(self) -> None:
        for task in (self._running, *self._holes.values()):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._http.aclose()

    async def _run(self) -> None:
        wait = 0.05
        while True:
            began = time.monotonic()
            try:
                await self._connection()
            except (*FAILURES, httpx.HTTPError, ConnectionRefusedError):
                pass
            finally:
                self._socket = None
                self._connected.clear()
                for waiting in self._outbox.values():
                    waiting.on_wire = False
            self.reconnects += 1
            if time.monotonic() - began > 2.0:
                wait = 0.05
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(1.0, wait * 2)

    async def _connection(self) -> None:
        """One connection, from CONNECT until it is lost."""
        number = next(self._connections)
        decoder = Decoder(commands=SERVER_COMMANDS)
        async with connect(
            f"{self.url.replace('http', 'ws', 1)}/ws",
            subprotocols=["v12.stomp"],  # type: ignore[list-item]
            origin=self.url,  # type: ignore[arg-type]
            open_timeout=10,
            close_timeout=0.2,
            max_size=None,
        ) as socket:
            headers = {"accept-version": "1.2", "host": "salon", "heart-beat": "0,0"}
            await _put(socket, "CONNECT", **headers, passcode=self._token)
            while True:
                frames = await _get(socket, decoder, timeout=15)
                if frames:
                    break
            if frames[0].command != "CONNECTED":
                raise ConnectionError(frames[0])
            decoder.version = Version.V12
            for queue in ("events", "errors"):
                destination = f"/user/queue/{queue}"
                await _put(socket, "SUBSCRIBE", id=queue, destination=destination)
            self._socket = socket
            tasks = [asyncio.create_task(self._read(socket, decoder, number))]
            try:
                await self._sync()
                tasks.append(asyncio.create_task(self._empty_outbox(socket)))
                self._connected.set()
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, *FAILURES):
                        await task

    async def _read(
        self, socket: ClientConnection, decoder: Decoder, number: int
    ) -> None:
        while True:
            for frame in await _get(socket, decoder):
                self._on_frame(frame, number)

    def _on_frame(self, frame: Frame, number: int) -> None:
        if frame.command == "RECEIPT":
            self._on_receipt(frame)
        elif frame.command == "ERROR":
            raise ConnectionError(frame)
        elif frame.get("subscription") == "errors":
            self._on_refusal(json.loads(frame.body))
        elif frame.get("subscription") == "events":
            event = json.loads(frame.body)
            if "seq" in event:
                self._write("live", event, connection=number)
                self._take(event, "live")
            elif event["type"] == "cursor":
                self._on_cursor(event["conversation"], event["read_seq"])

    # sending

    async def send(self, conv: str, text: str, *, fresh: bool = False) -> str:
        """Send until there is an answer: ``ok``, ``fail`` or ``info``."""
        return await self.post(conv, text, fresh=fresh)

    def post(
        self, conv: str, text: str, *, fresh: bool = False
    ) -> "asyncio.Future[str]":
        """Put a message into the outbox, in order; the future is its end."""
        loop = asyncio.get_running_loop()
        key = f"{self.name}-{next(self._keys)}"
        self._history.write(
            "invoke",
            op="send",
            device=self.name,
            user=self.user,
            conv=conv,
            client_id=key,
            digest=digest(text),
        )
        if fresh:
            self._history.write("fresh", client_id=key)
        waiting = Waiting(
            conv, key, text, loop.time() + self._op_s, loop.create_future()
        )
        self._outbox[key] = waiting
        self._more.set()
        loop.call_later(self._op_s, self._give_up, key)
        return waiting.done

    async def _empty_outbox(self, socket: ClientConnection) -> None:
        """Write what is not yet on this connection, always in the outbox's order."""
        while True:
            self._more.clear()
            for waiting in list(self._outbox.values()):
                if waiting.on_wire or waiting.done.done():
                    continue
                waiting.on_wire = True
                body = {
                    "conversation": waiting.conv,
                    "client_id": waiting.client_id,
                    "text": waiting.text,
                }
                await _put(
                    socket,
                    "SEND",
                    json.dumps(body).encode(),
                    destination="/app/chat.send",
                    receipt=waiting.client_id,
                )
            await self._more.wait()

    def _on_receipt(self, frame: Frame) -> None:
        waiting = self._outbox.pop(frame.get("receipt-id") or "", None)
        if waiting is not None:
            seq, id_ = int(frame.get("seq") or 0), frame.get("message-id")
            self._end(waiting, "ok", seq=seq, id=id_)

    def _on_refusal(self, refusal: dict[str, Any]) -> None:
        key = refusal.get("receipt", "")
        waiting = self._outbox.get(key)
        if waiting is None:
            return
        if refusal["code"] in TRANSIENT:
            waiting.on_wire = False
            pause = float(refusal.get("retry_after") or 0.2)
            asyncio.get_running_loop().call_later(pause, self._more.set)
        else:
            del self._outbox[key]
            self._end(waiting, "fail", code=refusal["code"])

    def _give_up(self, key: str) -> None:
        waiting = self._outbox.pop(key, None)
        if waiting is not None:
            self._end(waiting, "info")

    def _end(self, waiting: Waiting, how: str, **fields: Any) -> None:
        key = waiting.client_id
        self._history.write(how, op="send", device=self.name, client_id=key, **fields)
        if not waiting.done.done():
            waiting.done.set_result(how)

    # reading

    async def read(self, conv: str, seq: int) -> None:
        """Say how far one has read; lost with the connection, as it may be."""
        if self._socket is not None:
            body = json.dumps({"conversation": conv, "seq": seq}).encode()
            with contextlib.suppress(*FAILURES):
                await _put(self._socket, "SEND", body, destination="/app/chat.read")

    def _on_cursor(self, conv: str, read_seq: int) -> None:
        self._history.write(
            "cursor", device=self.name, user=self.user, conv=conv, read_seq=read_seq
        )

    async def _sync(self) -> None:
        query = {} if self._sync_token is None else {"token": self._sync_token}
        answer = (await self._get_json("/api/v1/sync", **query)) or {}
        for conversation in answer["conversations"]:
            conv = conversation["id"]
            self._early.setdefault(conv, {})
            self.last.setdefault(conv, 0)
            for event in conversation["events"]:
                self._take(event, "page")
            if self.last[conv] < int(conversation["last_seq"]):
                await self._fetch(conv)
        self._sync_token = answer["token"]

    def _take(self, event: dict[str, Any], how: str) -> None:
        """The protocol's rule: next: show; older: ignore; later: keep and fetch."""
        conv, seq = event["conversation"], int(event["seq"])
        early = self._early.setdefault(conv, {})
        if how == "page":
            self._write("page", event)
        if seq <= self.last.setdefault(conv, 0):
            return
        early[seq] = event
        self._show_ready(conv)
        if early and how == "live" and conv not in self._holes:
            task = asyncio.create_task(self._fill(conv))
            self._holes[conv] = task
            task.add_done_callback(lambda _: self._holes.pop(conv, None))

    def _show_ready(self, conv: str) -> None:
        early = self._early[conv]
        while (event := early.pop(self.last[conv] + 1, None)) is not None:
            self.last[conv] += 1
            self._write("show", event)
        for seq in [seq for seq in early if seq <= self.last[conv]]:
            del early[seq]

    async def _fill(self, conv: str) -> None:
        """Fetch a hole; where the server is away, the next sync does it."""
        with contextlib.suppress(httpx.HTTPError):
            await self._fetch(conv)

    async def _fetch(self, conv: str) -> None:
        while True:
            page = await self._get_json(
                f"/api/v1/conversations/{conv}/events",
                after=self.last[conv],
                limit=PAGE,
            )
            for event in page["events"]:
                self._take(event, "page")
            if not page["events"] or self.last[conv] >= int(page["last_seq"]):
                return

    async def from_scratch(self) -> None:
        """Fetch everything once more as a new device would; the ``final`` lines."""
        answer = await self._get_json("/api/v1/sync")
        for conversation in answer["conversations"]:
            conv, at = conversation["id"], 0
            self._on_cursor(conv, int(conversation["read_seq"]))
            while at < int(conversation["last_seq"]):
                page = await self._get_json(
                    f"/api/v1/conversations/{conv}/events", after=at, limit=PAGE
                )
                if not page["events"]:
                    break
                for event in page["events"]:
                    self._write("final", event)
                    at = int(event["seq"])

    async def _get_json(self, path: str, **query: Any) -> Any:
        answer = await self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def _write(self, type_: str, event: dict[str, Any], **fields: Any) -> None:
        kind = event["type"]
        text = event["body"].get("text") if kind == "message" else None
        self._history.write(
            type_,
            device=self.name,
            conv=event["conversation"],
            seq=int(event["seq"]),
            id=event["id"],
            kind=kind,
            sender=event["sender"],
            client_id=event["client_id"],
            digest=None if text is None else digest(text),
            **fields,
        )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def _put(
    socket: ClientConnection, command: str, body: bytes = b"", **headers: str
) -> None:
    frame = Frame(command, tuple(headers.items()), body)
    await socket.send(encode(frame, Version.V12), text=True)


async def _get(
    socket: ClientConnection, decoder: Decoder, timeout: float | None = None
) -> list[Frame]:
    async with asyncio.timeout(timeout):
        data = await socket.recv(decode=False)
    return decoder.feed(data)
