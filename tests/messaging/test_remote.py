"""Messages from other processes, and users of other servers, over one log."""

import asyncio
import json

import msgspec
import pytest

from salon.clock import SystemClock
from salon.errors import Refusal, Unavailable
from salon.eventlog import topics
from salon.eventlog.memory import MemoryLog
from salon.messaging.nodes import Nodes
from salon.messaging.registry import MultiServerUserRegistry
from salon.messaging.remote import BODY_MAX, RemoteTemplate, Sent
from tests.messaging.world import World


class Server(World):
    def __init__(self, name, log):
        super().__init__()
        self.name = name
        self.all = MultiServerUserRegistry(name, "1", self.users, SystemClock())
        self.all.listen(self.events)
        self.nodes = Nodes(log, self.template, self.all)

    async def start(self):
        ready = asyncio.Event()
        self.task = asyncio.create_task(self.nodes.run(ready.set))
        await ready.wait()

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def listener(self, user, destination):
        session = self.session(user, f"{self.name}-{user}")
        self.registry.add(session, "0", destination)
        return session.channel


@pytest.fixture
async def log():
    made = MemoryLog()
    await made.ensure([topics.NODES])
    return made


@pytest.fixture
async def servers(log):
    made = [Server(name, log) for name in ("one", "two")]
    for server in made:
        await server.start()
    yield made
    for server in made:
        await server.stop()


@pytest.fixture
def remote(log):
    return RemoteTemplate(log)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_subscribers_of_all_servers_hear_it(servers, remote):
    channels = [server.listener("ann", "/topic/news") for server in servers]
    position = await remote.convert_and_send(
        "/topic/news", {"n": 1}, headers={"priority": "9"}
    )
    await until(lambda: all(channel.sent for channel in channels))

    assert position.partition == 0
    for channel in channels:
        [frame] = channel.frames()
        assert json.loads(frame.body) == {"n": 1}
        assert frame.get("content-type") == "application/json"
        assert frame.get("priority") == "9"


async def test_all_sessions_of_a_user_hear_it_and_nobody_else(servers, remote):
    hers = [server.listener("ann", "/user/queue/notes") for server in servers]
    his = servers[0].listener("bob", "/user/queue/notes")
    await remote.convert_and_send_to_user("ann", "/queue/notes", "psst")
    await until(lambda: all(channel.sent for channel in hers))

    assert [channel.frames()[0].body for channel in hers] == [b"psst"] * 2
    assert his.sent == []


async def test_a_queue_is_of_the_server_that_is_named(servers, remote):
    one, two = servers
    await remote.convert_and_send("/queue/jobs", "x", node="two")
    await until(two.template.queues.sizes)

    assert two.template.queues.sizes() == {"/queue/jobs": (1, 0, 0)}
    assert one.template.queues.sizes() == {}


async def test_messages_arrive_in_the_order_of_the_log(servers, remote):
    channel = servers[1].listener("ann", "/topic/news")
    for n in range(50):
        await remote.convert_and_send("/topic/news", b"%d" % n)
    await until(lambda: len(channel.sent) == 50)

    assert [frame.body for frame in channel.frames()] == [b"%d" % n for n in range(50)]


class TestRefused:
    @pytest.mark.parametrize(
        ("destination", "code"),
        [
            ("topic/x", "destination_invalid"),
            ("/topic/*", "destination_invalid"),
            ("/topic//x", "destination_invalid"),
            ("/app/chat.send", "invalid"),
            ("/elsewhere/x", "invalid"),
            ("/queue/jobs", "invalid"),
        ],
    )
    async def test_a_destination_that_is_none(self, remote, destination, code):
        with pytest.raises(Refusal) as refused:
            await remote.convert_and_send(destination, b"")

        assert refused.value.code == code

    @pytest.mark.parametrize(
        ("field", "given"),
        [
            ("payload", {"payload": bytes(BODY_MAX + 1)}),
            ("payload", {"payload": object()}),
            ("headers", {"headers": {"destination": "/topic/y"}}),
            ("headers", {"headers": {"message-id": "1"}}),
            ("headers", {"headers": {"n": 1}}),
            ("headers", {"headers": {"n": "x" * 2000}}),
            ("headers", {"headers": {f"n{n}": "" for n in range(40)}}),
            ("headers", {"headers": {"n": "\0"}}),
        ],
    )
    async def test_what_does_not_fit_names_the_field(self, remote, field, given):
        with pytest.raises(Refusal) as refused:
            await remote.convert_and_send("/topic/x", **{"payload": b"", **given})

        assert refused.value.field == field

    async def test_a_user_without_a_name(self, remote):
        with pytest.raises(Refusal) as refused:
            await remote.convert_and_send_to_user("", "/queue/x", b"")

        assert refused.value.field == "user"

    async def test_a_log_that_takes_nothing_says_so(self):
        class Away(MemoryLog):
            async def append(self, topic, key, value):
                raise Unavailable("The log is away.")

        with pytest.raises(Unavailable):
            await RemoteTemplate(Away()).convert_and_send("/topic/x", b"")

    async def test_nonsense_in_the_log_harms_nothing_after_it(self, servers, log):
        """Who may write the log can also write past every check of ours."""
        channel = servers[0].listener("ann", "/topic/news")
        name = topics.NODES.name
        for value in (
            b"",
            b"\xff\x00nonsense",
            msgspec.msgpack.encode({"type": "sent", "destination": 5}),
            msgspec.msgpack.encode(Sent("/topic/*", b"")),
            msgspec.msgpack.encode(Sent("/app/x", b"")),
            msgspec.msgpack.encode(Sent("/queue/x", b"")),
            msgspec.msgpack.encode(Sent("/topic/news", b"", (("subscription", "7"),))),
        ):
            await log.append(name, None, value)
        await RemoteTemplate(log).convert_and_send("/topic/news", "after")
        await until(lambda: channel.sent)

        assert [frame.body for frame in channel.frames()] == [b"after"]


class TestWhoIsConnectedWhere:
    async def test_servers_tell_each_other(self, servers):
        one, two = servers
        await until(lambda: not one.all.alone and not two.all.alone)
        bridge, _ = one.bridge()
        bridge.on_data(b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0")
        await until(lambda: two.all.get_user("ann"))
        [session] = two.all.get_user("ann").sessions
        assert session.node == "one"
        assert two.all.elsewhere(["ann", "bob"]) == {"one": ["ann"]}

        bridge.on_close(1005, "")
        await until(lambda: two.all.get_user("ann") is None)

    async def test_one_that_stops_is_gone_at_once(self, log, servers):
        one, two = servers
        await until(lambda: len(two.all.nodes) == 2)
        await one.stop()
        await until(lambda: two.all.alone)

    async def test_a_log_that_was_away_is_told_everything_later(self, log, monkeypatch):
        monkeypatch.setattr("salon.messaging.nodes.HEARTBEAT_S", 0.05)
        one, two = (Server(name, log) for name in ("one", "two"))
        await one.start()
        await two.start()
        await until(lambda: not one.all.alone and not two.all.alone)
        append, log.append = log.append, None

        async def away(*_):
            raise Unavailable("away")

        log.append = away
        bridge, _ = one.bridge()
        bridge.on_data(b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0")
        await asyncio.sleep(0.1)
        assert two.all.get_user("ann") is None
        log.append = append
        await until(lambda: two.all.get_user("ann"))
        for server in (one, two):
            await server.stop()
