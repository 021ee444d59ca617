"""Record batches, magic 2: what producers send, what lies on disk, what consumers get.

(Kafka documentation, "Record Batch"; KIP-98.) A batch passes through the broker as it
is: compressed or not, records undecoded. Two fields are the broker's, the base offset
and the leader epoch; both lie before the bytes that the CRC covers, so writing them
costs no new checksum.

Records are decoded only where the broker reads its own (``__consumer_offsets``) or
looks for a timestamp.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crc32c import crc32c

from salon.broker.errors import ApiError, Code
from salon.broker.log import codecs

HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = HEADER.size  # 61
_PREFIX = 12  # base offset and length, which ``length`` does not count
_CRC_FROM = 21
_OFFSET = struct.Struct(">q")
_EPOCH = struct.Struct(">i")

NO_PRODUCER = -1
_COMPRESSION = 0x07
_ZSTD = codecs.ZSTD
TRANSACTIONAL = 0x10
CONTROL = 0x20


class Batch(NamedTuple):
    """The header of one batch. ``size`` counts all of its bytes."""

    base_offset: int
    size: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record; sequences wrap around at 2**31."""
        return (self.base_sequence + self.last_offset_delta) & 0x7FFFFFFF

    @property
    def compression(self) -> int:
        return self.attributes & _COMPRESSION

    @property
    def decodable(self) -> bool:
        """Whether the broker knows the codec of the records."""
        return codecs.known(self.compression)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)


class RawRecord(NamedTuple):
    """One record as it lies in its batch, its length before it."""

    offset: int
    key: bytes | None
    tombstone: bool
    data: bytes


class Record(NamedTuple):
    """One decoded record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def parse(buffer: bytes | memoryview, position: int = 0) -> Batch:
    """The header at ``position``; nothing is checked. 61 bytes must be there."""
    base_offset, length, *rest = HEADER.unpack_from(buffer, position)
    return Batch(base_offset, length + _PREFIX, *rest)


def is_sound(buffer: bytes | memoryview, batch: Batch, position: int = 0) -> bool:
    """Whether a whole, unbroken batch lies at ``position``."""
    return (
        batch.magic == 2
        and HEADER_SIZE <= batch.size <= len(buffer) - position
        and batch.last_offset_delta >= 0
        and crc32c(memoryview(buffer)[position + _CRC_FROM : position + batch.size])
        == batch.crc
    )


def check(records: memoryview, max_bytes: int, *, zstd: bool = True) -> Batch:
    """The one batch that a producer sent, found whole.

    Raises:
        ApiError: theirs; with the code Kafka answers in that case.
    """
    if len(records) < HEADER_SIZE:
        raise ApiError(Code.INVALID_RECORD, "there is no record batch")
    batch = parse(records)
    if batch.magic != 2:
        raise ApiError(
            Code.UNSUPPORTED_FOR_MESSAGE_FORMAT,
            f"message format {batch.magic} is not accepted; version 2 is",
        )
    if batch.size != len(records):
        if HEADER_SIZE <= batch.size < len(records):
            raise ApiError(Code.INVALID_RECORD, "a partition takes one batch a request")
        raise ApiError(Code.CORRUPT_MESSAGE, "the batch's length is wrong")
    if batch.size > max_bytes:
        raise ApiError(
            Code.MESSAGE_TOO_LARGE,
            f"a batch of {batch.size} bytes; max.message.bytes is {max_bytes}",
        )
    if crc32c(records[_CRC_FROM:]) != batch.crc:
        raise ApiError(Code.CORRUPT_MESSAGE, "the batch's CRC is wrong")
    if batch.record_count < 1 or batch.last_offset_delta != batch.record_count - 1:
        raise ApiError(Code.INVALID_RECORD, "the batch's record count is wrong")
    attributes = batch.attributes
    if attributes & CONTROL:
        raise ApiError(Code.INVALID_RECORD, "clients do not write control batches")
    codec = attributes & _COMPRESSION
    if codec >= _ZSTD and (codec > _ZSTD or not zstd):
        raise ApiError(Code.UNSUPPORTED_COMPRESSION_TYPE, f"compression type {codec}")
    return batch


def assign(buffer: memoryview, base_offset: int, leader_epoch: int) -> None:
    """Write the broker's two fields into a batch."""
    _OFFSET.pack_into(buffer, 0, base_offset)
    _EPOCH.pack_into(buffer, _PREFIX, leader_epoch)


