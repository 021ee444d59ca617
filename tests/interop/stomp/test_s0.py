"""A front end written for S0, with its own libraries, on the compatibility setting."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from salon.cli.classic import OriginalServer
from tests.client.place import place
from tests.interop.stomp.test_stomp_js import NODE, clients  # noqa: F401

pytestmark = pytest.mark.timeout(60)

CHAT = {"type": "CHAT", "content": "grüße", "sender": "B A:S"}


class Page:
    def __init__(self, process):
        self._process = process

    async def line(self):
        return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def message(self, destination):
        line = await self.line()
        assert line.startswith(f"{destination} {{"), line
        return line[len(destination) + 1 :]

    def send(self, destination, message):
        line = f"{destination}\t{json.dumps(message)}\n"
        self._process.stdin.write(line.encode())

    async def leave(self):
        self._process.stdin.close()
        await self._process.wait()


@asynccontextmanager
async def page(app, name, subscribe, hello):
    process = await asyncio.create_subprocess_exec(
        *("node", "s0.cjs", str(app.port), name, subscribe, hello),
        cwd=NODE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    made = Page(process)
    try:
        assert await made.line() == f"CONNECTED 1700000000000{name}"
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


PUBLIC = ("/topic/public", "/app/chat.addUser")


async def test_the_public_page():
    """The bytes of each payload are those of the original: order, nulls, no escapes."""
    async with (
        place(kind=OriginalServer) as app,
        page(app, "B A:S", *PUBLIC) as bas,
    ):
        assert (
            await bas.message("/topic/public")
            == '{"type":"JOIN","content":null,"sender":"B A:S"}'
        )
        async with page(app, "二", *PUBLIC) as two:
            await two.message("/topic/public")
            assert json.loads(await bas.message("/topic/public"))["sender"] == "二"
            bas.send("/app/chat.sendMessage", {**CHAT, "unknown": 1})
            for each in (bas, two):
                assert json.loads(await each.message("/topic/public")) == CHAT
            await two.leave()
        assert (
            await bas.message("/topic/public")
            == '{"type":"LEAVE","content":null,"sender":"二"}'
        )


async def test_the_room_page_is_isolated_and_leaves_in_public():
    room = ("/topic/chat/a b", "/app/chat.addUserToRoom/a b")
    async with (
        place(kind=OriginalServer) as app,
        page(app, "Eve", *PUBLIC) as eve,
        page(app, "Ann", *room) as ann,
    ):
        await eve.message("/topic/public")
        assert json.loads(await ann.message("/topic/chat/a b"))["type"] == "JOIN"
        ann.send("/app/chat/a b", CHAT)
        assert json.loads(await ann.message("/topic/chat/a b")) == CHAT
        await ann.leave()

        assert json.loads(await eve.message("/topic/public")) == {
            "type": "LEAVE",
            "content": None,
            "sender": "Ann",
        }


async def test_the_private_page():
    def way(name):
        return (
            f"/user/chat/{name},/topic/chatToUser/{name}",
            f"/app/chat.helloUser/{name}",
        )

    async with (
        place(kind=OriginalServer) as app,
        page(app, "Ann", *way("Ann")) as ann,
        page(app, "Bob", *way("Bob")) as bob,
    ):
        for each, name in ((ann, "Ann"), (bob, "Bob")):
            hello = json.loads(await each.message(f"/user/chat/{name}"))
            assert hello == {"type": "JOIN", "content": None, "sender": name}
        ann.send("/app/chatToUser/Bob", CHAT)

        assert json.loads(await bob.message("/topic/chatToUser/Bob")) == CHAT


async def test_chat_private_goes_to_the_speakers_sessions_only():
    way = ("/user/topic/chat/private", "/app/chat/private")
    async with (
        place(kind=OriginalServer) as app,
        page(app, "Ann", *way) as ann,
        page(app, "Bob", *way) as bob,
    ):
        for each, name in ((ann, "Ann"), (bob, "Bob")):
            said = json.loads(await each.message("/user/topic/chat/private"))
            assert said["sender"] == name


async def test_a_push_from_http_answers_204():
    async with (
        place(kind=OriginalServer) as app,
        page(app, "Ann", *PUBLIC) as ann,
        httpx.AsyncClient() as http,
    ):
        await ann.message("/topic/public")
        answer = await http.get(
            f"http://127.0.0.1:{app.port}/testSendMessage",
            params={"type": "CHAT", "content": "hi", "sender": "Ann"},
        )

        assert answer.status_code == 204
        assert json.loads(await ann.message("/topic/public"))["content"] == "hi"
