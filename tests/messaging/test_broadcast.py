"""Many messages of one tick to many channels: order, strays, who comes and goes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.clock import ManualClock
from salon.gateway.outbox import Budget, Outbox, Ticks
from salon.gateway.timer import TimerWheel
from salon.messaging.audience import Audience
from salon.messaging.broadcast import FULL, Broadcast
from salon.stomp.frames import Version
from tests.messaging.world import FakeChannel, World


class Follower(FakeChannel):
    """Follows every broadcast; ``got`` is what it would write now."""

    broadcast = None

    def follow(self, broadcast):
        self.broadcast = broadcast
        return True


class OverOutbox(FakeChannel):
    """A channel on an outbox; ``sent`` is what it wrote."""

    def __init__(self, ticks, timers):
        super().__init__()
        self.outbox = Outbox(
            ticks,
            timers,
            Budget(soft=200, hard=10_000),
            send=self.sent.append,
            send_all=self.sent.extend,
            held=lambda: 0,
            on_overflow=pytest.fail,
        )
        self.send, self.follow = self.outbox.put, self.outbox.follow


def audience_of(channels):
    world = World()
    audience = Audience()
    for number, channel in enumerate(channels):
        session = world.session(f"u{number}")
        session.channel = channel
        audience.add(world.registry.add(session, "0", "/topic/a"))
    return audience


def test_a_second_message_is_put_into_one_list_for_all():
    channels = [Follower() for _ in range(3)]
    audience = audience_of(channels)

    assert [audience.send(b"1"), audience.send(b"2")] == [3, 3]

    assert {id(channel.broadcast) for channel in channels} == {
        id(channels[0].broadcast)
    }
    assert channels[0].broadcast.messages == [b"1", b"2"]


def test_who_does_not_follow_gets_each_message_alone():
    follower, stray = Follower(), FakeChannel()
    audience = audience_of([follower, stray])
    for message in (b"1", b"2", b"3"):
        audience.send(message)

    assert stray.sent == follower.broadcast.messages == [b"1", b"2", b"3"]


def test_where_nobody_follows_the_next_message_asks_again():
    stray = FakeChannel()
    audience = audience_of([stray])
    audience.send(b"1")
    stray.follow = Follower.follow.__get__(stray)
    audience.send(b"2")

    assert stray.sent == [b"1"]
    assert stray.broadcast.messages == [b"2"]


def test_a_stray_that_fails_is_not_counted_and_stops_nobody():
    audience = audience_of([Follower(), FakeChannel(), FakeChannel()])
    audience.send(b"1")
    broadcast = audience._broadcast
    broadcast.strays[0] = lambda _: 1 / 0

    assert audience.send(b"2") == 2


def test_who_comes_or_goes_ends_the_broadcast():
    """Nobody gets what was sent before they came, or after they went."""
    world = World()
    sessions = [world.session(f"u{i}") for i in range(3)]
    for session in sessions:
        session.channel = Follower()
    for session in sessions[:2]:
        world.registry.add(session, "0", "/topic/a")
    world.template.send("/topic/a", b"1")
    first = sessions[0].channel.broadcast
    world.registry.add(sessions[2], "0", "/topic/a")
    world.template.send("/topic/a", b"2")
    world.registry.remove_all(sessions[0])
    world.template.send("/topic/a", b"3")

    assert (len(first.messages), first.open) == (1, False)
    second, third = sessions[0].channel.broadcast, sessions[2].channel.broadcast
    assert second.messages[0].endswith(b"2\0")
    assert third.messages[0].endswith(b"3\0")
    assert sessions[1].channel.broadcast is third


def test_a_broadcast_is_closed_before_it_grows_without_a_bound():
    channel = Follower()
    audience = audience_of([channel])
    seen = set()
    for _ in range(10):
        audience.send(b"x" * (FULL // 4))
        seen.add(id(channel.broadcast))
        assert channel.broadcast.size <= FULL + FULL // 4
    assert len(seen) > 1


def test_who_acknowledges_gets_its_messages_through_its_queue():
    world = World()
    for number, ack in enumerate(["auto", "client"]):
        session = world.session(f"u{number}")
        subscription = world.registry.add(session, "0", "/topic/a", ack=ack)
        if ack != "auto":
            world.template.queues.keep_for(subscription)
            keeper = session
    for body in (b"1", b"2"):
        assert world.template.send("/topic/a", body) == 2

    assert len(keeper.deliveries) == 2
    assert [frame.get("ack") is not None for frame in keeper.channel.frames()] == [
        True,
        True,
    ]


def test_versions_and_ids_have_lists_of_their_own():
    world = World()
    sessions = [world.session("a"), world.session("b", version=Version.V11)]
    for session in sessions:
        session.channel = Follower()
        world.registry.add(session, session.id, "/topic/a")
    world.template.send("/topic/a", b"1")

    assert sessions[0].channel.broadcast is not sessions[1].channel.broadcast


# -- over outboxes -------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.sampled_from(["topic 0", "topic 1"]), st.integers(0, 60)),
    st.tuples(st.just("alone"), st.integers(0, 2)),
    st.tuples(st.just("droppable"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["pause", "resume", "leave", "come"]), st.integers(0, 2)),
    st.tuples(st.just("tick"), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_every_channel_gets_all_that_is_its_own_in_order(steps):
    """As if each message were put to each channel alone."""

    async def scenario() -> None:
        ticks = Ticks(asyncio.get_running_loop())
        timers = TimerWheel(ManualClock())
        channels = [OverOutbox(ticks, timers) for _ in range(3)]
        wanted = [[] for _ in channels]
        audiences = [Audience(), Audience()]
        members = {}  # channel to its subscription to topic 0
        world = World()
        for topic, audience in enumerate(audiences):
            for number, channel in enumerate(channels):
                session = world.session(f"{topic} {number}")
                session.channel = channel
                one = world.registry.add(session, "0", "/topic/a")
                audience.add(one)
                if topic == 0:
                    members[number] = one
        inside = {0, 1, 2}
        for number, (kind, value) in enumerate(steps):
            message = b"%d:" % number
            if kind.startswith("topic"):
                topic = int(kind[-1])
                message += b"x" * value
                to = inside if topic == 0 else {0, 1, 2}
                assert audiences[topic].send(message) == len(to)
                for each in to:
                    wanted[each].append(message)
            elif kind == "alone":
                channels[value].send(message)
                wanted[value].append(message)
            elif kind == "droppable":
                channels[value].send(message, droppable=True)
            elif kind == "pause":
                channels[value].outbox.pause()
            elif kind == "resume":
                channels[value].outbox.resume()
            elif kind == "leave":
                audiences[0].discard(members[value])
                inside.discard(value)
            elif kind == "come":
                audiences[0].add(members[value])
                inside.add(value)
            else:
                await asyncio.sleep(0)
        for channel in channels:
            channel.outbox.resume()
        await asyncio.sleep(0.003 if ticks.busy else 0)
        for channel, expected in zip(channels, wanted, strict=True):
            kept = set(expected)
            assert [one for one in channel.sent if one in kept] == expected
            positions = [int(one.partition(b":")[0]) for one in channel.sent]
            assert positions == sorted(positions)
            assert len(channel.outbox) == 0

    asyncio.run(scenario())


async def test_what_is_written_does_not_grow():
    """A channel that closes in the middle of a tick takes what was said until then."""
    ticks = Ticks(asyncio.get_running_loop())
    timers = TimerWheel(ManualClock())
    channels = [OverOutbox(ticks, timers) for _ in range(2)]
    audience = audience_of(channels)
    for message in (b"1", b"2", b"3"):
        audience.send(message)
    channels[0].outbox.finish(flush=True)
    audience.send(b"4")
    await asyncio.sleep(0)

    assert [channel.sent for channel in channels] == [
        [b"1", b"2", b"3"],
        [b"1", b"2", b"3", b"4"],
    ]


async def test_what_is_shared_counts_as_waiting():
    ticks = Ticks(asyncio.get_running_loop())
    channel = OverOutbox(ticks, TimerWheel(ManualClock()))
    audience = audience_of([channel])
    for message in (b"1", b"22", b"333"):
        audience.send(message)
    assert len(channel.outbox) == 5

    channel.outbox.pause()
    assert len(channel.outbox) == 5
    audience.send(b"4444")
    assert len(channel.outbox) == 9


def test_a_broadcast_says_what_it_holds():
    broadcast = Broadcast(b"12")
    broadcast.add(b"345")

    assert (broadcast.messages, broadcast.size) == ([b"12", b"345"], 5)
