"""Queues, acknowledgements, transactions and resuming, through the bridge.

Points C19 to C25 of the STOMP checklist; the parts have their own tests.
"""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salon.errors import Refusal
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to, transactional
from salon.messaging.queues import QueueLimits, Queues
from salon.messaging.retention import Retention, retain
from salon.messaging.template import MessagingTemplate
from tests.gateway.test_bridge import client, settle, subscribe
from tests.messaging.world import World
from tests.wire import network  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("network")

GRANTS = (
    may_send("/app/**", "user"),
    may_send("/queue/*", "user"),
    may_send("/topic/*", "user"),
    may_send("/user/{name}/queue/note", "user"),
    may_subscribe("/queue/*", "user"),
    may_subscribe("/topic/*", "user"),
    may_subscribe("/user/queue/*", "user"),
)


class Controller:
    def __init__(self):
        self.called = []
        self.futures = []

    @message_mapping("/job/{name}")
    @send_to("/queue/{name}")
    @transactional
    async def job(self, name: str, payload: bytes) -> bytes:
        self.called.append(name)
        if payload == b"bad":
            raise Refusal("bad_job", "No.")
        return payload

    @message_mapping("/later")
    @send_to("/queue/later")
    @transactional
    async def later(self, payload: bytes) -> asyncio.Future:
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    @message_mapping("/durable")
    async def durable(self) -> None:
        self.called.append("durable")


class Place(World):
    def serve(self, controllers, grants, **options):
        self.controller = Controller()
        self.template = MessagingTemplate(
            self.registry,
            self.users,
            node="n1",
            queues=Queues(QueueLimits(messages=5)),
            retention=Retention(retain("/topic/news", messages=3)),
        )
        super().serve([self.controller], GRANTS)

    @property
    def sizes(self):
        return self.template.queues.sizes()


@pytest.fixture
def world():
    return Place()


def frame(command, body="", **headers):
    lines = "".join(f"{n.replace('_', '-')}:{v}\n" for n, v in headers.items())
    return f"{command}\n{lines}\n{body}\0".encode()


def send(to, body="", **headers):
    return frame("SEND", body, destination=to, **headers)


def consume(to="/queue/a", ack="client", id_="0", **headers):
    return frame("SUBSCRIBE", id=id_, destination=to, ack=ack, **headers)


def receipts(frames):
    return [f.get("receipt-id") for f in frames if f.command == "RECEIPT"]


class TestQueues:
    async def test_a_granted_send_goes_into_the_queue_with_its_own_headers(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            send("/queue/a", "x", receipt="1", kind="k", message_id="mine", ack="7")
        )
        bridge.on_data(consume(receipt="2"))
        await settle()
        frames = channel.frames()

        assert [f.command for f in frames] == ["RECEIPT", "MESSAGE", "RECEIPT"]
        message = frames[1]
        assert message.body == b"x"
        assert message.get("kind") == "k"
        assert message.get("message-id").startswith("n1-")
        assert message.get("receipt") is None
        assert message.get("ack") != "7"

    async def test_a_send_to_a_topic_is_a_plain_broker_where_granted(self, world):
        one, channel = await client(world)
        one.on_data(subscribe("/topic/a"))
        one.on_data(send("/topic/a", "x", content_type="text/plain"))
        await settle()
        [message] = channel.frames()

        assert (message.body, message.get("content-type")) == (b"x", "text/plain")

    async def test_a_send_to_a_user_reaches_all_their_sessions(self, world):
        listen = subscribe("/user/queue/note")
        homes = [await client(world, login="bob") for _ in range(2)]
        for bridge, _ in homes:
            bridge.on_data(listen)
        ann, _ = await client(world)
        ann.on_data(send("/user/bob/queue/note", "x"))
        await settle()

        for _, channel in homes:
            [message] = channel.frames()
            assert message.get("destination") == "/user/queue/note"

    async def test_a_full_queue_refuses_and_the_connection_stays(self, world):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/user/queue/errors", "e"))
        for i in range(6):
            bridge.on_data(send("/queue/a", f"{i}", receipt=f"r{i}"))
        await settle()
        frames = channel.frames()

        assert receipts(frames) == [f"r{i}" for i in range(5)]
        assert frames[-1].command == "MESSAGE"
        assert json.loads(frames[-1].body)["code"] == "queue_full"
        assert json.loads(frames[-1].body)["receipt"] == "r5"
        assert channel.closed is None

    async def test_a_handler_may_send_into_a_queue(self, world):
        bridge, channel = await client(world)
        bridge.on_data(consume() + send("/app/job/a", "x"))
        await settle()

        assert [f.body for f in channel.frames()] == [b"x"]

    async def test_a_bad_prefetch_leaves_no_subscription(self, world):
        bridge, channel = await client(world)
        bridge.on_data(consume(prefetch_count="many", receipt="1"))
        await settle()
        [error] = channel.frames()

        assert (error.get("code"), error.get("receipt-id")) == ("invalid_prefetch", "1")
        assert world.registry.destinations() == []
        assert world.sizes == {}


