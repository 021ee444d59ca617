"""What stands around a handler: interceptors, exception handlers, advice."""

import asyncio

import pytest

from salon.errors import Refusal
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import (
    MappingError,
    message_exception_handler,
    message_mapping,
    send_to,
    send_to_user,
)
from salon.stomp.events import Send
from tests.messaging.world import World

ALL = (may_send("/**", "user"), may_subscribe("/**", "user"))


class Controller:
    def __init__(self):
        self.future = asyncio.get_running_loop().create_future()

    @message_mapping("/ok")
    def ok(self) -> str:
        return "ok"

    @message_mapping("/later")
    async def later(self) -> asyncio.Future:
        return self.future

    @message_mapping("/key")
    def key(self) -> None:
        raise KeyError("k")

    @message_mapping("/value")
    def value(self) -> None:
        raise ValueError("v")

    @message_exception_handler(KeyError)
    @send_to("/topic/own")
    def own(self) -> str:
        return "own"


class Advice:
    @message_exception_handler(LookupError, ValueError)
    @send_to_user("/queue/advice")
    async def advise(self, error: ValueError) -> str:
        return f"advice: {error}"


class Trace:
    def __init__(self, name, log, stop=None):
        self.name, self.log, self.stop = name, log, stop

    def __call__(self, message):
        self.log.append(f"{self.name} {message.path}")
        if self.stop is not None:
            raise self.stop

        def after(value, error):
            self.log.append(f"{self.name} after {repr(error) if error else value}")

        return after


def place(log=None, stop=None, **options):
    interceptors = [Trace("a", log), Trace("b", log, stop)] if log is not None else []
    return World(
        [Controller()], ALL, advice=[Advice()], interceptors=interceptors, **options
    )


async def send(world, path, body=b""):
    session = next(iter(world.users), None) or world.session()
    return await world.dispatcher.send(session, Send(path, (), body))


class TestInterceptors:
    async def test_they_stand_around_the_handler_like_brackets(self):
        log = []
        await send(place(log), "/app/ok")

        assert log == ["a /ok", "b /ok", "b after ok", "a after ok"]

    async def test_they_hear_of_a_result_when_it_is_there(self):
        log = []
        reply = await send(place(log), "/app/later")
        assert log == ["a /later", "b /later"]
        asyncio.get_running_loop().call_soon(reply.result.cancel)
        with pytest.raises(asyncio.CancelledError):
            await reply.result

    async def test_they_hear_of_a_late_value(self):
        log = []
        world = place(log)
        world.dispatcher._sends.find("/later")[0].function.__self__.future.set_result(7)
        reply = await send(world, "/app/later")

        assert await reply.result == 7
        assert log[2:] == ["b after 7", "a after 7"]

    async def test_they_hear_of_an_error_also_where_somebody_takes_it(self):
        log = []
        await send(place(log), "/app/key")

        assert log[2:] == ["b after KeyError('k')", "a after KeyError('k')"]

    async def test_one_that_refuses_is_heard_of_by_those_before_it(self):
        log = []
        with pytest.raises(Refusal, match=r"Wait\."):
            await send(place(log, Refusal("slow", "Wait.")), "/app/ok")

        assert log[:2] == ["a /ok", "b /ok"]
        assert log[2].startswith("a after Refusal")

    async def test_they_see_what_is_sent_straight_to_a_destination(self):
        log = []
        await send(place(log), "/topic/a")

        assert log[0] == "a /topic/a"

    async def test_one_that_fails_afterwards_harms_nobody(self):
        def broken(message):
            return lambda _, __: 1 / 0

        world = World([Controller()], ALL, interceptors=[broken])

        assert (await send(world, "/app/ok")).result == "ok"


class TestAdvice:
    async def heard(self, path):
        world = place()
        ann = world.session()
        world.registry.add(ann, "0", "/user/queue/advice")
        world.registry.add(ann, "1", "/topic/own")
        await send(world, path)
        return [f.body for f in ann.channel.frames()]

    async def test_it_takes_what_the_controller_does_not(self):
        assert await self.heard("/app/value") == [b"advice: v"]

    async def test_the_controllers_own_handler_comes_first(self):
        assert await self.heard("/app/key") == [b"own"]


class Dotted:
    @message_mapping("{shade}.{n}")
    def shade(self, shade: str, n: int) -> str:
        return f"{shade} {n}"


@message_mapping("red")
class Red(Dotted):
    pass


@message_mapping("/green.")
class Green(Dotted):
    pass


class TestSeparator:
    """Spring's AntPathMatcher("."): class and method patterns are joined by dots."""

    @pytest.mark.parametrize(
        ("controller", "path"), [(Red(), "red.dark.7"), (Green(), "green.dark.7")]
    )
    async def test_segments_may_be_separated_by_dots(self, controller, path):
        world = World([controller], ALL, separator=".")
        ann = world.session()
        world.registry.add(ann, "0", f"/topic/{path}")
        reply = await send(world, f"/app/{path}")
        reply.publish(reply.result)

        assert [f.body for f in ann.channel.frames()] == [b"dark 7"]

    async def test_with_slashes_a_missing_one_is_added(self):
        @message_mapping("rooms/")
        class Rooms:
            @message_mapping("{room}")
            def say(self, room: str) -> str:
                return room

        assert (await send(World([Rooms()], ALL), "/app/rooms/blue")).result == "blue"

    def test_ambiguity_is_found_with_dots_too(self):
        with pytest.raises(MappingError, match="ambiguous"):
            World([Red(), Red()], ALL, separator=".")
