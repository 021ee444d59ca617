"""SUBSCRIBE ``slow-consumer``: what a reader who is too slow may miss."""

import pytest

from salon.errors import Refusal
from salon.messaging.grants import may_subscribe
from salon.stomp import events
from tests.messaging.world import World


@pytest.fixture
def world():
    everywhere = [
        may_subscribe(pattern, "user")
        for pattern in ("/topic/**", "/queue/**", "/user/**")
    ]
    return World(grants=everywhere)


async def subscribe(world, session, slow, destination="/topic/x", ack="auto"):
    headers = () if slow is None else (("slow-consumer", slow),)
    event = events.Subscribe("sub-0", destination, headers, ack=ack)
    await world.dispatcher.subscribe(session, event)


@pytest.mark.parametrize(
    ("slow", "lane"),
    [
        (None, (False, None)),
        ("close", (False, None)),
        ("drop-oldest", (True, None)),
        ("coalesce", (True, "subscription sub-0 {}")),
    ],
)
@pytest.mark.parametrize("destination", ["/topic/x", "/user/queue/x"])
async def test_each_subscription_says_what_it_may_miss(world, slow, lane, destination):
    session = world.session("ann")
    await subscribe(world, session, slow, destination)
    if destination == "/topic/x":
        world.template.send("/topic/x", b"m")
    else:
        world.template.send_to_user("ann", "/queue/x", b"m")

    droppable, key = lane
    assert session.channel.lanes == [(droppable, key and key.format(destination))]


async def test_a_fan_out_serves_each_in_its_own_way(world):
    sessions = {slow: world.session(slow) for slow in ("close", "drop-oldest")}
    for slow, session in sessions.items():
        await subscribe(world, session, slow)
    world.template.send("/topic/x", b"m", coalesce="k", droppable=False)

    assert sessions["close"].channel.lanes == [(False, "k")]
    assert sessions["drop-oldest"].channel.lanes == [(True, "k")]
    assert (
        sessions["close"].channel.frames()[0].body
        == sessions["drop-oldest"].channel.frames()[0].body
    )


@pytest.mark.parametrize(
    ("slow", "destination", "ack"),
    [
        ("sometimes", "/topic/x", "auto"),
        ("coalesce", "/topic/x", "client"),
        ("drop-oldest", "/queue/x", "auto"),
    ],
)
async def test_what_cannot_be_is_refused(world, slow, destination, ack):
    session = world.session("ann")
    with pytest.raises(Refusal, match="slow-consumer") as refused:
        await subscribe(world, session, slow, destination, ack)

    assert refused.value.field == "slow-consumer"
    assert session.subscriptions == {}
