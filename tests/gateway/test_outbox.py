"""What waits for one connection: ticks, budget, order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.clock import ManualClock
from salon.gateway.outbox import JOIN, Budget, Outbox, Ticks
from salon.gateway.timer import TimerWheel
from tests.gateway.harness import gateway, keep, text, websocket

TEXT = 1


class Wire:
    """Remembers each write."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []

    def send(self, message: bytes) -> None:
        self.writes.append([message])

    def send_all(self, batch: list[bytes]) -> None:
        self.writes.append(list(batch))

    @property
    def sent(self) -> list[bytes]:
        return [message for write in self.writes for message in write]


class World:
    def __init__(self, **budget) -> None:
        self.clock = ManualClock()
        self.timers = TimerWheel(self.clock)
        self.ticks = Ticks(asyncio.get_running_loop())
        self.wire = Wire()
        self.overflows: list[str] = []
        self.held = 0
        self.outbox = Outbox(
            self.ticks,
            self.timers,
            Budget(**budget),
            send=self.wire.send,
            send_all=self.wire.send_all,
            held=lambda: self.held,
            on_overflow=self.overflows.append,
        )

    def pause(self, held: int) -> None:
        self.held = held
        self.outbox.pause()

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.timers.turn()


async def test_the_first_message_of_a_tick_goes_at_once_and_later_ones_joined():
    """Never one system call for every message and subscriber under load."""
    world = World()
    for message in [b"1", b"2", b"3"]:
        world.outbox.put(message)
    assert world.wire.writes == [[b"1"]]

    await asyncio.sleep(0)
    assert world.wire.writes == [[b"1"], [b"2", b"3"]]


async def test_a_tick_after_a_busy_one_takes_longer_and_joins_more():
    world = World()
    for message in [b"1", b"2", b"3"]:
        world.outbox.put(message)
    await asyncio.sleep(0)
    assert world.wire.writes == [[b"1"], [b"2", b"3"]]
    world.outbox.put(b"4")
    await asyncio.sleep(0)
    world.outbox.put(b"5")
    assert world.wire.writes == [[b"1"], [b"2", b"3"]]

    await asyncio.sleep(10 * JOIN)
    assert world.wire.writes == [[b"1"], [b"2", b"3"], [b"4", b"5"]]


async def test_after_a_tick_with_one_message_the_next_goes_at_once_again():
    world = World()
    for message in [b"1", b"2", b"3"]:
        world.outbox.put(message)
    await asyncio.sleep(0)
    world.outbox.put(b"4")
    await asyncio.sleep(10 * JOIN)
    world.outbox.put(b"5")

    assert world.wire.writes == [[b"1"], [b"2", b"3"], [b"4"], [b"5"]]


async def test_a_single_later_message_is_sent_alone():
    world = World()
    world.outbox.put(b"1")
    world.outbox.put(b"2")
    await asyncio.sleep(0)

    assert world.wire.writes == [[b"1"], [b"2"]]


async def test_a_paused_way_takes_nothing_and_resuming_writes_all_of_it():
    world = World()
    world.pause(1000)
    for message in [b"1", b"2", b"3"]:
        world.outbox.put(message)
        await asyncio.sleep(0)
    assert world.wire.writes == []
    assert len(world.outbox) == 1003

    world.outbox.resume()
    assert world.wire.writes == [[b"1", b"2", b"3"]]
    assert len(world.outbox) == 0


async def test_a_burst_within_a_tick_asks_the_transport_before_it_is_judged():
    """A healthy reader must not be cut for what one tick produces."""
    world = World(soft=1000, hard=2000)
    for _ in range(100):
        world.outbox.put(b"x" * 100)
    await asyncio.sleep(0)

    assert len(world.wire.sent) == 100
    assert world.overflows == []


async def test_above_the_soft_mark_the_oldest_droppable_message_makes_room():
    world = World(soft=20)
    world.pause(0)
    world.outbox.put(b"durable")
    for number in range(5):
        world.outbox.put(b"typing %d" % number, droppable=True)
    world.outbox.resume()

    assert world.wire.sent == [b"durable", b"typing 4"]


async def test_where_durable_messages_take_all_room_the_new_one_is_dropped():
    world = World(soft=10, hard=1000)
    world.pause(0)
    world.outbox.put(b"durable message")
    world.outbox.put(b"typing", droppable=True)
    world.outbox.put(b"durable too")
    world.outbox.resume()

    assert world.wire.sent == [b"durable message", b"durable too"]


