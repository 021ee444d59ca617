"""S0's application: what guests send and what the others hear."""

import asyncio
import json

import pytest

from salon.classic.application import Classic
from salon.classic.messages import MessageType
from salon.errors import Refusal
from salon.messaging.principal import Principal
from tests.messaging.world import World


class Guests:
    """An authenticator: everybody is a guest under their login."""

    async def authenticate(self, handshake, login, passcode):
        id_ = f"guest:{login}"
        return Principal(id_, login, frozenset({"guest"}), id_)


@pytest.fixture
def world():
    world = World()
    world.classic = Classic(world.template, world.users)
    world.classic.listen(world.events)
    world.serve(world.classic.controllers, world.classic.grants)
    return world


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


class Guest:
    def __init__(self, world, name):
        self.bridge, self.channel = world.bridge(Guests())
        self.subscriptions = 0
        self.bridge.on_data(f"CONNECT\naccept-version:1.2\nlogin:{name}\n\n\0".encode())

    def subscribe(self, *destinations):
        for destination in destinations:
            self.subscriptions += 1
            self.bridge.on_data(
                f"SUBSCRIBE\nid:{self.subscriptions}\n"
                f"destination:{destination}\n\n\0".encode()
            )

    def send(self, destination, type_="CHAT", content=None, sender="somebody else"):
        body = json.dumps({"type": type_, "content": content, "sender": sender})
        self.bridge.on_data(f"SEND\ndestination:{destination}\n\n{body}\0".encode())

    async def heard(self):
        await settle()
        return [
            (frame.get("destination"), frame.body.decode())
            for frame in self.channel.frames()
            if frame.command == "MESSAGE"
        ]


async def guest(world, name, *destinations):
    made = Guest(world, name)
    await settle()
    made.subscribe("/user/queue/errors", *destinations)
    await settle()
    return made


def said(type_, content, sender):
    return json.dumps(
        {"type": type_, "content": content, "sender": sender}, separators=(",", ":")
    )


async def test_joining_and_talking_in_the_public_room(world):
    ann = await guest(world, "Ann", "/topic/public")
    bob = await guest(world, "Bob", "/topic/public")
    ann.send("/app/chat.addUser", "JOIN")
    ann.send("/app/chat.sendMessage", "CHAT", "hello")

    expected = [
        ("/topic/public", '{"type":"JOIN","content":null,"sender":"Ann"}'),
        ("/topic/public", '{"type":"CHAT","content":"hello","sender":"Ann"}'),
    ]
    assert await bob.heard() == expected
    assert await ann.heard() == expected


async def test_rooms_are_apart(world):
    blue = await guest(world, "Ann", "/topic/chat/blue")
    red = await guest(world, "Bob", "/topic/chat/red")
    blue.send("/app/chat.addUserToRoom/blue", "JOIN")
    blue.send("/app/chat/blue", "CHAT", "hi")

    assert await blue.heard() == [
        ("/topic/chat/blue", said("JOIN", None, "Ann")),
        ("/topic/chat/blue", said("CHAT", "hi", "Ann")),
    ]
    assert await red.heard() == []


@pytest.mark.parametrize("room", ["private", "a room: ü", "%D0%9A", "房间"])
async def test_a_room_may_have_any_name(world, room):
    ann = await guest(world, "Ann", f"/topic/chat/{room.replace(':', chr(92) + 'c')}")
    ann.send(f"/app/chat/{room.replace(':', chr(92) + 'c')}", "CHAT", "hi")

    assert await ann.heard() == [(f"/topic/chat/{room}", said("CHAT", "hi", "Ann"))]


async def test_whoever_leaves_is_missed_where_they_joined(world):
    public = await guest(world, "Ann", "/topic/public")
    blue = await guest(world, "Bob", "/topic/chat/blue")
    red = await guest(world, "Carl", "/topic/chat/red")
    dora = await guest(world, "Dora")
    dora.send("/app/chat.addUser", "JOIN")
    dora.send("/app/chat.addUserToRoom/blue", "JOIN")
    await settle()
    for one in (public, blue, red):
        one.channel.frames()
    dora.bridge.on_close(1001, "tab closed")

    assert await public.heard() == [("/topic/public", said("LEAVE", None, "Dora"))]
    assert await blue.heard() == [("/topic/chat/blue", said("LEAVE", None, "Dora"))]
    assert await red.heard() == []


async def test_who_never_joined_leaves_in_silence(world):
    ann = await guest(world, "Ann", "/topic/public")
    bob = await guest(world, "Bob", "/topic/public")
    bob.bridge.on_close(1001, "")

    assert await ann.heard() == []


