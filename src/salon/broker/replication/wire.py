"""Fetch v12 as a follower speaks it: the other side of ``protocol.fetch``.

By name, without a fetch session, with the replica's id (KIP-595's ``diverging_epoch`` in
the answer). v13 and later name topics by id and v15 hides the replica id in a tag; between
brokers of one kind there is nothing to gain from that.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from salon.broker.protocol.primitives import Reader, Writer, uvarint

VERSION = 12
_WANTED = struct.Struct(">iiqiqib")
"""A partition of a request: the fields of ``Wanted``, and that there are no tags."""
_FETCHED = struct.Struct(">ihqqq")
"""A partition of an answer, up to what was aborted."""
_NOTHING = memoryview(b"")
Key = tuple[str, int]


class Wanted(NamedTuple):
    """One partition that a follower asks for."""

    key: Key
    leader_epoch: int
    offset: int
    last_epoch: int
    log_start: int
    max_bytes: int


class Fetched(NamedTuple):
    """One partition of the answer; ``records`` are whole or cut batches."""

    key: Key
    error: int
    high_watermark: int
    log_start: int
    diverging: tuple[int, int] | None
    records: memoryview


def encode_request(
    replica: int, max_wait_ms: int, min_bytes: int, max_bytes: int, all_: list[Wanted]
) -> bytes:
    """A request for partitions, grouped by topic."""
    w = Writer(compact=True)
    w.int32(replica)
    w.int32(max_wait_ms)
    w.int32(min_bytes)
    w.int32(max_bytes)
    w.int8(0)  # isolation_level: everything
    w.int32(0)  # session_id
    w.int32(-1)  # session_epoch: no session
    topics: dict[str, list[Wanted]] = {}
    for wanted in all_:
        topics.setdefault(wanted.key[0], []).append(wanted)
    w.array(len(topics))
    for topic, partitions in topics.items():
        w.string(topic)
        w.array(len(partitions))
        for each in partitions:
            w.out += _WANTED.pack(each.key[1], *each[1:], 0)
        w.tags()
    w.array(0)  # forgotten topics
    w.string("")  # rack_id
    w.tags()
    return bytes(w.out)


def decode_response(body: memoryview) -> tuple[int, Iterable[Fetched]]:
    """The error of the whole answer, and its partitions.

    Raises:
        ProtocolError: theirs; the bytes are no such answer.
    """
    r = Reader(body)
    r.int32()  # throttle_time_ms
    error = r.int16()
    r.int32()  # session_id
    found: list[Fetched] = []
    for _ in range(r.array_length(compact=True)):
        topic = r.string(compact=True)
        count = r.array_length(compact=True)
        found += [_partition(r, topic) for _ in range(count)]
        r.skip_tags()
    r.skip_tags()
    return error, found


def _partition(r: Reader, topic: str) -> Fetched:
    head = r.take(_FETCHED.size)
    index, error, high_watermark, _last_stable, log_start = _FETCHED.unpack(head)
    for _ in range(max(0, r.array_length(compact=True))):
        r.int64()  # an aborted transaction: the markers are in the log itself
        r.int64()
        r.skip_tags()
    r.int32()  # preferred_read_replica
    records = r.nullable_bytes(compact=True)
    diverging = None
    for tag, data in r.tags().items():
        if tag == 0:
            told = Reader(data)
            diverging = (told.int32(), told.int64())
    return Fetched(
        (topic, index), error, high_watermark, log_start, diverging, records or _NOTHING
    )


def frame(
    key: int, version: int, flexible: bool, correlation: int, body: bytes
) -> bytes:
    """A whole request of a broker to a broker, length prefix included."""
    w = Writer(compact=False)
    w.int16(key)
    w.int16(version)
    w.int32(correlation)
    w.string("broker")
    head = bytes(w.out) + (uvarint(0) if flexible else b"")
    return (len(head) + len(body)).to_bytes(4, "big") + head + body