def build(
    records: Sequence[tuple[bytes | None, bytes | None]],
    timestamp: int,
    *,
    producer: tuple[int, int, int] = (NO_PRODUCER, -1, -1),
    attributes: int = 0,
) -> memoryview:
    """An uncompressed batch of keys and values, as a producer would send it.

    Args:
        records: keys and values.
        timestamp: of all of them, in milliseconds.
        producer: its id, its epoch and the first sequence.
        attributes: of the batch.
    """
    body = bytearray()
    for delta, (key, value) in enumerate(records):
        record = bytearray(b"\0")  # attributes
        record += _varint(0) + _varint(delta)
        for data in (key, value):
            record += _varint(-1 if data is None else len(data)) + (data or b"")
        record += _varint(0)  # headers
        body += _varint(len(record)) + record
    count = len(records)
    after_crc = struct.pack(
        ">hiqqqhii", attributes, count - 1, timestamp, timestamp, *producer, count
    )
    covered = after_crc + bytes(body)
    head = struct.pack(">qiibI", 0, 9 + len(covered), 0, 2, crc32c(covered))
    return memoryview(bytearray(head + covered))


def replace_records(buffer: memoryview, body: bytes, count: int) -> memoryview:
    """The batch in ``buffer`` with other records, all else as it was."""
    data = bytearray(buffer[:HEADER_SIZE]) + body
    struct.pack_into(">i", data, 8, len(data) - _PREFIX)
    struct.pack_into(">i", data, HEADER_SIZE - 4, count)
    struct.pack_into(">I", data, _CRC_FROM - 4, crc32c(memoryview(data)[_CRC_FROM:]))
    return memoryview(data)


def raw_records(buffer: memoryview, batch: Batch) -> Iterator[RawRecord]:
    """The records of one whole batch, undecoded but for their keys.

    Raises:
        ValueError: the codec is not known here, or a client wrote something else into
            its batch than records.
    """
    body = codecs.decompress(batch.compression, buffer[HEADER_SIZE : batch.size])
    position = 0
    try:
        for _ in range(batch.record_count):
            start = position
            size, position = _read_varint(body, position)
            stop = position + size
            if size < 1 or stop > len(body):
                raise ValueError(f"a record of {size} bytes")
            _, position = _read_varint(body, position + 1)  # attributes, timestamp
            offset_delta, position = _read_varint(body, position)
            key, position = _read_bytes(body, position)
            value_size, _ = _read_varint(body, position)
            data = bytes(body[start:stop])
            yield RawRecord(batch.base_offset + offset_delta, key, value_size < 0, data)
            position = stop
    except IndexError:
        raise ValueError("the records end early") from None


def records(buffer: memoryview, batch: Batch) -> Iterator[Record]:
    """The records of one whole batch.

    Raises:
        ValueError: as ``raw_records``.
    """
    body = codecs.decompress(batch.compression, buffer[HEADER_SIZE : batch.size])
    position = 0
    try:
        for _ in range(batch.record_count):
            _, position = _read_varint(body, position)
            position += 1  # attributes
            timestamp_delta, position = _read_varint(body, position)
            offset_delta, position = _read_varint(body, position)
            key, position = _read_bytes(body, position)
            value, position = _read_bytes(body, position)
            headers, position = _read_varint(body, position)
            for _ in range(2 * headers):
                _, position = _read_bytes(body, position)
            yield Record(
                batch.base_offset + offset_delta,
                batch.base_timestamp + timestamp_delta,
                key,
                value,
            )
    except IndexError:
        raise ValueError("the records end early") from None


def _varint(value: int) -> bytes:
    """Zigzag, seven bits a byte, the lowest first."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(buffer: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7


def _read_bytes(buffer: memoryview, position: int) -> tuple[bytes | None, int]:
    size, position = _read_varint(buffer, position)
    if size < 0:
        return None, position
    return bytes(buffer[position : position + size]), position + size