async def test_private_messages_are_heard_by_the_two_only(world):
    ann = await guest(world, "Ann", "/user/queue/private")
    bob = await guest(world, "Bob", "/user/queue/private")
    eve = await guest(world, "Eve", "/user/queue/private", "/topic/public")
    ann.send("/app/chat.helloUser/Ann", "JOIN")
    ann.send("/app/chatToUser/bOB", "CHAT", "secret")

    message = ("/user/queue/private", said("CHAT", "secret", "Ann"))
    assert await bob.heard() == [message]
    assert await ann.heard() == [
        ("/user/queue/private", said("JOIN", None, "Ann")),
        message,
    ]
    assert await eve.heard() == []


@pytest.mark.parametrize(
    "destination",
    [
        "/topic/chatToUser/Bob",
        "/user/chat/Bob",
        "/user/Bob/queue/private",
        "/queue/private",
        "/topic/**",
        "/user/queue/events",
    ],
)
async def test_nobody_can_listen_in(world, destination):
    eve = await guest(world, "Eve")
    eve.subscribe(destination)
    await settle()

    assert eve.channel.closed[0] == 1008


async def test_names_may_be_percent_encoded(world):
    """Pages encode names so that any name is one segment of a destination."""
    ann = await guest(world, "Ann", "/user/queue/private")
    odd = await guest(world, "50% / *?", "/user/queue/private")
    ann.send("/app/chatToUser/50%25%20%2F%20%2A%3F", "CHAT", "hi")

    assert await odd.heard() == [("/user/queue/private", said("CHAT", "hi", "Ann"))]


async def test_a_person_who_is_not_there_is_said_to_be_so(world):
    ann = await guest(world, "Ann", "/user/queue/private")
    bob = await guest(world, "Bob")  # here, but not on the private page
    ann.send("/app/chatToUser/Bob", "CHAT", "hi")
    [(destination, body)] = await ann.heard()

    assert destination == "/user/queue/errors"
    assert json.loads(body)["code"] == "user_unknown"
    assert await bob.heard() == []


async def test_of_two_people_with_one_name_neither_gets_it(world):
    """An account may be called like a guest: no guess is made who was meant."""
    ann = await guest(world, "Ann", "/user/queue/private")
    one = await guest(world, "Bob", "/user/queue/private")
    other = world.session("42", roles=("user",))
    other.principal = Principal("42", "bob", frozenset({"user"}), "l")
    world.users.add(other)
    world.registry.add(other, "0", "/user/queue/private")
    world.events.connected[0](other)
    ann.send("/app/chatToUser/Bob", "CHAT", "hi")
    [(_, body)] = await ann.heard()

    assert json.loads(body)["code"] == "name_ambiguous"
    assert await one.heard() == []
    assert other.channel.frames() == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"SHOUT","content":"x","sender":null}',
        b'{"content":"x"}',
        b'{"type":"CHAT","content":1}',
        b'{"type":"CHAT","content":"' + b"x" * 8001 + b'"}',
        b"hello",
    ],
)
async def test_a_bad_body_is_refused_in_words(world, body):
    ann = await guest(world, "Ann", "/topic/public")
    ann.bridge.on_data(b"SEND\ndestination:/app/chat.sendMessage\n\n" + body + b"\0")
    [(destination, answer)] = await ann.heard()

    assert destination == "/user/queue/errors"
    assert json.loads(answer)["code"] == "invalid_payload"


async def test_unknown_fields_are_ignored_and_missing_ones_are_null(world):
    ann = await guest(world, "Ann", "/topic/public")
    ann.bridge.on_data(
        b'SEND\ndestination:/app/chat.sendMessage\n\n{"type":"CHAT","x":1}\0'
    )

    assert await ann.heard() == [("/topic/public", said("CHAT", None, "Ann"))]


async def test_rooms_to_join_are_limited(world):
    ann = await guest(world, "Ann")
    for i in range(21):
        ann.send(f"/app/chat.addUserToRoom/r{i}", "JOIN")
    [(_, body)] = await ann.heard()

    assert json.loads(body)["code"] == "too_many_rooms"


async def test_announcing_from_outside_reaches_the_room_but_passes_for_nobody(world):
    ann = await guest(world, "Ann", "/topic/public")

    assert world.classic.announce(MessageType.CHAT, "news", "clock") == 1
    assert await ann.heard() == [("/topic/public", said("CHAT", "news", "clock"))]
    with pytest.raises(Refusal, match="speaks for themself"):
        world.classic.announce(MessageType.CHAT, "lies", " ANN")
    ann.bridge.on_close(1001, "")
    assert world.classic.announce(MessageType.CHAT, "free again", "Ann") == 0


async def test_a_name_is_here_as_long_as_one_of_its_sessions(world):
    one, two = await guest(world, "Ann"), await guest(world, "Ann")
    people = world.classic._people
    one.bridge.on_close(1001, "")
    assert people.is_here("ann")
    two.bridge.on_close(1001, "")

    assert not people.is_here("ann")
    assert people._ids == {}
