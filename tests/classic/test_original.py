"""The compatibility setting: who is believed, what stays refused, what is served."""

import asyncio
import json
import signal
import sys

import httpx
import pytest

from salon.classic.original import FromHeaders
from salon.cli.classic import ClassicServer, OriginalServer
from salon.client.client import Client
from salon.client.errors import Refused
from salon.errors import Refusal
from salon.messaging.channel import Handshake
from salon.messaging.principal import Credentials
from tests.client.place import place

pytestmark = pytest.mark.timeout(60)


def as_user(app, name, id_="1"):
    headers = {"User-ID": id_, "User-Name": name}
    return Client(f"ws://127.0.0.1:{app.port}/ws", connect_headers=headers)


class TestIdentity:
    async def who(self, *headers, login=None):
        said = Credentials(login, None, headers)
        return await FromHeaders().identify(Handshake("/ws"), said)

    async def test_the_headers_of_connect_are_believed(self):
        who = await self.who(("User-ID", "7"), ("User-Name", "Ann"), ("User-ID", "8"))

        assert (who.id, who.name, who.roles) == ("7", "Ann", {"guest"})

    async def test_without_them_it_is_somebody_new(self):
        one, two = await self.who(login="Ann"), await self.who()

        assert one.name == "Ann"
        assert one.id != two.id

    async def test_they_have_limits(self):
        with pytest.raises(Refusal, match="User-Name may have 200"):
            await self.who(("User-Name", "x" * 201))

    async def test_the_ordinary_server_believes_none_of_it(self):
        async with place(kind=ClassicServer) as app:
            with pytest.raises(Refused, match="unauthorised"):
                await as_user(app, "Ann").__aenter__()


class TestMessages:
    async def test_what_is_no_message_is_dropped_and_the_connection_stays(self):
        async with place(kind=OriginalServer) as app, as_user(app, "Ann") as ann:
            public = await ann.subscribe("/topic/public")
            for nonsense in (
                {"type": "SHOUT"},
                {"type": "CHAT", "content": 5},
                "no JSON",
            ):
                await ann.send("/app/chat.sendMessage", nonsense)
            long = {"type": "CHAT", "content": "x" * 20_000, "sender": "Ann"}
            await ann.send("/app/chat.sendMessage", long)

            assert (await anext(public)).json() == long
            assert ann.connections == 1

    async def test_a_body_without_a_sender_gets_the_name_of_connect(self):
        async with place(kind=OriginalServer) as app, as_user(app, "Ann") as ann:
            public = await ann.subscribe("/topic/public")
            await ann.send("/app/chat.addUser", {"type": "JOIN"})

            assert (await anext(public)).json()["sender"] == "Ann"

    async def test_a_literal_user_destination_is_delivered_once(self):
        async with place(kind=OriginalServer) as app, as_user(app, "A", "A") as ann:
            mine = await ann.subscribe("/user/chat/A")
            await ann.send("/app/chat.helloUser/A", {"type": "JOIN", "sender": "A"})
            app.template.send_to_user("A", "/chat/A", b"to the user")
            await ann.send("/app/chat.helloUser/A", {"type": "JOIN", "sender": "B"})
            heard = [(await anext(mine)).body for _ in range(3)]
            await mine.unsubscribe()

            assert heard[1] == b"to the user"
            assert json.loads(heard[2])["sender"] == "B"
            assert app.subscriptions.destinations() == []

    async def test_who_never_said_a_name_leaves_without_a_word(self):
        async with place(kind=OriginalServer) as app, as_user(app, "Ann") as ann:
            public = await ann.subscribe("/topic/public")
            async with as_user(app, "Bob", "2") as bob:
                await bob.subscribe("/topic/public")
            async with as_user(app, "Eve", "3") as eve:
                await eve.send("/app/chat.addUser", {"type": "JOIN", "sender": "Eve"})
            heard = [(await anext(public)).json() for _ in range(2)]

            assert [(m["type"], m["sender"]) for m in heard] == [
                ("JOIN", "Eve"),
                ("LEAVE", "Eve"),
            ]

    @pytest.mark.parametrize("to", ["/topic/public", "/topic/chatToUser/Bob"])
    async def test_a_send_straight_to_a_topic_stays_refused(self, to):
        async with place(kind=OriginalServer) as app, as_user(app, "Ann") as ann:
            with pytest.raises(Refused, match="destination_refused"):
                await ann.send(to, {"type": "CHAT"})


class TestPages:
    async def test_a_front_end_is_served_as_it_is(self, tmp_path):
        (tmp_path / "js").mkdir()
        (tmp_path / "index.html").write_text("<p>S0")
        (tmp_path / "js" / "main.js").write_text("let a")
        (tmp_path / "secret.txt").write_text("no")
        async with (
            place(kind=OriginalServer, pages=tmp_path) as app,
            httpx.AsyncClient(base_url=app.url) as http,
        ):
            home = await http.get("/")
            script = await http.get("/js/main.js")

            assert (home.text, script.text) == ("<p>S0", "let a")
            assert script.headers["content-type"].startswith("text/javascript")
            policy = home.headers["content-security-policy"]
            assert "https://cdnjs.cloudflare.com" in policy
            assert (await http.get("/secret.txt")).status_code == 404

    async def test_without_a_folder_our_own_pages_are_there(self):
        async with (
            place(kind=ClassicServer) as app,
            httpx.AsyncClient(base_url=app.url, follow_redirects=True) as http,
        ):
            home = await http.get("/")

            assert home.status_code == 200
            assert str(home.url).endswith("/classic/")


async def test_the_command_starts_it_alone_and_ends_on_a_signal():
    code = "import typer; from salon.cli.classic import classic; typer.run(classic)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "--port", "0", "--identity-from-headers"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    line = (await process.stdout.readline()).decode()
    url = line.split()[-1].rstrip("/")
    warning = (await process.stderr.readline()).decode()
    async with Client(
        f"{url.replace('http', 'ws')}/ws", connect_headers={"User-Name": "Ann"}
    ) as ann:
        await ann.send("/app/chat.addUser", {"type": "JOIN", "sender": "Ann"})
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        assert await process.wait() == 0

    assert "anybody who connects can be anybody" in warning
