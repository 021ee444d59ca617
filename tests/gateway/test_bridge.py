"""One connection through the bridge, with a channel that only remembers."""

import asyncio
import json
import random

import pytest

from salon.errors import Refusal, Unavailable
from salon.gateway.bridge import bridges
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to, subscribe_mapping
from salon.messaging.message import ReceiptHeaders
from salon.stomp.frames import Version
from tests.messaging.world import ByLogin, World
from tests.wire import network  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("network")

GRANTS = (
    may_send("/app/**", "user"),
    may_subscribe("/app/**", "user"),
    may_subscribe("/topic/*", "user"),
    may_subscribe("/user/queue/*", "user"),
)


class Controller:
    """Every way to answer."""

    def __init__(self):
        self.futures = {}
        self.order = []
        self.gate = asyncio.Event()

    @message_mapping("/say")
    @send_to("/topic/all")
    async def say(self, payload: bytes) -> bytes:
        return payload

    @message_mapping("/later")
    async def later(self, payload: str, receipt: ReceiptHeaders) -> asyncio.Future:
        self.order.append(payload)
        future = self.futures[payload] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: receipt.update(seq=payload))
        return future

    @message_mapping("/slow")
    async def slow(self, payload: str) -> None:
        self.order.append(f"{payload} begins")
        await self.gate.wait()
        self.order.append(f"{payload} ends")

    @message_mapping("/refuse")
    async def refuse(self) -> None:
        raise Refusal("muted", "You are muted.", field="room", retry_after=3)

    @message_mapping("/break")
    async def broken(self) -> None:
        raise ZeroDivisionError("secret detail")

    @message_mapping("/unavailable")
    async def unavailable(self) -> None:
        raise Unavailable("the log is away")

    @subscribe_mapping("/people")
    async def people(self) -> list[str]:
        return ["ann"]

    @subscribe_mapping("/closed")
    async def closed(self) -> list[str]:
        raise Refusal("closed", "This room is closed.")


@pytest.fixture
def controller():
    return Controller()


@pytest.fixture
def world(controller):
    return World([controller], GRANTS)


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def client(world, version="1.2", login="ann", heart="0,0", **settings):
    bridge, channel = world.bridge(**settings)
    channel.version = Version(version)
    bridge.on_data(
        f"CONNECT\naccept-version:{version}\nlogin:{login}\n"
        f"heart-beat:{heart}\n\n\0".encode()
    )
    await settle()
    [frame] = channel.frames()
    assert frame.command == "CONNECTED"
    return bridge, channel


def send(destination, body="", receipt=None):
    head = f"receipt:{receipt}\n" if receipt else ""
    return f"SEND\ndestination:{destination}\n{head}\n{body}\0".encode()


def subscribe(destination, id_="0", receipt=None):
    head = f"receipt:{receipt}\n" if receipt else ""
    return f"SUBSCRIBE\nid:{id_}\ndestination:{destination}\n{head}\n\0".encode()


ERRORS = subscribe("/user/queue/errors", "e")