async def test_what_the_transport_holds_leaves_room_for_the_newest():
    """A reader that stops for seconds finds what is going on now, not what was."""
    world = World(soft=100, hard=1000)
    world.pause(200)
    for number in range(100):
        world.outbox.put(b"%03d %%" % number + b" " * 20, droppable=True)
    assert len(world.outbox) <= 300
    world.held = 0
    world.outbox.resume()

    assert [message[:3] for message in world.wire.sent] == [
        b"096",
        b"097",
        b"098",
        b"099",
    ]


async def test_a_stuck_reader_keeps_no_list_of_what_was_replaced():
    world = World()
    world.pause(0)
    world.outbox.put(b"durable")
    for number in range(10_000):
        world.outbox.put(b"%d" % number, droppable=True, coalesce=f"job {number % 3}")
    assert len(world.outbox._pending) < 100
    world.outbox.resume()

    assert world.wire.sent == [b"durable", b"9997", b"9998", b"9999"]


async def test_below_the_soft_mark_nothing_is_dropped():
    world = World(soft=1000)
    world.pause(0)
    world.outbox.put(b"typing", droppable=True)
    world.outbox.resume()

    assert world.wire.sent == [b"typing"]


async def test_a_newer_message_takes_the_place_of_an_older_one_of_its_key():
    """It stands where it was put, so it overtakes nothing sent before it."""
    world = World()
    world.pause(0)
    world.outbox.put(b"10 %", droppable=True, coalesce="job 1")
    world.outbox.put(b"other", droppable=True, coalesce="job 2")
    world.outbox.put(b"durable")
    world.outbox.put(b"20 %", droppable=True, coalesce="job 1")
    world.outbox.put(b"30 %", droppable=True, coalesce="job 1")
    assert len(world.outbox) == len(b"other" + b"durable" + b"30 %")
    world.outbox.resume()

    assert world.wire.sent == [b"other", b"durable", b"30 %"]


async def test_coalescing_goes_on_above_the_soft_mark():
    world = World(soft=10)
    world.pause(0)
    world.outbox.put(b"10 %", droppable=True, coalesce="job")
    world.outbox.put(b"durable message")
    world.outbox.put(b"90 %", droppable=True, coalesce="job")
    world.outbox.put(b"new", droppable=True, coalesce="another job")
    world.outbox.resume()

    assert world.wire.sent == [b"durable message", b"90 %"]


async def test_keys_are_forgotten_with_their_messages():
    world = World()
    world.outbox.put(b"at once")
    world.outbox.put(b"1", coalesce="k")
    await asyncio.sleep(0)
    world.outbox.put(b"at once")
    world.outbox.put(b"2", coalesce="k")
    await asyncio.sleep(0)

    assert world.wire.sent == [b"at once", b"1", b"at once", b"2"]


async def test_above_the_hard_mark_the_connection_is_cut():
    world = World(soft=100, hard=1000)
    world.pause(100)
    for _ in range(9):
        world.outbox.put(b"x" * 100)
    assert world.overflows == []

    world.outbox.put(b"one more")
    assert world.overflows == ["1008 bytes wait, 1000 may"]
    assert world.outbox.finished
    world.outbox.put(b"x")
    world.outbox.resume()
    assert world.wire.writes == []


async def test_too_long_above_the_soft_mark_the_connection_is_cut():
    world = World(soft=100, patience=5.0)
    world.pause(100)
    world.outbox.put(b"x")
    world.wait(4.9)
    assert world.overflows == []

    world.wait(0.3)
    assert world.overflows == ["101 bytes wait after 5 s"]


async def test_a_reader_that_got_most_of_it_meanwhile_is_not_cut():
    """The transport says what it still holds; an old figure would be unjust."""
    world = World(soft=100, hard=1000, patience=5.0)
    world.pause(900)
    world.held = 50
    world.outbox.put(b"x" * 200)
    assert world.overflows == []

    world.held = 0
    world.outbox.take()
    world.wait(6.0)
    assert world.overflows == []


async def test_patience_starts_anew_after_a_time_below_the_mark():
    world = World(soft=100, patience=5.0)
    for _ in range(5):
        world.pause(101)
        world.wait(4.0)
        world.outbox.resume()
        world.wait(4.0)

    assert world.overflows == []
    assert len(world.timers) == 0


