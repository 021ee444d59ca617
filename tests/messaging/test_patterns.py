"""Subscriptions to patterns: only those that a grant names, spelt as it names them."""

import pytest

from salon.messaging.grants import may_subscribe, may_subscribe_pattern
from salon.messaging.refusal import NotGranted
from salon.stomp.events import Subscribe, Unsubscribe
from tests.messaging.world import World

GRANTS = (
    may_subscribe("/topic/**", "user"),
    may_subscribe_pattern("/topic/price/*", "user"),
    may_subscribe_pattern("/topic/log/**", "admin"),
)


@pytest.fixture
def world():
    return World(grants=GRANTS)


async def subscribe(world, session, destination, id_="0", **more):
    event = Subscribe(id_, destination, (), **more)
    return await world.dispatcher.subscribe(session, event)


async def test_a_message_names_its_own_destination_and_comes_once(world):
    ann, bob = world.session("ann"), world.session("bob")
    await subscribe(world, ann, "/topic/price/*")
    await subscribe(world, bob, "/topic/price/a")

    assert world.template.send("/topic/price/a", b"1") == 2
    assert world.template.send("/topic/price/b", b"2") == 1
    assert world.template.send("/topic/price/b/c", b"3") == 0
    assert world.template.send("/topic/other", b"4") == 0
    frames = ann.channel.frames()
    assert [f.get("destination") for f in frames] == [
        "/topic/price/a",
        "/topic/price/b",
    ]
    assert {f.get("subscription") for f in frames} == {"0"}
    assert [f.body for f in bob.channel.frames()] == [b"1"]


async def test_it_ends_with_unsubscribe_and_with_the_session(world):
    ann = world.session("ann")
    await subscribe(world, ann, "/topic/price/*")
    world.dispatcher.unsubscribe(ann, Unsubscribe("0"))
    assert world.registry.destinations() == []
    await subscribe(world, ann, "/topic/price/*")
    world.dispatcher.disconnect(ann)

    assert world.registry.destinations() == []
    assert world.template.send("/topic/price/a", b"1") == 0


@pytest.mark.parametrize(
    "pattern",
    ["/topic/*", "/topic/**", "/topic/price/**", "/topic/log/**", "/topic/price/a*"],
)
async def test_any_other_pattern_is_refused(world, pattern):
    """Also what a wider grant of single topics would seem to allow."""
    with pytest.raises(NotGranted):
        await subscribe(world, world.session(), pattern)

    assert world.registry.destinations() == []


async def test_a_pattern_is_not_acknowledged(world):
    with pytest.raises(NotGranted, match="ack:auto"):
        await subscribe(world, world.session(), "/topic/price/*", ack="client")


async def test_admins_may_have_more(world):
    boss = world.session("boss", roles=("admin",))
    await subscribe(world, boss, "/topic/log/**")

    assert world.template.send("/topic/log/a/b", b"x") == 1


async def test_coalescing_is_by_topic(world):
    """A slow watcher gets the last price of each symbol, not of any."""
    ann = world.session("ann")
    event = Subscribe("0", "/topic/price/*", (("slow-consumer", "coalesce"),))
    await world.dispatcher.subscribe(ann, event)
    for name in "ab":
        world.template.send(f"/topic/price/{name}", b"1")

    assert len(set(ann.channel.lanes)) == 2
