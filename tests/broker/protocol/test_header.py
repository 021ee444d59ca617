"""Request headers, and the response headers that belong to them."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.broker.errors import ProtocolError
from salon.broker.protocol import header
from salon.broker.protocol.versions import API_VERSIONS, APIS, METADATA, PRODUCE


def frame(
    key: int, version: int, client: bytes = b"me", body: bytes = b""
) -> memoryview:
    tags = b"\0" if key in APIS and version >= APIS[key].flexible else b""
    head = struct.pack(">hhih", key, version, 42, len(client)) + client + tags
    return memoryview(head + body)


@given(key=st.sampled_from(sorted(APIS)), data=st.data())
def test_the_body_begins_after_the_header_in_every_served_version(key, data):
    version = data.draw(st.integers(APIS[key].lowest, APIS[key].highest))
    parsed = header.parse(frame(key, version, b"client", b"BODY"))

    assert parsed[:4] == (key, version, 42, "client")
    assert bytes(frame(key, version, b"client", b"BODY")[parsed.body :]) == b"BODY"


def test_the_response_header_of_api_versions_stays_the_oldest():
    """A client that knows nothing yet reads it; librdkafka 2.0 breaks otherwise."""
    asked = header.parse(frame(API_VERSIONS, 3))
    flexible = header.parse(frame(METADATA, 9))

    assert header.response_prefix(asked, 10) == struct.pack(">ii", 14, 42)
    assert header.response_prefix(flexible, 10) == struct.pack(">ii", 15, 42) + b"\0"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0", "no header"),
        (bytes(frame(9999, 0)), "API 9999"),
        (bytes(frame(PRODUCE, 2)), "Produce v2 is not served, v3 to v12"),
        (struct.pack(">hhih", METADATA, 1, 1, 500), "client id is longer"),
        (bytes(frame(METADATA, 1, b"\xff\xfe")), "UTF-8"),
    ],
)
def test_what_is_no_request_is_said_in_words(data: bytes, words: str):
    with pytest.raises(ProtocolError, match=words):
        header.parse(memoryview(data))


@given(data=st.binary(max_size=60))
def test_no_bytes_break_the_parser(data: bytes):
    with contextlib.suppress(ProtocolError):
        header.parse(memoryview(data))
