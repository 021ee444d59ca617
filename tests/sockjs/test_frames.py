"""SockJS framing: escapes, round trips, what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.sockjs import frames

ANY_TEXT = st.text(st.characters(codec="utf-8"))

UNSAFE = [
    *range(0x20),
    *range(0x200C, 0x2010),
    *range(0x2028, 0x2030),
    *range(0x2060, 0x2070),
    *range(0xFFF0, 0x10000),
]
"""sockjs-protocol, "JSON Unicode Encoding" (surrogates cannot be in UTF-8)."""


def test_frames_look_like_the_protocol_says():
    assert frames.OPEN == b"o"
    assert frames.HEARTBEAT == b"h"
    assert frames.messages([b"a"]) == b'a["a"]'
    assert frames.messages([b"a", b'"\\']) == rb'a["a","\"\\"]'
    assert frames.messages([]) == b"a[]"
    assert frames.close(3000, "Go away!") == b'c[3000,"Go away!"]'


def test_every_unsafe_code_point_is_escaped():
    for code in UNSAFE:
        quoted = frames.quote(chr(code).encode())

        assert quoted.isascii(), hex(code)
        assert json.loads(quoted) == chr(code)


def test_ordinary_text_is_not_escaped():
    assert frames.quote("grüße 你好 🦊".encode()) == '"grüße 你好 🦊"'.encode()


@given(ANY_TEXT)
def test_what_is_quoted_is_read_back(text: str):
    quoted = frames.quote(text.encode())

    assert json.loads(quoted) == text
    assert not {ord(char) for char in quoted.decode()} & set(UNSAFE)


@given(st.lists(ANY_TEXT))
def test_a_client_reads_the_messages_in_order(texts: list[str]):
    frame = frames.messages([text.encode() for text in texts])

    assert frame[:1] == b"a"
    assert json.loads(frame[1:]) == texts


@given(st.lists(ANY_TEXT), st.booleans())
def test_we_read_what_any_client_sends(texts: list[str], ascii_only: bool):
    payload = json.dumps(texts, ensure_ascii=ascii_only).encode()

    assert frames.decode(payload) == [text.encode() for text in texts]


@given(st.binary())
def test_any_bytes_are_read_or_refused(payload: bytes):
    for bare in (False, True):
        try:
            messages = frames.decode(payload, bare=bare)
        except (frames.BrokenFraming, frames.PayloadExpected):
            continue
        assert all(isinstance(message, bytes) for message in messages)


@given(st.binary())
def test_bytes_that_are_not_utf8_are_still_a_json_string(message: bytes):
    assert isinstance(json.loads(frames.quote(message)), str)


@pytest.mark.parametrize(
    "payload",
    [b'"x"', b"{}", b"[1]", b"[null]", b'["a"', b"x", b"[" * 100_000, b"\xff"],
)
def test_what_is_no_array_of_strings_is_refused(payload: bytes):
    with pytest.raises(frames.BrokenFraming):
        frames.decode(payload)


def test_one_bare_string_is_taken_where_it_may_come():
    assert frames.decode(b'"x"', bare=True) == [b"x"]


def test_nothing_is_no_payload():
    with pytest.raises(frames.PayloadExpected):
        frames.decode(b"")


def test_lone_surrogates_are_replaced_and_pairs_are_joined():
    assert frames.decode(rb'["\ud800", "\ud83e\udd8a"]') == [b"?", "🦊".encode()]
