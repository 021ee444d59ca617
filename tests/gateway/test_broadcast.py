"""Audiences over real outboxes: nothing lost, nothing twice, nothing out of order."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from salon.gateway.outbox import JOIN
from salon.messaging.audience import Audience
from tests.gateway.test_outbox import World

READERS = 3


class Channel:
    """A connection with an outbox of its own."""

    def __init__(self, world):
        self.id = "c"
        self.world = world
        self.send = world.outbox.put
        self.follow = world.outbox.follow


class Subscription:
    def __init__(self, channel):
        self.session = type("Session", (), {"channel": channel})
        self.consumer = None


who = st.integers(0, READERS - 1)
steps = st.one_of(
    st.just(("all",)),
    st.just(("all",)),
    st.just(("tick",)),
    st.tuples(st.just("one"), who),
    st.tuples(st.just("pause"), who),
    st.tuples(st.just("resume"), who),
    st.tuples(st.just("leave"), who),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=25))
def test_each_reader_gets_what_it_was_sent_in_order(done):
    asyncio.run(_play(done))


async def _play(done):
    ticks = World().ticks  # one loop, one count of ticks
    worlds = [World() for _ in range(READERS)]
    for world in worlds:
        world.outbox._ticks = ticks
    subscriptions = [Subscription(Channel(world)) for world in worlds]
    audience = Audience()
    for subscription in subscriptions:
        audience.add(subscription)
    there = set(range(READERS))
    wanted = [[] for _ in worlds]
    for n, (what, *rest) in enumerate(done):
        message = b"%d" % n
        if what == "all":
            audience.send(message)
            for reader in there:
                wanted[reader].append(message)
        elif what == "one":
            worlds[rest[0]].outbox.put(message)
            wanted[rest[0]].append(message)
        elif what == "tick":
            await asyncio.sleep(0)
        elif what == "leave":
            audience.discard(subscriptions[rest[0]])
            there.discard(rest[0])
        else:
            getattr(worlds[rest[0]].outbox, what)()
    for world in worlds:
        world.outbox.resume()
    await asyncio.sleep(3 * JOIN)
    assert [world.wire.sent for world in worlds] == wanted
    assert not any(world.overflows for world in worlds)