class TestConnecting:
    async def test_connected_carries_session_user_and_server(self, world):
        bridge, channel = world.bridge()
        bridge.on_data(b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0")
        await settle()
        [frame] = channel.frames()
        [session] = world.users.sessions_of("ann")

        assert frame.get("user-name") == "ann"
        assert frame.get("session") == session.id
        assert len(session.id) > 20
        assert frame.get("server") == "Salon/test"
        assert session.created == world.clock.now_ms()
        assert session.remote == "203.0.113.7"

    async def test_a_refused_connect_gets_an_error_in_words_and_1008(self, world):
        bridge, channel = world.bridge()
        bridge.on_data(
            b"CONNECT\naccept-version:1.2\nlogin:ann\npasscode:wrong\n\n\0"
            + subscribe("/topic/a")
        )
        await settle()
        [frame] = channel.frames()

        assert frame.command == "ERROR"
        assert (frame.get("code"), frame.get("message")) == (
            "unauthorised",
            "Log in first.",
        )
        assert json.loads(frame.body)["code"] == "unauthorised"
        assert channel.closed == (1008, "Log in first.")
        assert len(world.users) == 0

    @pytest.mark.parametrize(
        ("error", "code", "close"),
        [
            (Refusal("slow_down", "Wait.", retry_after=5), "slow_down", 1013),
            (Unavailable("the database is away"), "unavailable", 1013),
            (RuntimeError("secret"), "internal", 1013),
        ],
    )
    async def test_a_connect_that_may_succeed_later_closes_with_1013(
        self, world, error, code, close
    ):
        class Failing:
            async def authenticate(self, handshake, login, passcode):
                raise error

        bridge, channel = world.bridge(Failing())
        bridge.on_data(b"CONNECT\naccept-version:1.2\n\n\0")
        await settle()
        [frame] = channel.frames()

        assert frame.get("code") == code
        assert b"secret" not in frame.body
        assert channel.closed[0] == close

    async def test_frames_wait_while_the_client_is_authenticated(self, world):
        gate = asyncio.Event()

        class Slow(ByLogin):
            async def authenticate(self, handshake, login, passcode):
                await gate.wait()
                return await super().authenticate(handshake, login, passcode)

        bridge, channel = world.bridge(Slow())
        bridge.on_data(b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0")
        bridge.on_data(subscribe("/topic/all", receipt="1"))
        bridge.on_data(send("/app/say", "hello", "2"))
        await settle()
        assert channel.frames() == []
        gate.set()
        await settle()

        assert [f.command for f in channel.frames()] == [
            "CONNECTED",
            "RECEIPT",
            "MESSAGE",
            "RECEIPT",
        ]

    async def test_waiting_bytes_are_bounded(self, world):
        class Never:
            async def authenticate(self, handshake, login, passcode):
                await asyncio.Event().wait()

        bridge, channel = world.bridge(Never())
        bridge.on_data(b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0")
        await settle()
        bridge.on_data(send("/app/say", "x" * 40_000))
        assert not channel.paused
        bridge.on_data(send("/app/say", "x" * 40_000))
        assert channel.paused
        for _ in range(12):
            bridge.on_data(send("/app/say", "x" * 40_000))

        [frame] = channel.frames()
        assert frame.get("code") == "overload"
        assert channel.closed[0] == 1009
        bridge._task.cancel()

    async def test_bytes_that_come_while_results_are_open_are_bounded_too(
        self, world, controller
    ):
        bridge, channel = await client(world, pending=1)
        bridge.on_data(ERRORS + send("/app/later", "a"))
        await settle()
        for _ in range(12):
            bridge.on_data(send("/app/say", "x" * 40_000))
        assert channel.paused

        [frame] = channel.frames()
        assert frame.get("code") == "overload"
        assert channel.closed[0] == 1009

    async def test_whoever_does_not_connect_in_time_is_closed(self, world):
        _bridge, channel = world.bridge()
        world.timer.advance(9.9)
        assert channel.closed is None
        world.timer.advance(0.2)

        assert channel.frames()[0].get("code") == "connect_timeout"
        assert channel.closed[0] == 4408
        assert world.timer.waiting == []

    async def test_the_deadline_ends_with_connected(self, world):
        _, channel = await client(world)
        world.timer.advance(100)

        assert channel.closed is None

    async def test_closing_while_authenticating_leaves_nothing_behind(self, world):
        gate = asyncio.Event()

        class Slow(ByLogin):
            async def authenticate(self, handshake, login, passcode):
                await gate.wait()
                return await super().authenticate(handshake, login, passcode)

        bridge, channel = world.bridge(Slow())
        bridge.on_data(b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0")
        await settle()
        bridge.on_close(1006, "gone")
        gate.set()
        await settle()

        assert len(world.users) == 0
        assert channel.frames() == []
        assert world.timer.waiting == []

    async def test_anything_but_connect_first_is_an_error(self, world):
        bridge, channel = world.bridge()
        bridge.on_data(send("/app/say", "x", "7"))
        [frame] = channel.frames()

        assert (frame.get("code"), frame.get("receipt-id")) == ("unexpected_frame", "7")
        assert channel.closed[0] == 1002


class TestSending:
    async def test_a_message_goes_to_subscribers_in_the_order_of_the_frames(
        self, world
    ):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/topic/all"))
        bridge.on_data(b"".join(send("/app/say", f"{i}", f"r{i}") for i in range(20)))
        await settle()
        frames = channel.frames()

        assert [f.body for f in frames if f.command == "MESSAGE"] == [
            b"%d" % i for i in range(20)
        ]
        assert [f.get("receipt-id") for f in frames if f.command == "RECEIPT"] == [
            f"r{i}" for i in range(20)
        ]
        assert frames[0].command == "MESSAGE"  # the effect is before its receipt

    async def test_frames_cut_across_messages_are_put_together(self, world):
        bridge, channel = await client(world)
        data = subscribe("/topic/all", receipt="1") + send("/app/say", "hello", "2")
        for i in range(len(data)):
            bridge.on_data(data[i : i + 1])
        await settle()

        assert [f.command for f in channel.frames()] == [
            "RECEIPT",
            "MESSAGE",
            "RECEIPT",
        ]

    async def test_handlers_of_one_session_never_overlap(self, world, controller):
        bridge, _channel = await client(world)
        bridge.on_data(send("/app/slow", "a") + send("/app/slow", "b"))
        await settle()
        assert controller.order == ["a begins"]
        controller.gate.set()
        await settle()

        assert controller.order == ["a begins", "a ends", "b begins", "b ends"]

    async def test_results_may_overlap_and_receipts_keep_the_order(
        self, world, controller
    ):
        bridge, channel = await client(world)
        bridge.on_data(b"".join(send("/app/later", c, c) for c in "abc"))
        bridge.on_data(send("/app/say", "x", "d"))
        await settle()
        assert controller.order == ["a", "b", "c"]
        controller.futures["c"].set_result(None)
        controller.futures["b"].set_result(None)
        await settle()
        assert channel.frames() == []
        controller.futures["a"].set_result(None)
        await settle()
        frames = channel.frames()

        assert [f.get("receipt-id") for f in frames] == ["a", "b", "c", "d"]
        assert [f.get("seq") for f in frames] == ["a", "b", "c", None]

    async def test_too_many_open_results_stop_the_reading(self, world, controller):
        bridge, channel = await client(world, pending=3)
        for i in range(5):
            bridge.on_data(send("/app/later", f"{i}", f"{i}"))
        await settle()
        assert controller.order == ["0", "1", "2"]
        assert channel.paused
        controller.futures["0"].set_result(None)
        await settle()
        assert controller.order == ["0", "1", "2", "3"]
        for i in (1, 2, 3):
            controller.futures[f"{i}"].set_result(None)
        await settle()

        assert controller.order[-1] == "4"
        assert not channel.paused
        assert [f.get("receipt-id") for f in channel.frames()] == list("0123")

    async def test_another_session_is_not_held_up(self, world, controller):
        one, _ = await client(world)
        two, channel = await client(world, login="bob")
        one.on_data(send("/app/slow", "a"))
        two.on_data(send("/app/say", "x", "1"))
        await settle()

        assert [f.get("receipt-id") for f in channel.frames()] == ["1"]
        controller.gate.set()
        await settle()


class TestRefusals:
    async def test_a_refusal_is_a_message_for_who_listens_and_all_goes_on(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            ERRORS + send("/app/refuse", "", "7") + send("/app/say", "", "8")
        )
        await settle()
        message, receipt = channel.frames()

        assert message.command == "MESSAGE"
        assert message.get("destination") == "/user/queue/errors"
        assert message.get("receipt-id") == "7"
        assert json.loads(message.body) == {
            "code": "muted",
            "message": "You are muted.",
            "field": "room",
            "retry_after": 3,
            "receipt": "7",
        }
        assert receipt.get("receipt-id") == "8"
        assert channel.closed is None

    async def test_a_refusal_is_an_error_for_who_does_not_listen(self, world):
        bridge, channel = await client(world)
        bridge.on_data(send("/app/refuse", "", "7") + send("/app/say", "", "8"))
        await settle()
        [frame] = channel.frames()

        assert frame.command == "ERROR"
        assert (frame.get("code"), frame.get("receipt-id")) == ("muted", "7")
        assert channel.closed[0] == 1008

    async def test_only_the_session_that_asked_hears_of_it(self, world):
        one, first = await client(world)
        two, second = await client(world)
        one.on_data(ERRORS)
        two.on_data(ERRORS)
        two.on_data(send("/app/refuse"))
        await settle()

        assert first.frames() == []
        assert len(second.frames()) == 1

    @pytest.mark.parametrize(
        ("path", "code"), [("break", "internal"), ("unavailable", "unavailable")]
    )
    async def test_what_is_our_fault_is_said_without_details(self, world, path, code):
        bridge, channel = await client(world)
        bridge.on_data(ERRORS + send(f"/app/{path}", "", "7"))
        await settle()
        [frame] = channel.frames()

        assert json.loads(frame.body)["code"] == code
        assert b"secret" not in frame.body
        assert b"log" not in frame.body

    async def test_a_refused_result_keeps_its_place(self, world, controller):
        bridge, channel = await client(world)
        bridge.on_data(ERRORS + send("/app/later", "a", "1"))
        bridge.on_data(send("/app/later", "b", "2"))
        await settle()
        controller.futures["b"].set_exception(Refusal("late", "Too late."))
        await settle()
        assert channel.frames() == []
        controller.futures["a"].set_result(None)
        await settle()

        assert [f.command for f in channel.frames()] == ["RECEIPT", "MESSAGE"]

    @pytest.mark.parametrize(
        "destination",
        ["/topic/all", "/user/bob/queue/events", "/queue/a", "/app", "app/say"],
    )
    async def test_send_goes_to_controllers_only(self, world, destination):
        """A direct SEND would pass by the rules and speak in anybody's name."""
        other, heard = await client(world, login="bob")
        other.on_data(subscribe("/topic/all"))
        bridge, channel = await client(world)
        bridge.on_data(ERRORS + send(destination, "spoof", "7"))
        await settle()
        [frame] = channel.frames()

        assert frame.command == "ERROR"
        assert frame.get("receipt-id") == "7"
        assert frame.get("code").startswith("destination_")
        assert channel.closed[0] == 1008
        assert heard.frames() == []

    @pytest.mark.parametrize(
        "destination",
        [
            "/topic/*",
            "/topic/**",
            "/topic/{a}",
            "/topic//all",
            "/topic/./all",
            "/topic/../topic/all",
            "/topic/all/",
            "/topic/a?",
            "/user/bob/queue/events",
            "/queue/events-user123",
            "/topic",
            "/",
            "topic/all",
            "/topic/e\u0301",
            "/topic/a\\nb",
            "/topic/" + "x" * 1024,
        ],
    )
    async def test_subscriptions_are_refused_unless_granted(self, world, destination):
        bridge, channel = await client(world)
        bridge.on_data(subscribe(destination, receipt="7"))
        await settle()
        [frame] = channel.frames()

        assert (frame.command, frame.get("receipt-id")) == ("ERROR", "7")
        assert channel.closed[0] == 1008
        assert world.registry.destinations() == []

    async def test_an_unknown_destination_is_said_to_be_unknown(self, world):
        bridge, channel = await client(world)
        bridge.on_data(send("/app/nothing/here"))
        await settle()

        assert channel.frames()[0].get("code") == "destination_unknown"

    async def test_frames_after_one_that_was_never_granted_are_not_dispatched(
        self, world, controller
    ):
        bridge, _ = await client(world)
        bridge.on_data(send("/topic/all") + send("/app/later", "a"))
        await settle()

        assert controller.order == []


class TestSubscribing:
    async def test_a_controller_may_answer_a_subscription_once(self, world):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/app/people", "p", "1"))
        await settle()
        message, receipt = channel.frames()

        assert message.body == b'["ann"]'
        assert message.get("subscription") == "p"
        assert message.get("destination") == "/app/people"
        assert receipt.get("receipt-id") == "1"

    async def test_a_subscription_that_a_controller_refuses_is_an_error(self, world):
        bridge, channel = await client(world)
        bridge.on_data(ERRORS + subscribe("/app/closed", "p", "1"))
        await settle()
        [frame] = channel.frames()

        assert (frame.command, frame.get("code")) == ("ERROR", "closed")
        assert channel.closed[0] == 1008

    async def test_nothing_is_delivered_after_the_receipt_of_unsubscribe(self, world):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/topic/all"))
        bridge.on_data(b"UNSUBSCRIBE\nid:0\nreceipt:1\n\n\0")
        bridge.on_data(send("/app/say", "x", "2"))
        await settle()

        assert [f.command for f in channel.frames()] == ["RECEIPT", "RECEIPT"]

    async def test_a_subscription_answered_by_a_controller_can_be_unsubscribed(
        self, world
    ):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/app/people", "p"))
        bridge.on_data(b"UNSUBSCRIBE\nid:p\nreceipt:1\n\n\0")
        await settle()

        assert [f.command for f in channel.frames()] == ["MESSAGE", "RECEIPT"]


class TestEnding:
    async def test_disconnect_gets_its_receipt_last_and_then_a_close(
        self, world, controller
    ):
        bridge, channel = await client(world)
        bridge.on_data(send("/app/later", "a", "1"))
        bridge.on_data(b"DISCONNECT\nreceipt:2\n\n\0" + send("/app/say", "x", "3"))
        await settle()
        assert channel.closed is None
        controller.futures["a"].set_result(None)
        await settle()

        assert [f.get("receipt-id") for f in channel.frames()] == ["1", "2"]
        assert channel.closed[0] == 1000
        assert len(world.users) == 0

    async def test_an_ending_does_not_wait_for_ever(self, world, controller):
        bridge, channel = await client(world)
        bridge.on_data(send("/app/later", "a", "1"))
        bridge.on_data(b"DISCONNECT\nreceipt:2\n\n\0")
        await settle()
        world.timer.advance(5.1)

        assert [f.get("receipt-id") for f in channel.frames()] == ["2"]
        assert channel.closed[0] == 1000
        controller.futures["a"].set_exception(Refusal("late", "Too late."))
        await settle()

    async def test_an_error_comes_after_the_receipts_before_it(self, world, controller):
        bridge, channel = await client(world)
        bridge.on_data(send("/app/later", "a", "1") + b"NONSENSE\n\n\0")
        await settle()
        assert channel.closed is None
        controller.futures["a"].set_result(None)
        await settle()

        assert [f.command for f in channel.frames()] == ["RECEIPT", "ERROR"]
        assert channel.closed[0] == 1002

    async def test_a_frame_over_its_limit_closes_with_1009(self, world):
        bridge, channel = await client(world)
        bridge.on_data(send("/app/say", "x" * 65_537))
        [frame] = channel.frames()

        assert frame.get("code") == "too_large"
        assert "65536" in frame.get("message")
        assert channel.closed[0] == 1009

    async def test_events_are_told_once_whatever_ends_the_session(self, world):
        told = []
        events = world.events
        events.connected.append(lambda s: told.append(("in", s.principal.id)))
        events.subscribed.append(lambda s, sub: told.append(("sub", sub.destination)))
        events.unsubscribed.append(lambda s, sub: told.append(("unsub", sub.id)))
        events.disconnected.append(lambda s: told.append(("out", s.principal.id)))
        bridge, _channel = await client(world)
        bridge.on_data(subscribe("/topic/a") + b"UNSUBSCRIBE\nid:0\n\n\0")
        bridge.on_data(b"DISCONNECT\n\n\0")
        await settle()
        bridge.on_close(1000, "")
        bridge.on_data(b"rubbish")

        assert told == [
            ("in", "ann"),
            ("sub", "/topic/a"),
            ("unsub", "0"),
            ("out", "ann"),
        ]

    async def test_a_listener_that_fails_harms_nobody(self, world):
        told = []
        world.events.disconnected += [lambda s: 1 / 0, told.append]
        bridge, _ = await client(world)
        bridge.on_close(1006, "")

        assert len(told) == 1

    async def test_a_lost_connection_leaves_nothing_behind(self, world, controller):
        bridge, channel = await client(world, heart="1000,1000")
        bridge.on_data(subscribe("/topic/all") + ERRORS + send("/app/later", "a", "1"))
        await settle()
        bridge.on_close(1006, "")
        controller.futures["a"].set_result(None)
        await settle()

        assert channel.frames() == []
        assert world.registry.destinations() == []
        assert len(world.users) == 0
        assert world.timer.waiting == []


class TestHeartBeats:
    async def test_ours_come_as_often_as_the_client_wishes(self, world):
        _, channel = await client(world, heart="0,2000")
        world.timer.advance(10)

        assert channel.sent == [b"\n"] * 5
        assert set(channel.lanes) == {(True, "heart-beat")}

    async def test_a_silent_client_is_closed_after_twice_its_interval(self, world):
        _bridge, channel = await client(world, heart="2000,0")
        world.timer.advance(3.9)
        assert channel.closed is None
        world.timer.advance(2.2)

        [frame] = channel.frames()
        assert frame.get("code") == "heart_beat_lost"
        assert channel.closed[0] == 4408
        assert len(world.users) == 0

    async def test_any_data_counts_as_a_heart_beat(self, world):
        bridge, channel = await client(world, heart="2000,0")
        for data in (b"\n", b"\n", b"SEND\n", b"destination:/app/say\n", b"\n\0"):
            world.timer.advance(3.9)
            bridge.on_data(data)
        await settle()

        assert channel.closed is None

    async def test_none_are_sent_where_none_are_wished(self, world):
        _, channel = await client(world)
        world.timer.advance(60)

        assert channel.sent == []
        assert world.timer.waiting == []


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
async def test_a_whole_conversation_works_in_every_version(world, version):
    bridge, channel = await client(world, version)
    bridge.on_data(subscribe("/topic/all") + send("/app/say", "ü", "r:1"))
    await settle()
    message, receipt = channel.frames()

    assert message.body == "ü".encode()
    assert message.get("subscription") == "0"
    assert receipt.get("receipt-id") == "r:1"


async def test_mutated_conversations_end_in_an_error_or_go_on(world):
    """300 conversations with bytes changed: nothing else happens, nothing is left."""
    chance = random.Random(11)
    clean = b"CONNECT\naccept-version:1.2\nlogin:ann\n\n\0" + ERRORS
    clean += subscribe("/topic/all", receipt="1") + send("/app/say", "x" * 50, "2")
    clean += send("/app/refuse", "", "3") + subscribe("/app/people", "p")
    clean += b"UNSUBSCRIBE\nid:p\n\n\0" + send("/app/say") + b"\n"
    outcomes = set()
    for _ in range(300):
        data = bytearray(clean)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = bytes(
                chance.choices(b"\0\n\r:\\/*aS0\xff", k=chance.randrange(4))
            )
        bridge, channel = world.bridge()
        for start in range(0, len(data), 61):
            bridge.on_data(bytes(data[start : start + 61]))
        await settle()
        commands = [frame.command for frame in channel.frames()]
        assert (channel.closed is None) == ("ERROR" not in commands)
        outcomes.add(channel.closed and channel.closed[0])
        bridge.on_close(1006, "")

    assert outcomes == {None, 1002, 1008}
    assert len(world.users) == 0
    assert world.registry.destinations() == []
    assert world.timer.waiting == []


async def test_each_connection_gets_its_own_bridge(world):
    one, _ = world.bridge()
    make = bridges(one._services)

    assert make() is not make()


async def test_idle_connections_have_no_task(world):
    made = [await client(world, login=f"u{i}", heart="1000,1000") for i in range(5)]

    assert all(bridge._task is None for bridge, _ in made)