class TestAcknowledging:
    @pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
    async def test_ack_in_the_form_of_the_version(self, world, version):
        bridge, channel = await client(world, version)
        bridge.on_data(consume() + send("/queue/a", "x"))
        await settle()
        [message] = channel.frames()
        names = {
            "1.0": {"message_id": message.get("message-id")},
            "1.1": {"message_id": message.get("message-id"), "subscription": "0"},
            "1.2": {"id": message.get("ack")},
        }[version]
        bridge.on_data(frame("ACK", receipt="1", **names))
        await settle()

        assert receipts(channel.frames()) == ["1"]
        assert world.sizes == {"/queue/a": (0, 0, 1)}

    async def test_1_2_takes_the_form_of_1_1(self, world):
        bridge, channel = await client(world)
        bridge.on_data(consume() + send("/queue/a", "x"))
        await settle()
        [message] = channel.frames()
        bridge.on_data(
            frame("NACK", message_id=message.get("message-id"), subscription="0")
        )
        await settle()
        [again] = channel.frames()

        assert again.get("redelivered") == "true"

    @pytest.mark.parametrize("command", ["ACK", "NACK"])
    async def test_an_unknown_name_is_an_error_that_closes(self, world, command):
        bridge, channel = await client(world)
        bridge.on_data(frame(command, id="9", receipt="1"))
        await settle()
        [error] = channel.frames()

        assert (error.get("code"), error.get("receipt-id")) == ("ack_unknown", "1")
        assert channel.closed[0] == 1002

    @pytest.mark.parametrize("goodbye", ["lost", "DISCONNECT", "UNSUBSCRIBE"])
    async def test_what_was_not_acknowledged_goes_to_another(self, world, goodbye):
        ann, _channel = await client(world)
        ann.on_data(consume() + send("/queue/a", "x"))
        await settle()
        bob, other = await client(world, login="bob")
        bob.on_data(consume())
        await settle()
        assert other.frames() == []
        if goodbye == "lost":
            ann.on_close(1006, "")
        else:
            ann.on_data(frame(goodbye, id="0"))
        await settle()
        [message] = other.frames()

        assert (message.body, message.get("redelivered")) == (b"x", "true")

    async def test_topics_can_be_acknowledged_too(self, world):
        bridge, channel = await client(world)
        bridge.on_data(consume("/topic/a") + send("/topic/a", "x"))
        await settle()
        [message] = channel.frames()
        bridge.on_data(frame("ACK", id=message.get("ack"), receipt="1"))
        await settle()

        assert receipts(channel.frames()) == ["1"]


def begin(name="t", **headers):
    return frame("BEGIN", transaction=name, **headers)


def commit(name="t", **headers):
    return frame("COMMIT", transaction=name, **headers)


