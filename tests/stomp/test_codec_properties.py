"""The codec for frames and cuts that nobody thought of."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from salon.stomp.codec import Decoder, Limits, encode
from salon.stomp.errors import RemoteProtocolError
from salon.stomp.frames import CLIENT_COMMANDS, Frame, Version

VERSIONS = st.sampled_from(Version)
TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12
)
NAMES = TEXT.filter(lambda name: name not in ("", "content-length"))


@st.composite
def sends(draw):
    """A SEND whose body has NULs only where content-length says so (always)."""
    headers = draw(st.lists(st.tuples(NAMES, TEXT), max_size=4))
    return Frame("SEND", tuple(headers), draw(st.binary(max_size=40)))


def decoded(version, chunks):
    made = Decoder()
    made.version = version
    return [frame for chunk in chunks for frame in made.feed(chunk)]


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(sends(), max_size=4), st.lists(st.integers(0, 9999), max_size=9))
@settings(max_examples=150, deadline=None)
def test_encode_and_decode_are_inverse_for_any_cut(frames, places):
    for version in (Version.V11, Version.V12):
        data = b"\n".join(encode(f, version) for f in frames)
        expected = [
            Frame(
                f.command,
                (*f.headers, ("content-length", str(len(f.body))))
                if f.body
                else f.headers,
                f.body,
            )
            for f in frames
        ]

        assert decoded(version, cut(data, places)) == expected


@given(VERSIONS, st.binary(max_size=120), st.lists(st.integers(0, 9999), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_the_same_frames_or_error_for_any_cut(version, data, places):
    data = b"SEND\na:b\n\nx\0" + data

    assert _outcome(version, [data]) == _outcome(version, cut(data, places))


def _outcome(version, chunks, limits=None):
    made = Decoder(limits or Limits(body=30, head=40, line=30, headers=3))
    made.version = version
    frames = []
    try:
        for chunk in chunks:
            made.receive(chunk)
            while (frame := made.next_frame()) is not None:
                frames.append(frame)
    except RemoteProtocolError as error:
        return frames, str(error)
    return frames, None


def test_mutated_frames_cause_protocol_errors_only():
    """20,000 frames with bytes changed, cut, doubled: errors of theirs or frames."""
    chance = random.Random(5)
    seeds = [
        encode(
            Frame("SEND", (("destination", "/app/a"), ("receipt", "7")), b"x" * 30), v
        )
        for v in Version
    ]
    seeds += [
        b"CONNECT\naccept-version:1.0,1.1,1.2\nheart-beat:0,0\nhost:a\n\n\0",
        b"SUBSCRIBE\r\nid:0\r\ndestination:/topic/a\r\n\r\n\0\r\n",
        b"SEND\ndestination:/a\\c\ncontent-length:3\n\na\0b\0\n\n",
    ]
    pieces = [b"\0", b"\n", b"\r\n", b"\\", b":", b"content-length:9\n", b"\xff", b""]
    errors = 0
    for _ in range(20_000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data) + 1)
            data[at : at + chance.randrange(4)] = chance.choice(
                [*pieces, bytes([chance.randrange(256)])]
            )
        made = Decoder(Limits(body=100, head=200))
        made.version = chance.choice([None, *Version])
        try:
            for piece in cut(bytes(data), [chance.randrange(999)]):
                for frame in made.feed(piece):
                    assert frame.command in CLIENT_COMMANDS
        except RemoteProtocolError:
            errors += 1
        assert made.buffered <= len(data)

    assert errors > 1000
