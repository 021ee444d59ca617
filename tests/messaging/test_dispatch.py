"""From a SEND to a handler, and from what it returns to subscribers."""

import asyncio
import json

import msgspec
import pytest

from salon.errors import Refusal
from salon.messaging.dispatch import encode_payload
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import (
    message_exception_handler,
    message_mapping,
    send_to,
    send_to_user,
    subscribe_mapping,
)
from salon.messaging.principal import Principal
from salon.messaging.refusal import NotGranted
from salon.messaging.sessions import Session
from salon.stomp.events import Send, Subscribe
from tests.messaging.world import World

ALL = (may_send("/app/**", "user"), may_subscribe("/**", "user"))


class Said(msgspec.Struct):
    text: str | None = None


class Oops(Exception):
    pass


class Everything:
    @message_mapping("/default.path")
    async def default(self, payload: Said) -> Said:
        return payload

    @message_mapping("/rooms/{room}/say")
    @send_to("/topic/rooms/{room}", "/topic/log")
    async def say(self, room: str, payload: str) -> dict:
        return {"room": room, "text": payload}

    @message_mapping("/whisper")
    @send_to_user("/queue/reply", broadcast=False)
    async def whisper(self, payload: str) -> str:
        return payload

    @message_mapping("/remind")
    @send_to_user("/queue/reply")
    async def remind(self, payload: str) -> str:
        return payload

    @message_mapping("/both")
    @send_to("/topic/both")
    @send_to_user("/queue/reply")
    async def both(self, payload: bytes) -> bytes:
        return payload

    @message_mapping("/nothing")
    async def nothing(self) -> None: ...

    @message_mapping("/plain")
    @send_to("/topic/plain")
    def plain(self) -> str:
        return "not async"

    @message_mapping("/later")
    @send_to("/topic/later")
    async def later(self, payload: str) -> asyncio.Future[str]:
        async def work() -> str:
            await asyncio.sleep(0)
            if payload == "oops":
                raise Oops
            return payload

        return asyncio.ensure_future(work())

    @message_mapping("/oops")
    async def oops(self) -> None:
        raise Oops

    @message_mapping("/count")
    async def count(self, session: Session) -> int:
        session.attributes["n"] = session.attributes.get("n", 0) + 1
        return session.attributes["n"]

    @subscribe_mapping("/people/{room}")
    async def people(self, room: str, principal: Principal) -> list[str]:
        return [room, principal.name]

    @subscribe_mapping("/announced")
    @send_to("/topic/log")
    async def announced(self) -> str:
        return "somebody came"

    @message_exception_handler(Oops)
    @send_to_user("/queue/oops", broadcast=False)
    async def caught(self, error: Oops, principal: Principal) -> str:
        return f"{principal.id}: {type(error).__name__}"


@pytest.fixture
def world():
    return World([Everything()], ALL)


async def send(world, session, destination, body=b""):
    headers = (("destination", destination),)
    reply = await world.dispatcher.send(session, Send(destination, headers, body))
    result = reply.result
    if isinstance(result, asyncio.Future):
        result = await result
    reply.publish(result)
    return reply


async def subscribe(world, session, destination, id_="0"):
    reply, subscription = await world.dispatcher.subscribe(
        session, Subscribe(id_, destination, ())
    )
    if reply.publish is not None:
        reply.publish(reply.result)
    return subscription


def heard(session):
    return [(f.get("destination"), f.body.decode()) for f in session.channel.frames()]


async def test_without_send_to_the_value_goes_to_topic_and_path(world):
    ann = world.session("ann")
    await subscribe(world, ann, "/topic/default.path")
    await send(world, ann, "/app/default.path", b'{"text":null}')
    [frame] = ann.channel.frames()

    assert frame.body == b'{"text":null}'
    assert frame.get("content-type") == "application/json"


async def test_placeholders_are_filled_and_several_destinations_served(world):
    ann = world.session("ann")
    await subscribe(world, ann, "/topic/rooms/blue", "1")
    await subscribe(world, ann, "/topic/log", "2")
    await subscribe(world, ann, "/topic/rooms/red", "3")
    await send(world, ann, "/app/rooms/blue/say", b"hi")

    body = '{"room":"blue","text":"hi"}'
    assert heard(ann) == [("/topic/rooms/blue", body), ("/topic/log", body)]


async def test_send_to_user_reaches_this_session_or_all_of_them(world):
    phone, web = world.session("ann"), world.session("ann")
    bob = world.session("bob")
    for session in (phone, web, bob):
        await subscribe(world, session, "/user/queue/reply")
    await send(world, phone, "/app/whisper", b"a")
    await send(world, phone, "/app/remind", b"b")

    assert heard(phone) == [("/user/queue/reply", "a"), ("/user/queue/reply", "b")]
    assert heard(web) == [("/user/queue/reply", "b")]
    assert heard(bob) == []


async def test_send_to_and_send_to_user_together(world):
    ann, bob = world.session("ann"), world.session("bob")
    await subscribe(world, ann, "/user/queue/reply")
    await subscribe(world, bob, "/topic/both")
    await send(world, ann, "/app/both", b"\xff")

    assert [f.body for f in ann.channel.frames()] == [b"\xff"]
    assert [f.body for f in bob.channel.frames()] == [b"\xff"]