async def test_finishing_writes_what_waits_or_forgets_it():
    for flush in (True, False):
        world = World()
        world.pause(200)
        world.outbox.put(b"1")
        world.outbox.finish(flush=flush)
        world.outbox.finish(flush=True)
        world.outbox.put(b"2")

        assert world.wire.sent == ([b"1"] if flush else [])
        assert len(world.timers) == 0


STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 60)),
    st.tuples(st.just("drop"), st.integers(0, 60)),
    st.tuples(st.sampled_from(["key a", "key b"]), st.integers(0, 60)),
    st.tuples(st.just("pause"), st.integers(0, 120)),
    st.tuples(st.just("resume"), st.just(0)),
    st.tuples(st.just("tick"), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_survivors_keep_their_order_and_nothing_durable_is_lost(steps):
    async def scenario() -> None:
        world = World(soft=100, hard=10_000)
        durable: list[bytes] = []
        every: list[bytes] = []
        for number, (kind, size) in enumerate(steps):
            message = b"%d:" % number + b"x" * size
            if kind == "put":
                world.outbox.put(message)
                durable.append(message)
            elif kind == "drop":
                world.outbox.put(message, droppable=True)
            elif kind.startswith("key"):
                world.outbox.put(message, droppable=True, coalesce=kind)
            elif kind == "pause":
                world.pause(size)
            elif kind == "resume":
                world.outbox.resume()
            else:
                await asyncio.sleep(0)
            every.append(message)
            waiting = [item for item in world.outbox._pending if item is not None]
            assert world.outbox._bytes == sum(map(len, waiting))
        world.outbox.resume()
        await asyncio.sleep(0)

        sent = world.wire.sent
        assert [message for message in sent if message in set(durable)] == durable
        positions = [every.index(message) for message in sent]
        assert positions == sorted(positions)
        assert world.overflows == []

    asyncio.run(scenario())


# -- over real sockets ---------------------------------------------------------------


async def test_a_slow_reader_is_cut_and_the_others_keep_going():
    """One stuck phone must cost neither memory nor its room's time."""
    budget = Budget(soft=20_000, hard=200_000)
    async with (
        gateway(on_data=keep, budget=budget) as running,
        websocket(running, receive_buffer=4096) as stuck,
        websocket(running) as healthy,
    ):
        stuck.writer.transport.pause_reading()
        await running.until(lambda: len(running.opened) == 2)
        slow, good = running.opened
        sent = 0
        async with asyncio.timeout(60):
            while not slow.channel._outbox.finished:
                for handler in (slow, good):
                    handler.channel.send(b"%d" % sent + b"x" * 8000)
                assert (await healthy.frame())[1].startswith(b"%dx" % sent)
                sent += 1
        await running.until(lambda: slow.closed is not None)

        assert slow.closed[0] == 4408
        assert good.closed is None
        good.channel.send(b"still here")
        assert await healthy.frame() == (TEXT, b"still here")
        await running.until(lambda: len(running.edge.connections) == 1)


async def test_a_reader_that_is_only_late_gets_the_close_code():
    budget = Budget(soft=20_000, hard=100_000)
    async with (
        gateway(on_data=keep, budget=budget) as running,
        websocket(running, receive_buffer=4096) as late,
    ):
        await running.until(lambda: bool(running.opened))
        handler = running.opened[0]
        while not handler.channel._outbox.finished:
            handler.channel.send(b"x" * 8000)

        assert await late.close_code() == 4408
        assert await late.ended()


async def test_messages_of_one_tick_arrive_in_order():
    def on_data(handler, data: bytes) -> None:
        for number in range(50):
            handler.channel.send(b"%d" % number)

    async with gateway(on_data=on_data) as running, websocket(running) as client:
        client.write(text(b"go"))
        got = [(await client.frame())[1] for _ in range(50)]

        assert got == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("reason", ["hard", "patience"])
async def test_a_cut_is_counted(reason: str):
    from salon.metrics import slow_readers

    before = slow_readers._value.get()
    world = World(soft=10, hard=100)
    world.pause(50)
    if reason == "hard":
        world.outbox.put(b"x" * 100)
    else:
        world.wait(6.0)

    assert slow_readers._value.get() == before + 1