class TestTransactions:
    async def test_every_frame_of_it_gets_its_receipt_and_commit_the_effect(
        self, world
    ):
        bridge, channel = await client(world)
        bridge.on_data(
            begin(receipt="1")
            + send("/queue/a", "x", transaction="t", receipt="2")
            + send("/queue/b", "y", transaction="t")
        )
        await settle()
        assert receipts(channel.frames()) == ["1", "2"]
        assert world.sizes == {}
        bridge.on_data(commit(receipt="3"))
        await settle()

        assert receipts(channel.frames()) == ["3"]
        assert world.sizes == {"/queue/a": (1, 0, 0), "/queue/b": (1, 0, 0)}

    async def test_the_transaction_is_no_header_of_the_message(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            consume() + begin() + send("/queue/a", "x", transaction="t") + commit()
        )
        await settle()

        assert channel.frames()[0].get("transaction") is None

    @pytest.mark.parametrize("end", ["ABORT", "DISCONNECT", "lost"])
    async def test_what_is_not_committed_never_was(self, world, end):
        ann, channel = await client(world)
        ann.on_data(consume() + send("/queue/a", "x"))
        await settle()
        [message] = channel.frames()
        ann.on_data(
            begin()
            + send("/queue/b", "y", transaction="t")
            + frame("ACK", id=message.get("ack"), transaction="t")
        )
        if end == "lost":
            ann.on_close(1006, "")
        else:
            ann.on_data(frame(end, transaction="t", receipt="1"))
        await settle()
        held = int(end == "ABORT")
        expected = {"/queue/a": (1 - held, held, held)}

        assert world.sizes == expected

    async def test_after_abort_a_message_can_be_acknowledged(self, world):
        bridge, channel = await client(world)
        bridge.on_data(consume() + send("/queue/a", "x"))
        await settle()
        ack = channel.frames()[0].get("ack")
        bridge.on_data(begin() + frame("NACK", id=ack, transaction="t"))
        bridge.on_data(frame("ABORT", transaction="t") + frame("ACK", id=ack))
        await settle()

        assert channel.frames() == []
        assert world.sizes == {"/queue/a": (0, 0, 1)}

    async def test_acks_and_sends_take_effect_together(self, world):
        bridge, channel = await client(world)
        bridge.on_data(consume() + send("/queue/a", "x"))
        await settle()
        ack = channel.frames()[0].get("ack")
        bridge.on_data(
            begin()
            + send("/queue/done", "x", transaction="t")
            + frame("ACK", id=ack, transaction="t")
            + commit(receipt="1")
        )
        await settle()

        assert receipts(channel.frames()) == ["1"]
        assert world.sizes == {"/queue/a": (0, 0, 1), "/queue/done": (1, 0, 0)}

    async def test_a_bad_ack_undoes_the_sends(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            begin()
            + send("/queue/a", "x", transaction="t")
            + frame("ACK", id="9", transaction="t")
            + commit(receipt="1")
        )
        await settle()
        [error] = channel.frames()

        assert (error.get("code"), error.get("receipt-id")) == ("ack_unknown", "1")
        assert world.sizes == {}

    async def test_a_full_queue_undoes_all_and_the_connection_stays(self, world):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/user/queue/errors", "e") + consume("/queue/x"))
        bridge.on_data(send("/queue/x", "1"))
        await settle()
        ack = channel.frames()[0].get("ack")
        bridge.on_data(begin() + frame("ACK", id=ack, transaction="t"))
        bridge.on_data(send("/queue/b", "y", transaction="t"))
        bridge.on_data(
            b"".join(send("/queue/a", f"{i}", transaction="t") for i in range(6))
        )
        bridge.on_data(commit(receipt="1") + frame("ACK", id=ack, receipt="2"))
        await settle()
        refused, receipt = channel.frames()

        assert json.loads(refused.body)["code"] == "queue_full"
        assert receipt.get("receipt-id") == "2"
        assert world.sizes == {"/queue/x": (0, 0, 1)}

    async def test_a_handler_that_only_returns_takes_part(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            begin()
            + send("/app/job/a", "1", transaction="t")
            + send("/queue/a", "2", transaction="t")
            + send("/app/later", transaction="t")
        )
        await settle()
        assert world.controller.called == []
        bridge.on_data(commit(receipt="1"))
        await settle()
        assert world.controller.called == ["a"]
        assert world.sizes == {}
        world.controller.futures[0].set_result(b"3")
        await settle()

        assert receipts(channel.frames()) == ["1"]
        assert world.sizes == {"/queue/a": (2, 0, 0), "/queue/later": (1, 0, 0)}

    async def test_a_handler_that_refuses_undoes_all(self, world):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/user/queue/errors", "e"))
        bridge.on_data(
            begin()
            + send("/app/later", transaction="t")
            + send("/queue/a", "1", transaction="t")
            + send("/app/job/b", "bad", transaction="t")
            + commit(receipt="1")
        )
        await settle()
        [refused] = channel.frames()

        assert json.loads(refused.body)["code"] == "bad_job"
        assert world.sizes == {}

    async def test_a_handler_with_effects_of_its_own_takes_no_part(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            begin()
            + send("/app/job/a", "1", transaction="t")
            + send("/app/durable", transaction="t")
            + commit(receipt="1")
        )
        await settle()
        [error] = channel.frames()

        assert error.get("code") == "transaction_refused"
        assert world.controller.called == []
        assert world.sizes == {}

    async def test_rights_are_decided_in_a_transaction_too(self, world):
        bridge, channel = await client(world)
        bridge.on_data(
            begin() + send("/secret/a", transaction="t") + commit(receipt="1")
        )
        await settle()
        [error] = channel.frames()

        assert (error.get("code"), error.get("receipt-id")) == (
            "destination_refused",
            "1",
        )

    async def test_a_connection_lost_while_a_commit_waits_leaves_nothing(self, world):
        bridge, _ = await client(world)
        bridge.on_data(
            begin()
            + send("/queue/a", "1", transaction="t")
            + send("/app/later", transaction="t")
            + commit()
        )
        await settle()
        bridge.on_close(1006, "")
        world.controller.futures[0].set_result(b"x")
        await settle()

        assert world.sizes == {}

    @pytest.mark.parametrize(
        "data", [commit(), frame("ABORT", transaction="x"), begin() * 2]
    )
    async def test_unknown_and_duplicate_transactions_are_errors(self, world, data):
        bridge, channel = await client(world)
        bridge.on_data(data)
        await settle()

        assert channel.frames()[-1].get("code") == "unexpected_frame"
        assert channel.closed[0] == 1002


