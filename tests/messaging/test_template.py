"""What is sent, to whom, and how often it is encoded."""

import pytest

from salon import metrics
from salon.messaging import template as template_module
from salon.stomp.frames import Version
from tests.messaging.world import World


@pytest.fixture
def world():
    return World()


def add(world, session, destination, id_="0", **options):
    return world.registry.add(session, id_, destination, **options)


def test_a_message_says_where_it_comes_from_and_has_an_id_of_its_own(world):
    ann = world.session("ann")
    add(world, ann, "/topic/a", "sub-0")
    assert world.template.send("/topic/a", b"x") == 1
    assert world.template.send("/topic/a", b"") == 1
    first, second = ann.channel.frames()

    assert first.headers == (
        ("destination", "/topic/a"),
        ("subscription", "sub-0"),
        ("message-id", "1"),
        ("content-length", "1"),
    )
    assert second.get("message-id") == "2"
    assert (second.get("content-length"), second.body) == ("0", b"")


def test_headers_of_a_message_stay_below_100_bytes(world):
    ann = world.session("ann")
    add(world, ann, "/user/queue/events", "sub-0")
    world.template._count = iter([10**12])
    world.template.send_to_user("ann", "/queue/events", b"x" * 999)
    [data] = ann.channel.sent

    assert len(data) - 999 <= 120
    headers = data.split(b"\n\n")[0].removeprefix(b"MESSAGE\n")
    assert len(headers) <= 100


def test_a_caller_may_give_headers_but_not_those_of_the_frame(world):
    ann = world.session("ann")
    add(world, ann, "/topic/a")
    evil = (
        ("message-id", "m1"),
        ("x", "a:b\nc"),
        ("destination", "/evil"),
        ("subscription", "evil"),
        ("content-length", "0"),
    )
    world.template.send("/topic/a", b"body", headers=evil)
    [frame] = ann.channel.frames()

    assert frame.headers == (
        ("destination", "/topic/a"),
        ("subscription", "0"),
        ("message-id", "m1"),
        ("x", "a:b\nc"),
        ("content-length", "4"),
    )


def test_it_is_encoded_once_for_all_who_use_the_same_id(world, monkeypatch):
    sessions = [world.session(f"u{i}") for i in range(50)]
    for i, session in enumerate(sessions):
        add(world, session, "/topic/a", "odd" if i % 2 else "even")
    calls = []
    real = template_module.encode_headers
    monkeypatch.setattr(
        template_module, "encode_headers", lambda *a: calls.append(a) or real(*a)
    )
    assert world.template.send("/topic/a", b"x") == 50

    assert len(calls) == 1
    assert len({id(session.channel.sent[0]) for session in sessions}) == 2


def test_each_version_gets_its_own_escapes(world):
    sessions = [world.session(f"u{v}", version=v) for v in Version]
    for session in sessions:
        add(world, session, "/topic/a", "0")
    world.template.send("/topic/a", b"", headers=(("x", "a:b\nc"),))

    assert [session.channel.frames()[0].get("x") for session in sessions] == [
        "a:b c",
        "a:b\nc",
        "a:b\nc",
    ]


def test_a_1_0_subscription_without_id_has_no_subscription_header(world):
    ann = world.session("ann", version=Version.V10)
    add(world, ann, "/topic/a", "/topic/a", named=False)
    world.template.send("/topic/a", b"")

    assert ann.channel.frames()[0].get("subscription") is None


def test_users_are_reached_in_all_their_sessions_and_absent_ones_are_no_error(world):
    phone, web = world.session("ann"), world.session("ann")
    bob = world.session("bob")
    for session in (phone, web, bob):
        add(world, session, "/user/queue/events")

    assert world.template.send_to_users(["ann", "carl"], "/queue/events", b"1") == 2
    assert world.template.send_to_user("ann", "/queue/other", b"2") == 0
    assert (
        world.template.send_to_user("ann", "/queue/events", b"3", session=web.id) == 1
    )
    assert (
        world.template.send_to_user("bob", "/queue/events", b"4", session=web.id) == 0
    )
    assert world.template.send_to_sessions([bob.id, "x"], "/queue/events", b"5") == 1
    assert [f.body for f in phone.channel.frames()] == [b"1"]
    assert [f.body for f in web.channel.frames()] == [b"1", b"3"]
    assert [f.body for f in bob.channel.frames()] == [b"5"]


def test_the_users_see_the_destination_that_they_subscribed_to(world):
    ann = world.session("ann")
    add(world, ann, "/user/queue/events")
    world.template.send_to_user("ann", "/queue/events", b"")

    assert ann.channel.frames()[0].get("destination") == "/user/queue/events"


def test_a_topic_is_not_a_user_destination(world):
    ann = world.session("ann")
    add(world, ann, "/user/queue/a", "1")
    add(world, ann, "/topic/queue/a", "2")

    assert world.template.send("/topic/queue/a", b"") == 1
    assert ann.channel.frames()[0].get("subscription") == "2"


def test_lanes_are_passed_on(world):
    ann = world.session("ann")
    add(world, ann, "/user/queue/a")
    world.template.send_to_users(
        ["ann"], "/queue/a", b"", droppable=True, coalesce="typing"
    )

    assert ann.channel.lanes == [(True, "typing")]


def test_one_broken_channel_does_not_end_a_fan_out(world):
    sessions = [world.session(f"u{i}") for i in range(3)]
    for session in sessions:
        add(world, session, "/topic/a")
    sessions[0].channel.send = None

    assert world.template.send("/topic/a", b"") == 2


def test_a_subscriber_may_go_while_a_message_is_sent(world):
    """A channel that overflows may be closed by the very message it is given."""
    sessions = [world.session(f"u{i}") for i in range(3)]
    for session in sessions:
        add(world, session, "/topic/a")
        session.channel.send = lambda data, s=session, **_: world.registry.remove_all(s)

    assert world.template.send("/topic/a", b"") == 3
    assert world.registry.destinations() == []


def test_deliveries_are_counted(world):
    ann = world.session("ann")
    add(world, ann, "/topic/a")
    before = metrics.deliveries.labels("durable")._value.get()
    world.template.send("/topic/a", b"")
    world.template.send("/topic/nobody", b"")

    assert metrics.deliveries.labels("durable")._value.get() == before + 1