async def test_none_sends_nothing(world):
    ann = world.session("ann")
    await subscribe(world, ann, "/topic/nothing")
    await send(world, ann, "/app/nothing")

    assert heard(ann) == []


async def test_a_plain_function_may_be_a_handler(world):
    ann = world.session("ann")
    await subscribe(world, ann, "/topic/plain")
    await send(world, ann, "/app/plain")

    assert heard(ann) == [("/topic/plain", "not async")]


async def test_an_async_result_is_sent_when_it_is_there(world):
    ann = world.session("ann")
    await subscribe(world, ann, "/topic/later")
    await send(world, ann, "/app/later", b"x")

    assert heard(ann) == [("/topic/later", "x")]


@pytest.mark.parametrize(("path", "body"), [("oops", b""), ("later", b"oops")])
async def test_an_exception_handler_takes_errors_and_late_errors(world, path, body):
    ann, other = world.session("ann"), world.session("ann")
    for session in (ann, other):
        await subscribe(world, session, "/user/queue/oops")
    await send(world, ann, f"/app/{path}", body)

    assert heard(ann) == [("/user/queue/oops", "ann: Oops")]
    assert heard(other) == []


async def test_an_error_that_nobody_takes_is_raised(world):
    with pytest.raises(Refusal, match="JSON"):
        await send(world, world.session("ann"), "/app/default.path", b"{")


async def test_session_attributes_last_as_long_as_the_session(world):
    one, two = world.session("ann"), world.session("ann")
    for session in (one, one, two):
        await send(world, session, "/app/count")

    assert (one.attributes, two.attributes) == ({"n": 2}, {"n": 1})


async def test_a_subscription_is_answered_once_to_the_subscriber_only(world):
    ann, bob = world.session("ann"), world.session("bob")
    await subscribe(world, ann, "/app/people/blue", "a")
    await subscribe(world, bob, "/app/people/blue", "b")

    assert heard(ann) == [("/app/people/blue", '["blue","Ann"]')]
    assert heard(bob) == [("/app/people/blue", '["blue","Bob"]')]
    assert world.registry.destinations() == []


async def test_with_send_to_the_answer_of_a_subscription_is_for_others(world):
    ann, bob = world.session("ann"), world.session("bob")
    await subscribe(world, bob, "/topic/log")
    await subscribe(world, ann, "/app/announced")

    assert heard(ann) == []
    assert heard(bob) == [("/topic/log", "somebody came")]


class TestRights:
    async def test_without_a_grant_everything_is_refused(self):
        world = World([Everything()])
        ann = world.session("ann", roles=("admin", "user"))

        with pytest.raises(NotGranted):
            await send(world, ann, "/app/nothing")
        for destination in ("/topic/a", "/user/queue/a", "/queue/a", "/app/people/a"):
            with pytest.raises(NotGranted):
                await subscribe(world, ann, destination)

    async def test_a_grant_counts_for_its_roles_and_its_operation(self):
        grants = (may_send("/app/nothing", "user"), may_subscribe("/topic/a", "admin"))
        world = World([Everything()], grants)
        user, guest = world.session("a"), world.session("b", roles=("guest",))
        await send(world, user, "/app/nothing")

        with pytest.raises(NotGranted):
            await send(world, guest, "/app/nothing")
        with pytest.raises(NotGranted):
            await subscribe(world, user, "/topic/a")
        with pytest.raises(NotGranted):
            await subscribe(world, user, "/app/nothing")

    async def test_a_check_looks_at_the_variables(self):
        def member(principal, variables):
            return principal.id == variables["room"]

        grants = (may_subscribe("/topic/rooms/{room}", "user", check=member),)
        world = World([], grants)
        ann = world.session("ann")
        await subscribe(world, ann, "/topic/rooms/ann")

        with pytest.raises(NotGranted):
            await subscribe(world, ann, "/topic/rooms/bob")

    async def test_a_prefix_is_of_whole_segments(self, world):
        with pytest.raises(NotGranted):
            await send(world, world.session("ann"), "/application/nothing")

    async def test_interceptors_may_stop_a_message(self):
        seen = []

        def slow_down(message):
            seen.append((message.path, message.receipt_id))
            if len(seen) > 1:
                raise Refusal("slow_down", "Wait.", retry_after=1)

        world = World([Everything()], ALL, interceptors=[slow_down])
        ann = world.session("ann")
        await send(world, ann, "/app/nothing")

        with pytest.raises(Refusal, match="Wait"):
            await send(world, ann, "/app/nothing")
        with pytest.raises(Refusal, match="Wait"):
            await subscribe(world, ann, "/app/people/blue")
        assert seen == [("/nothing", None)] * 2 + [("/people/blue", None)]


def test_payloads_are_json_unless_bytes_or_text():
    assert encode_payload(b"\xff") == (b"\xff", ())
    assert encode_payload("ü")[0] == "ü".encode()
    assert json.loads(encode_payload(Said("x"))[0]) == {"text": "x"}
    assert encode_payload([1])[1] == (("content-type", "application/json"),)
