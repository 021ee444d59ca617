"""Produce, by hand: decoded without copying records, answered in one pass.

kio decodes well but writes ten times slower than needed here; it stays the oracle of
the tests (every version, both directions).
"""

import struct
from typing import NamedTuple

from salon.broker.protocol.primitives import Reader, uvarint

_USUAL = struct.Struct(">hhiih")  # no transactional id, acks, time-out, topics, name
_USUAL_PARTITION = struct.Struct(">iii")  # partitions, index, size of the records
_PARTITION = struct.Struct(">ihqqq")
_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")


class ProduceRequest(NamedTuple):
    """Produce v3 to v11."""

    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: list[tuple[str, list[tuple[int, memoryview | None]]]]


class PartitionResponse(NamedTuple):
    """What became of the records of one partition."""

    partition: int
    error: int
    base_offset: int = -1
    log_start_offset: int = -1
    message: str | None = None


def decode(buffer: memoryview, position: int, version: int) -> ProduceRequest:
    """A Produce body; the records stay in ``buffer``.

    Raises:
        ProtocolError: theirs; the bytes end early or lengths do not fit.
    """
    compact = version >= 9
    if not compact:
        usual = _decode_usual(buffer, position)
        if usual is not None:
            return usual
    r = Reader(buffer, position)
    transactional_id = r.nullable_string(compact=compact)
    acks = r.int16()
    timeout_ms = r.int32()
    topics = []
    for _ in range(r.array_length(compact=compact)):
        name = r.string(compact=compact)
        partitions = []
        for _ in range(r.array_length(compact=compact)):
            index = r.int32()
            partitions.append((index, r.nullable_bytes(compact=compact)))
            if compact:
                r.skip_tags()
        if compact:
            r.skip_tags()
        topics.append((name, partitions))
    if compact:
        r.skip_tags()
    return ProduceRequest(transactional_id, acks, timeout_ms, topics)


def _decode_usual(buffer: memoryview, position: int) -> ProduceRequest | None:
    """One batch for one partition, in no transaction, in two steps instead of ten.

    That is what a request holds when its cost per record matters. None for all other
    requests, broken ones included: those are decoded field by field.
    """
    try:
        no_id, acks, timeout_ms, topics, length = _USUAL.unpack_from(buffer, position)
        start = position + _USUAL.size
        stop = start + length
        partitions, index, size = _USUAL_PARTITION.unpack_from(buffer, stop)
        records = stop + _USUAL_PARTITION.size
        if (no_id, topics, partitions) != (-1, 1, 1) or length < 0 or size < 0:
            return None
        if records + size > len(buffer):
            return None
        name = str(buffer[start:stop], "utf-8")
    except (struct.error, UnicodeDecodeError):
        return None
    data = buffer[records : records + size]
    return ProduceRequest(None, acks, timeout_ms, [(name, [(index, data)])])


def encode(
    topics: list[tuple[str, list[PartitionResponse]]], version: int
) -> bytearray:
    """A Produce response body, v3 to v11."""
    compact = version >= 9
    out = bytearray(uvarint(len(topics) + 1) if compact else _I32.pack(len(topics)))
    for name, partitions in topics:
        raw = name.encode()
        if compact:
            out += uvarint(len(raw) + 1) + raw + uvarint(len(partitions) + 1)
        else:
            out += _I16.pack(len(raw)) + raw + _I32.pack(len(partitions))
        for p in partitions:
            # log_append_time is -1: timestamps are the producer's (CreateTime).
            fixed = _PARTITION.pack(
                p.partition, p.error, p.base_offset, -1, p.log_start_offset
            )
            out += fixed if version >= 5 else fixed[:-8]
            if version >= 8:
                out += _errors(p.message, compact=compact)
        if compact:
            out.append(0)
    out += b"\0\0\0\0"  # throttle_time_ms
    if compact:
        out.append(0)
    return out


def _errors(message: str | None, *, compact: bool) -> bytes:
    """``record_errors`` (always empty), ``error_message`` and the partition's tags."""
    if compact:
        if message is None:
            return b"\x01\0\0"
        raw = message.encode()
        return b"\x01" + uvarint(len(raw) + 1) + raw + b"\0"
    if message is None:
        return b"\0\0\0\0\xff\xff"
    raw = message.encode()
    return b"\0\0\0\0" + _I16.pack(len(raw)) + raw