class TestResuming:
    async def listen(self, world, to="/topic/news", **headers):
        bridge, channel = await client(world)
        bridge.on_data(
            frame("SUBSCRIBE", id="0", destination=to, receipt="s", **headers)
        )
        await settle()
        return channel.frames()

    async def test_what_came_after_a_message_comes_again_and_then_the_receipt(
        self, world
    ):
        bridge, channel = await client(world)
        bridge.on_data(subscribe("/topic/news"))
        for i in range(3):
            bridge.on_data(send("/topic/news", f"{i}"))
        await settle()
        first = channel.frames()[0].get("message-id")
        *again, receipt = await self.listen(world, resume_from=first)

        assert [f.body for f in again] == [b"1", b"2"]
        assert receipt.get("gap") is None

    async def test_the_receipt_says_from_where_to_resume(self, world):
        [receipt] = await self.listen(world)
        world.template.send("/topic/other", b"")
        world.template.send("/topic/news", b"x")
        [message, later] = await self.listen(world, resume_from=receipt.get("position"))

        assert message.body == b"x"
        assert later.get("gap") is None
        assert later.get("position") == world.template.position

    async def test_a_gap_is_said_and_what_there_is_comes(self, world):
        [receipt] = await self.listen(world)
        for i in range(4):
            world.template.send("/topic/news", b"%d" % i)
        *again, later = await self.listen(world, resume_from=receipt.get("position"))

        assert [f.body for f in again] == [b"1", b"2", b"3"]
        assert later.get("gap") == "true"

    @pytest.mark.parametrize("place", ["n0-1", "rubbish", "", "n1-99999", "n1--1"])
    async def test_a_place_that_is_not_ours_is_a_gap(self, world, place):
        world.template.send("/topic/news", b"x")
        message, receipt = await self.listen(world, resume_from=place)

        assert message.body == b"x"
        assert receipt.get("gap") == "true"

    async def test_a_topic_that_keeps_nothing_says_gap(self, world):
        world.template.send("/topic/a", b"x")
        [receipt] = await self.listen(world, "/topic/a", resume_from="n1-0")

        assert receipt.get("gap") == "true"
        assert receipt.get("position") is None


