"""The guest chat over real sockets: gateway, SockJS, STOMP and messaging together."""

import asyncio
import json
import random

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from salon.stomp.codec import Decoder, encode
from salon.stomp.frames import SERVER_COMMANDS, Frame, Version
from tests.classic.running import classic


class Plain:
    """STOMP over a raw WebSocket."""

    path = "/ws"

    def __init__(self, socket, version=Version.V12):
        self.socket = socket
        self.decoder = Decoder(commands=SERVER_COMMANDS)
        self.decoder.version = self.version = version
        self.waiting = []

    async def begin(self):
        pass

    def wrap(self, data):
        return data.decode()

    def unwrap(self, message):
        return [message if isinstance(message, bytes) else message.encode()]

    async def send(self, command, body=b"", **headers):
        pairs = tuple((k.replace("_", "-"), v) for k, v in headers.items())
        data = encode(Frame(command, pairs, body), self.version)
        await self.socket.send(self.wrap(data))

    async def frame(self):
        async with asyncio.timeout(20):
            while not self.waiting:
                for data in self.unwrap(await self.socket.recv()):
                    self.waiting += self.decoder.feed(data)
        return self.waiting.pop(0)

    async def login(self, name):
        await self.begin()
        await self.send("CONNECT", accept_version=self.version, login=name)
        return await self.frame()


class SockJs(Plain):
    """STOMP in SockJS's frames over a WebSocket."""

    def __init__(self, socket, version=Version.V12):
        super().__init__(socket, version)
        self.path = ""

    async def begin(self):
        assert await self.socket.recv() == "o"

    def wrap(self, data):
        return json.dumps([data.decode()])

    def unwrap(self, message):
        if message[0] != "a":
            return []
        return [text.encode() for text in json.loads(message[1:])]


def address(kind, port):
    if kind is Plain:
        return f"ws://127.0.0.1:{port}/ws"
    return f"ws://127.0.0.1:{port}/ws/000/{random.randrange(1 << 60):x}/websocket"


@pytest.mark.parametrize("kind", [Plain, SockJs])
@pytest.mark.parametrize("version", Version)
async def test_two_guests_talk(kind, version):
    async with (
        classic() as port,
        connect(address(kind, port)) as one,
        connect(address(kind, port)) as two,
    ):
        ann, bob = kind(one, version), kind(two, version)
        for guest, name in ((ann, "Ann"), (bob, "Böb")):
            assert (await guest.login(name)).get("version") == version
            await guest.send(
                "SUBSCRIBE", id="0", destination="/topic/public", receipt="s"
            )
            assert (await guest.frame()).get("receipt-id") == "s"
        body = '{"type":"CHAT","content":"héllo 房间","sender":"x"}'.encode()
        await bob.send("SEND", body, destination="/app/chat.sendMessage", receipt="1")
        heard = [await ann.frame(), await bob.frame()]
        receipt = await bob.frame()

        for frame in heard:
            assert frame.command == "MESSAGE"
            assert frame.get("destination") == "/topic/public"
            assert frame.get("subscription") == "0"
            assert frame.get("content-type") == "application/json"
            assert json.loads(frame.body) == {
                "type": "CHAT",
                "content": "héllo 房间",
                "sender": "Böb",
            }
        assert receipt == Frame("RECEIPT", (("receipt-id", "1"),))


async def test_an_error_arrives_before_the_close():
    async with classic() as port, connect(address(Plain, port)) as socket:
        ann = Plain(socket)
        await ann.login("Ann")
        await ann.send("SUBSCRIBE", id="0", destination="/topic/**", receipt="7")
        error = await ann.frame()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

        assert (error.command, error.get("receipt-id")) == ("ERROR", "7")
        assert closed.value.rcvd.code == 1008


async def test_a_taken_name_is_refused_in_words():
    async with classic() as port, connect(address(Plain, port)) as socket:
        assert (await Plain(socket).login("Ann")).command == "CONNECTED"
        async with connect(address(Plain, port)) as second:
            refused = await Plain(second).login("ann")
            assert refused.get("code") == "name_taken"
            assert "choose another name" in refused.get("message")


async def test_a_push_over_http_reaches_a_socket():
    async with classic() as port, connect(address(SockJs, port)) as socket:
        ann = SockJs(socket)
        await ann.login("Ann")
        await ann.send("SUBSCRIBE", id="0", destination="/topic/public", receipt="s")
        await ann.frame()
        async with httpx.AsyncClient() as http:
            answer = await http.get(
                f"http://127.0.0.1:{port}/testSendMessage",
                params={"content": "news", "sender": "clock"},
            )

        assert answer.status_code == 204
        assert json.loads((await ann.frame()).body)["content"] == "news"


async def test_a_frame_may_be_cut_into_many_messages():
    """stomp.js 2.3.3 cuts frames at 16 KiB; others do as they like."""
    body = json.dumps({"type": "CHAT", "content": "x" * 7000, "sender": None}).encode()
    data = encode(
        Frame(
            "SEND", (("destination", "/app/chat.sendMessage"), ("receipt", "1")), body
        ),
        Version.V12,
    ).decode()
    async with classic() as port, connect(address(Plain, port)) as socket:
        ann = Plain(socket)
        await ann.login("Ann")
        for start in range(0, len(data), 999):
            await socket.send(data[start : start + 999])

        assert (await ann.frame()).get("receipt-id") == "1"
