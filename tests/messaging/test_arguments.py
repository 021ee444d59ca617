"""What a handler's parameters get."""

from typing import Annotated, Any

import msgspec
import pytest

from salon.errors import Refusal
from salon.messaging.arguments import Header, resolvers_of
from salon.messaging.message import Headers, Message, ReceiptHeaders
from salon.messaging.principal import Principal
from salon.messaging.sessions import Session
from tests.messaging.world import World


class Said(msgspec.Struct):
    text: str
    size: int = 0


def message(body=b"", variables=None, headers=()):
    session = World().session("ann")
    return Message("/app/a", "/a", Headers(headers), body, session, variables or {})


def arguments(function, given, variables=()):
    resolvers = resolvers_of("Test.handler", function, variables)
    return {name: get(given) for name, get in resolvers.items()}


def refused(function, given, variables=()):
    with pytest.raises(Refusal) as caught:
        arguments(function, given, variables)
    return caught.value


def test_known_types_are_filled_by_their_annotation():
    def handler(
        p: Principal, s: Session, h: Headers, r: ReceiptHeaders, m: Message
    ): ...

    given = message(headers=(("a", "1"), ("a", "2")))
    got = arguments(handler, given)

    assert got["p"] is given.session.principal
    assert got["s"] is given.session
    assert (got["h"]["a"], len(got["h"]), list(got["h"])) == ("1", 1, ["a"])
    assert got["h"].get("b") is None
    assert got["r"] is given.receipt
    assert got["m"] is given


def test_destination_variables_are_filled_by_name_and_converted():
    def handler(room: str, number: int, plain): ...

    got = arguments(
        handler,
        message(variables={"room": "blue", "number": "7", "plain": "x"}),
        ("room", "number", "plain"),
    )

    assert got == {"room": "blue", "number": 7, "plain": "x"}


def test_a_variable_that_does_not_convert_is_refused_by_name():
    def handler(number: int): ...

    error = refused(handler, message(variables={"number": "x"}), ("number",))

    assert (error.code, error.field) == ("invalid_destination", "number")


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        (bytes, b"\xff", b"\xff"),
        (str, "ü".encode(), "ü"),
        (dict, b'{"a":1}', {"a": 1}),
        (Any, b"[1]", [1]),
        (Said, b'{"text":"hi","more":1}', Said("hi")),
    ],
)
def test_the_parameter_that_is_left_gets_the_payload(kind, body, value):
    def handler(payload): ...

    handler.__annotations__["payload"] = kind

    assert arguments(handler, message(body)) == {"payload": value}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"text":1}', "text"),
        (b'{"text":"x","size":"y"}', "size"),
        (b"{}", "text"),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (b"", None),
        (b"[" * 60_000, None),
        (b'{"text":"\xff"}', None),
        (b'{"size":' + b"9" * 5000 + b"}", "size"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_field(body, field):
    def handler(payload: Said): ...

    error = refused(handler, message(body))

    assert error.code == "invalid_payload"
    assert error.field == field


def test_deep_json_is_refused_for_a_handler_that_takes_anything():
    def handler(payload: Any): ...

    assert refused(handler, message(b"[" * 60_000)).code == "invalid_payload"


def test_text_that_is_no_utf_8_is_refused():
    def handler(payload: str): ...

    assert refused(handler, message(b"\xff")).code == "invalid_payload"


class TestHeader:
    async def handler(
        self,
        payload: str,
        priority: Annotated[int, Header("priority")],
        kind: Annotated[str, Header("content-type")] = "none",
    ): ...

    def test_a_header_is_filled_by_its_name_and_converted(self):
        given = message(b"x", headers=(("priority", "9"), ("priority", "1")))

        assert arguments(self.handler, given) == {
            "payload": "x",
            "priority": 9,
            "kind": "none",
        }

    def test_a_header_that_is_missing_is_refused_by_name(self):
        error = refused(self.handler, message(b"x"))

        assert (error.code, error.field) == ("header_missing", "priority")

    def test_a_header_that_does_not_convert_is_refused_by_name(self):
        error = refused(self.handler, message(b"x", headers=(("priority", "high"),)))

        assert (error.code, error.field) == ("invalid_header", "priority")

    def test_other_annotations_stay_with_the_type(self):
        def handler(payload: Annotated[int, msgspec.Meta(ge=3)]): ...

        assert refused(handler, message(b"2")).code == "invalid_payload"
        assert arguments(handler, message(b"3")) == {"payload": 3}