def conversation(version):
    """All frames of the three versions; acknowledges by message-id, which is known."""
    ack = "\nsubscription:0\nid:1"
    return b"".join(
        part.encode()
        for part in (
            "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n\0",
            "SEND\ndestination:/queue/a\nreceipt:1\n\nx\0",
            "BEGIN\ntransaction:t\nreceipt:2\n\n\0",
            "SEND\ndestination:/queue/b\ntransaction:t\ncontent-length:3\n\na\0b\0",
            f"ACK\nmessage-id:n1-1{ack}\ntransaction:t\n\n\0\n",
            "COMMIT\ntransaction:t\nreceipt:3\n\n\0",
            "SEND\ndestination:/queue/a\n\ny\0",
            f"ACK\nmessage-id:n1-3{ack.replace('1', '2')}\nreceipt:4\n\n\0",
            "BEGIN\ntransaction:u\n\n\0",
            "SEND\ndestination:/queue/c\ntransaction:u\n\nz\0",
            "ABORT\ntransaction:u\nreceipt:5\n\n\0",
            "UNSUBSCRIBE\nid:0\nreceipt:6\n\n\0",
            "DISCONNECT\nreceipt:7\n\n\0",
        )
    )


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
async def test_a_conversation_with_every_frame_is_the_same_at_every_cut(version):
    async def talk(*pieces):
        world = Place()
        bridge, channel = await client(world, version)
        for piece in pieces:
            bridge.on_data(piece)
            await settle()
        assert world.sizes == {"/queue/b": (1, 0, 0)}
        return b"".join(channel.sent), channel.closed

    data = conversation(version)
    whole = await talk(data)
    assert whole[0].count(b"RECEIPT") == 7
    assert whole[1][0] == 1000
    for cut in range(1, len(data)):
        assert await talk(data[:cut], data[cut:]) == whole


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("send"), st.sampled_from("ab"), st.sampled_from(["", "t", "u"])
        ),
        st.tuples(st.just("ack"), st.integers(0, 3), st.sampled_from(["", "t", "u"])),
        st.tuples(st.sampled_from(["begin", "commit", "abort"]), st.sampled_from("tu")),
    ),
    max_size=25,
)


@given(STEPS, st.booleans())
@settings(max_examples=80, deadline=None)
def test_transactions_are_all_or_nothing_for_any_frames(steps, lost):
    """Beside a model: lists that are applied at COMMIT or dropped."""
    asyncio.run(_compare(steps, lost))


async def _compare(steps, lost):
    world = Place()
    world.template.queues.limits = QueueLimits(messages=1000)
    bridge, channel = await client(world)
    bridge.on_data(consume("/queue/in", "client-individual", prefetch_count=4))
    for i in range(4):
        world.template.send("/queue/in", b"%d" % i)
    await settle()
    acks = [f.get("ack") for f in channel.frames()]
    held, queued, open_ = set(range(4)), {"a": 0, "b": 0}, {}

    def carry_out(parts):
        """Whether they could be; the model changes only then."""
        taken = [p for kind, p in parts if kind == "ack"]
        if len(set(taken)) < len(taken) or not held.issuperset(taken):
            return False
        held.difference_update(taken)
        for kind, name in parts:
            if kind == "send":
                queued[name] += 1
        return True

    fine = True
    for kind, what, *transaction in steps:
        name = transaction[0] if transaction else what
        extra = {"transaction": name} if transaction and name else {}
        if kind == "send":
            bridge.on_data(send(f"/queue/{what}", "x", **extra))
        elif kind == "ack":
            bridge.on_data(frame("ACK", id=acks[what], **extra))
        else:
            bridge.on_data(frame(kind.upper(), transaction=name))
        await settle()
        if kind == "begin":
            fine = name not in open_
            open_.setdefault(name, [])
        elif kind in ("commit", "abort"):
            fine = name in open_
            parts = open_.pop(name, [])
            fine = fine and (kind == "abort" or carry_out(parts))
        elif extra:
            fine = name in open_
            open_.get(name, []).append((kind, what))
        else:
            fine = carry_out([(kind, what)])
        if not fine:
            break
    assert (channel.closed is None) == fine
    if lost or not fine:
        bridge.on_close(1006, "")
        await settle()
    sizes = world.sizes
    for name in "ab":
        assert sizes.get(f"/queue/{name}", (0, 0, 0))[0] == queued[name]
    waiting, now_held, _ = sizes.get("/queue/in", (0, 0, 0))
    assert waiting + now_held == len(held)
