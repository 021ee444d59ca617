"""Which handler takes a message, and mistakes that are found at start-up."""

import pytest

from salon.messaging.arguments import MappingError
from salon.messaging.mapping import (
    MappingTable,
    mappings_of,
    message_exception_handler,
    message_mapping,
    send_to,
    send_to_user,
    subscribe_mapping,
)
from salon.messaging.message import Message


def table(*controllers):
    return MappingTable(m for c in controllers for m in mappings_of(c))


def found(made, path):
    match = made.find(path)
    return None if match is None else (match[0].name, match[1])


class Chat:
    @message_mapping("/chat/{room}")
    async def room(self, room): ...

    @message_mapping("/chat/private")
    async def private(self): ...

    @message_mapping("/chat/**")
    async def rest(self): ...

    @message_mapping("/a", "/b")
    async def two(self): ...


def test_an_exact_mapping_is_before_patterns_and_patterns_by_how_much_they_say():
    made = table(Chat())

    assert found(made, "/chat/private") == ("Chat.private", {})
    assert found(made, "/chat/blue") == ("Chat.room", {"room": "blue"})
    assert found(made, "/chat/blue/deep") == ("Chat.rest", {})
    assert found(made, "/chat") == ("Chat.rest", {})
    assert found(made, "/other") is None


def test_one_handler_may_have_several_patterns():
    made = table(Chat())

    assert found(made, "/a") == found(made, "/b") == ("Chat.two", {})


def test_a_class_level_mapping_is_a_prefix():
    @message_mapping("/rooms")
    class Rooms:
        @message_mapping("/{room}")
        async def say(self, room): ...

        @message_mapping()
        async def root(self): ...

    made = table(Rooms())

    assert found(made, "/rooms/blue") == ("Rooms.say", {"room": "blue"})
    assert found(made, "/rooms") == ("Rooms.root", {})
    assert found(made, "/blue") is None


def test_mappings_of_a_base_class_are_inherited():
    class More(Chat):
        @message_mapping("/more")
        async def more(self): ...

    made = table(More())

    assert found(made, "/more") == ("More.more", {})
    assert found(made, "/a") == ("More.two", {})


def test_subscribe_and_send_may_share_a_pattern():
    class Both:
        @message_mapping("/a")
        async def send(self): ...

        @subscribe_mapping("/a")
        async def subscribe(self): ...

    assert [m.kind for m in mappings_of(Both())] == ["SEND", "SUBSCRIBE"]


class TestMistakesAreFoundAtStartUp:
    def test_the_same_mapping_twice(self):
        class Again:
            @message_mapping("/chat/{other}")
            async def again(self, other): ...

        with pytest.raises(MappingError, match=r"Again\.again and to Chat\.room"):
            table(Chat(), Again())

    def test_patterns_between_which_nothing_decides(self):
        class Tie:
            @message_mapping("/{a}/b")
            async def one(self, a): ...

            @message_mapping("/a/{b}")
            async def other(self, b): ...

        with pytest.raises(
            MappingError, match=r"ambiguous.*Tie\.other and to Tie\.one"
        ):
            table(Tie())

    def test_equal_patterns_that_share_no_path_are_no_tie(self):
        class Fine:
            @message_mapping("/chat.{a}")
            async def one(self, a): ...

            @message_mapping("/room.{a}")
            async def other(self, a): ...

        assert found(table(Fine()), "/room.x") == ("Fine.other", {"a": "x"})

    def test_a_placeholder_that_no_variable_fills(self):
        class Wrong:
            @message_mapping("/a/{room}")
            @send_to("/topic/{rom}")
            async def say(self, room): ...

        with pytest.raises(MappingError, match=r"Wrong\.say.*'rom'"):
            table(Wrong())

    def test_a_placeholder_of_send_to_user_as_well(self):
        class Wrong:
            @message_mapping("/a")
            @send_to_user("/queue/{x}")
            async def say(self): ...

        with pytest.raises(MappingError, match="'x'"):
            table(Wrong())

    def test_two_parameters_that_could_be_the_payload(self):
        class Wrong:
            @message_mapping("/a")
            async def say(self, text: str, room: str): ...

        with pytest.raises(MappingError, match=r"Wrong\.say: 'text' and 'room'"):
            table(Wrong())

    def test_parameters_that_cannot_be_filled(self):
        class Wrong:
            @message_mapping("/a")
            async def say(self, *rest): ...

        with pytest.raises(MappingError, match="rest"):
            table(Wrong())

    def test_a_bad_pattern(self):
        class Wrong:
            @message_mapping("/{a")
            async def say(self): ...

        with pytest.raises(MappingError, match=r"Wrong\.say"):
            table(Wrong())


def test_exception_handlers_are_found_by_kind_in_order_of_definition():
    class Careful:
        @message_mapping("/a")
        async def a(self): ...

        @message_exception_handler(KeyError)
        def key(self, error: KeyError): ...

        @message_exception_handler()
        def rest(self, error: Exception): ...

    [mapping] = mappings_of(Careful())

    assert mapping.handler.handler_of(KeyError()).name == "Careful.key"
    assert mapping.handler.handler_of(ValueError()).name == "Careful.rest"


def test_a_handler_gets_the_whole_message_if_it_wants(world_message):
    class Wants:
        @message_mapping("/a")
        def all(self, everything: Message):
            return everything

    [mapping] = mappings_of(Wants())

    assert mapping.handler.invoke(world_message) is world_message


@pytest.fixture
def world_message():
    return Message("/app/a", "/a", {}, b"", None)


class TestDefaultsOfAClass:
    def test_send_to_and_send_to_user_of_a_class_are_for_methods_without_their_own(
        self,
    ):
        @send_to("/topic/a")
        @send_to_user("/queue/a", broadcast=False)
        class Both:
            @message_mapping("/default")
            async def default(self): ...

            @message_mapping("/own")
            @send_to("/topic/own")
            async def own(self): ...

            @message_mapping("/user")
            @send_to_user("/queue/own")
            async def user(self): ...

        made = table(Both())

        def goes(path):
            handler, _ = made.find(path)
            return handler.send_to, [
                (to.destination, to.broadcast) for to in handler.send_to_user
            ]

        assert goes("/default") == (("/topic/a",), [("/queue/a", False)])
        assert goes("/own") == (("/topic/own",), [])
        assert goes("/user") == ((), [("/queue/own", True)])


def test_the_exception_handler_of_the_nearest_class_takes_an_error():
    class Controller:
        @message_exception_handler()
        def everything(self): ...

        @message_exception_handler(LookupError, ArithmeticError)
        def wide(self): ...

        @message_exception_handler(KeyError)
        def near(self): ...

        @message_mapping("/x")
        async def x(self): ...

    handler, _ = table(Controller()).find("/x")

    def taker(error):
        return handler.handler_of(error).name

    assert taker(KeyError("k")) == "Controller.near"
    assert taker(IndexError()) == "Controller.wide"
    assert taker(ZeroDivisionError()) == "Controller.wide"
    assert taker(ValueError()) == "Controller.everything"
