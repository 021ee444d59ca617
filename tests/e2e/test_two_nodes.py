"""Two servers over one log, as programs: messages from outside, users of both."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from salon.client.client import Client
from salon.eventlog.kafka import KafkaLog
from salon.messaging.remote import RemoteTemplate
from tests import engines
from tests.program import ROOT, Program, another_person, first_person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


class Embedded:
    """``salon broker`` as a process of its own."""

    def __init__(self, folder):
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "salon", "broker", "--ready-json"),
                *("--data", str(folder), "--listen", "127.0.0.1:0"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        said = json.loads(self._process.stdout.readline())
        self.bootstrap = f"127.0.0.1:{said['port']}"

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self._process.stdout.close()


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def bootstrap(request, tmp_path):
    if request.param == "apache":
        engines.require("kafka")
        with engines.KafkaServer() as server:
            yield server.bootstrap
        return
    broker = Embedded(tmp_path / "log")
    yield broker.bootstrap
    broker.close()


def send(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "salon", "send", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        **options,
    )


async def test_a_message_from_outside_reaches_the_clients_of_both_servers(
    bootstrap, tmp_path
):
    env = {"SALON_KAFKA": bootstrap, "SALON_PICTURES": "false"}
    servers = [
        Program(tmp_path / name, env={**env, "SALON_NODE": name})
        for name in ("one", "two")
    ]
    try:
        for server in servers:
            await asyncio.to_thread(server.start)
        await _heard_by_both([f"ws{s.url[4:]}/ws" for s in servers], bootstrap)
        said = await asyncio.to_thread(
            send,
            "/topic/public",
            "x",
            "--kafka",
            bootstrap,
            "--header",
            "subscription:1",
        )
    finally:
        for server in servers:
            server.end()

    assert (said.returncode, said.stdout) == (2, "")
    assert "'subscription' is the server's own" in said.stderr


async def _heard_by_both(urls, bootstrap):
    async with (
        Client(urls[0], login="Ann") as ann,
        Client(urls[1], login="Bob") as bob,
    ):
        rooms = [await who.subscribe("/topic/public") for who in (ann, bob)]
        private = await bob.subscribe("/user/queue/private")
        log = KafkaLog(bootstrap, "test")
        template = RemoteTemplate(log)
        await template.convert_and_send("/topic/public", {"n": 1})
        await template.convert_and_send_to_user(bob.user, "/queue/private", "psst")
        await log.close()
        heard = [await asyncio.wait_for(anext(room), 20) for room in rooms]
        assert [message.json() for message in heard] == [{"n": 1}, {"n": 1}]
        assert (await asyncio.wait_for(anext(private), 20)).body == b"psst"


async def test_the_command_line_sends_into_the_folder_of_a_server(tmp_path):
    with Program(tmp_path / "data", env={"SALON_PICTURES": "false"}) as program:
        async with Client(f"ws{program.url[4:]}/ws", login="Ann") as ann:
            room = await ann.subscribe("/topic/public")
            said = await asyncio.to_thread(
                send,
                *("/topic/public", "-", "--data", str(program.data)),
                *("--header", "content-type:text/plain"),
                input="from the shell\n",
            )
            assert (said.returncode, said.stderr) == (0, "")
            message = await asyncio.wait_for(anext(room), 20)
        refused = await asyncio.to_thread(
            send, "/queue/jobs", "x", "--data", str(program.data)
        )
    nowhere = await asyncio.to_thread(
        send, "/topic/x", "x", "--data", str(tmp_path / "none")
    )

    assert message.body == b"from the shell\n"
    assert message["content-type"] == "text/plain"
    assert refused.returncode == 2
    assert "say which (node=" in refused.stderr
    assert nowhere.returncode == 78
    assert os.linesep.join(nowhere.stderr.splitlines()).startswith("salon: No server")


async def test_people_on_two_servers_talk_to_each_other(tmp_path):
    """One database and one log for both: what one server applies, the other tells."""
    broker = Embedded(tmp_path / "log")
    env = {
        "SALON_KAFKA": broker.bootstrap,
        "SALON_PICTURES": "false",
        "SALON_DATABASE": f"sqlite:///{tmp_path / 'shared.db'}",
    }
    servers = [
        Program(tmp_path / name, env={**env, "SALON_NODE": name})
        for name in ("one", "two")
    ]
    people = []
    try:
        for server in servers:
            await asyncio.to_thread(server.start)
        people.append(first_person(servers[1]))  # its setup link is the newer one
        people.append(another_person(servers[1], people[0]))
        ann, bob = people
        async with (
            _device(servers[0], ann) as hers,
            _device(servers[1], bob) as his,
        ):
            events = [
                await each.subscribe("/user/queue/events") for each in (hers, his)
            ]
            here = await asyncio.to_thread(ann.direct, bob)

            async def say(text):
                message = {"conversation": here, "client_id": text, "text": text}
                await hers.send("/app/chat.send", message)

            # Server one hears of Bob's device a moment after he connected to two.
            knows = asyncio.create_task(_texts(events[1], 1, of="w"))
            for n in range(100):
                await say(f"w{n}")
                if (await asyncio.wait({knows}, timeout=0.2))[0]:
                    break
            for n in range(5):
                await say(f"m{n}")
            heard = [await _texts(each, 5) for each in events]
    finally:
        for person in people:
            person.close()
        for server in servers:
            server.end()
        broker.close()

    assert heard == [[f"m{n}" for n in range(5)]] * 2


def _device(server, person):
    return Client(
        f"ws{server.url[4:]}/ws",
        headers=[("Cookie", f"salon_session={person.token}"), ("Origin", server.url)],
    )


async def _texts(events, count, of="m"):
    texts = []
    async with asyncio.timeout(30):
        while len(texts) < count:
            event = (await anext(events)).json()
            if event["type"] == "message" and event["body"]["text"].startswith(of):
                texts.append(event["body"]["text"])
    return texts
