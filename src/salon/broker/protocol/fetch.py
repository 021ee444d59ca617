"""Fetch, by hand: the answer is a list of buffers, so that records are not copied.

Fetch sessions (KIP-227) are declined by answering ``session_id`` 0, which the protocol
allows; forgotten topics are therefore read and ignored.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from salon.broker.log.file_region import FileRegion
from salon.broker.protocol.primitives import Reader, uvarint

Buffer = bytes | bytearray | memoryview | FileRegion
TopicKey = str | UUID
"""A topic's name before v13, its id from there."""

_HEAD = struct.Struct(">ihi")  # throttle_time_ms, error_code, session_id
_PARTITION = struct.Struct(">ihqq")
_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_ABORTED = struct.Struct(">qq")
_I64 = struct.Struct(">q")
_DIVERGING = struct.Struct(">iq")
_NO_TAGS = b"\0"


class FetchPartition(NamedTuple):
    """One partition that is asked for."""

    partition: int
    current_leader_epoch: int
    fetch_offset: int
    last_fetched_epoch: int
    max_bytes: int


class FetchRequest(NamedTuple):
    """Fetch v4 to v16. ``topics`` has names before v13 and topic ids from there."""

    replica_id: int
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    topics: list[tuple[TopicKey, list[FetchPartition]]]


class PartitionData(NamedTuple):
    """The answer for one partition; ``records`` are whole or cut batches."""

    partition: int
    error: int
    high_watermark: int = -1
    last_stable_offset: int = -1
    log_start_offset: int = -1
    records: tuple[bytes | memoryview | FileRegion, ...] = ()
    size: int = 0
    aborted: Sequence[tuple[int, int]] = ()
    """(producer id, first offset) of aborted transactions, for read_committed."""
    diverging: tuple[int, int] | None = None
    """To a follower: the epoch up to which it is right, and where that ended."""


def decode(buffer: memoryview, position: int, version: int) -> FetchRequest:
    """A Fetch body.

    Raises:
        ProtocolError: theirs; the bytes end early or lengths do not fit.
    """
    compact = version >= 12
    r = Reader(buffer, position)
    replica_id = r.int32() if version < 15 else -1
    max_wait_ms = r.int32()
    min_bytes = r.int32()
    max_bytes = r.int32()
    isolation_level = r.int8()
    if version >= 7:
        r.int32()  # session_id
        r.int32()  # session_epoch
    topics: list[tuple[TopicKey, list[FetchPartition]]] = []
    for _ in range(r.array_length(compact=compact)):
        topic = r.uuid() if version >= 13 else r.string(compact=compact)
        count = r.array_length(compact=compact)
        topics.append((topic, [_partition(r, version) for _ in range(count)]))
        if compact:
            r.skip_tags()
    if version >= 7:
        _skip_forgotten(r, version)
    if version >= 11:
        r.nullable_string(compact=compact)  # rack_id
    if compact:
        tags = r.tags()
        if version >= 15 and 1 in tags:
            replica_id = Reader(tags[1]).int32()
    return FetchRequest(
        replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, topics
    )


def _partition(r: Reader, version: int) -> FetchPartition:
    index = r.int32()
    current_leader_epoch = r.int32() if version >= 9 else -1
    fetch_offset = r.int64()
    last_fetched_epoch = r.int32() if version >= 12 else -1
    if version >= 5:
        r.int64()  # log_start_offset of a follower
    max_bytes = r.int32()
    if version >= 12:
        r.skip_tags()
    return FetchPartition(
        index, current_leader_epoch, fetch_offset, last_fetched_epoch, max_bytes
    )


def _skip_forgotten(r: Reader, version: int) -> None:
    compact = version >= 12
    for _ in range(r.array_length(compact=compact)):
        if version >= 13:
            r.uuid()
        else:
            r.string(compact=compact)
        for _ in range(r.array_length(compact=compact)):
            r.int32()
        if compact:
            r.skip_tags()


def grouped(
    asked: FetchRequest, answers: list[PartitionData]
) -> list[tuple[TopicKey, list[PartitionData]]]:
    """``answers``, one for each partition in order, by topic as the request was."""
    topics = []
    position = 0
    for named, partitions in asked.topics:
        stop = position + len(partitions)
        topics.append((named, answers[position:stop]))
        position = stop
    return topics


def encode(
    topics: list[tuple[TopicKey, list[PartitionData]]],
    version: int,
    *,
    error: int = 0,
) -> tuple[list[Buffer], int]:
    """A Fetch response body as buffers to be sent one after another, and its size."""
    compact = version >= 12
    head = _HEAD.pack(0, error, 0) if version >= 7 else b"\0\0\0\0"
    parts: list[Buffer] = []
    out = bytearray(head)
    size = 0
    out += _length(len(topics), compact=compact)
    for topic, partitions in topics:
        if isinstance(topic, UUID):
            out += topic.bytes
        else:
            raw = topic.encode()
            out += uvarint(len(raw) + 1) if compact else _I16.pack(len(raw))
            out += raw
        out += _length(len(partitions), compact=compact)
        for data in partitions:
            _write_partition(out, data, version)
            if data.records:
                parts.append(out)
                parts.extend(data.records)
                size += len(out) + data.size
                out = bytearray()
            if compact:
                out += _NO_TAGS if data.diverging is None else _tags(data.diverging)
        if compact:
            out.append(0)
    if compact:
        out.append(0)
    parts.append(out)
    return parts, size + len(out)


def _tags(diverging: tuple[int, int]) -> bytes:
    """The tagged field ``diverging_epoch`` (v12, KIP-595)."""
    return b"\1\0\x0d" + _DIVERGING.pack(*diverging) + b"\0"


def _length(count: int, *, compact: bool) -> bytes:
    return uvarint(count + 1) if compact else _I32.pack(count)


def _write_partition(out: bytearray, data: PartitionData, version: int) -> None:
    """Everything of a partition up to its records."""
    out += _PARTITION.pack(
        data.partition, data.error, data.high_watermark, data.last_stable_offset
    )
    if version >= 5:
        out += _I64.pack(data.log_start_offset)
    compact = version >= 12
    if not data.aborted:  # null: there are none to leave out
        out += b"\0" if compact else b"\xff\xff\xff\xff"
    else:
        out += _length(len(data.aborted), compact=compact)
        for producer_id, first_offset in data.aborted:
            out += _ABORTED.pack(producer_id, first_offset)
            if compact:
                out.append(0)
    if version >= 11:
        out += b"\xff\xff\xff\xff"  # preferred_read_replica
    # No records are an empty set, never null: old clients do not expect null.
    out += uvarint(data.size + 1) if version >= 12 else _I32.pack(data.size)
