"""Record batches: checked, numbered, and otherwise left alone."""

import gzip
import struct

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from salon.broker.errors import ApiError, Code
from salon.broker.log import batch as batches
from salon.broker.log.batch import HEADER_SIZE

pairs = st.lists(
    st.tuples(st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=200)),
    min_size=1,
    max_size=20,
)


def resign(data: bytearray) -> memoryview:
    """Give changed bytes a right CRC, as a client that means it would."""
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    return memoryview(data)


def changed(position: int, value: bytes) -> memoryview:
    data = bytearray(batches.build([(b"k", b"v"), (b"k", b"w")], 1000))
    data[position : position + len(value)] = value
    return resign(data)


@given(records=pairs, timestamp=st.integers(0, 2**53), base=st.integers(0, 2**60))
def test_records_come_back_as_they_were(records, timestamp: int, base: int):
    data = batches.build(records, timestamp)
    batches.check(data, 1 << 20)
    batches.assign(data, base, 7)
    batch = batches.parse(data)
    decoded = list(batches.records(data, batch))

    assert batches.is_sound(data, batch), "numbering must not touch what the CRC covers"
    assert [(r.key, r.value) for r in decoded] == records
    assert [r.offset for r in decoded] == list(range(base, base + len(records)))
    assert {r.timestamp for r in decoded} == {timestamp}
    assert batch.leader_epoch == 7


def test_gzip_is_read_and_the_codecs_of_clients_are_left_to_them():
    plain = batches.build([(b"k", b"v" * 100)], 5)
    packed = bytearray(plain[:HEADER_SIZE]) + gzip.compress(plain[HEADER_SIZE:])
    struct.pack_into(">i", packed, 8, len(packed) - 12)
    struct.pack_into(">h", packed, 21, 1)
    data = resign(packed)
    batch = batches.check(data, 1 << 20)

    assert next(batches.records(data, batch)).value == b"v" * 100
    struct.pack_into(">h", packed, 21, 4)
    with pytest.raises(ValueError, match="compression type 4"):
        list(batches.records(data, batches.parse(data)))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (memoryview(b""), Code.INVALID_RECORD),
        (memoryview(b"\0" * 60), Code.INVALID_RECORD),
        (changed(16, b"\x01"), Code.UNSUPPORTED_FOR_MESSAGE_FORMAT),
        (changed(8, struct.pack(">i", 10_000)), Code.CORRUPT_MESSAGE),
        (changed(23, struct.pack(">i", 5)), Code.INVALID_RECORD),
        (changed(57, struct.pack(">i", 0)), Code.INVALID_RECORD),
        (changed(21, struct.pack(">h", 0x20)), Code.INVALID_RECORD),
        (changed(21, struct.pack(">h", 7)), Code.UNSUPPORTED_COMPRESSION_TYPE),
        (
            memoryview(bytearray(batches.build([(None, b"v")], 1)) * 2),
            Code.INVALID_RECORD,
        ),
    ],
)
def test_what_a_producer_may_not_send_gets_kafkas_code(data: memoryview, code: Code):
    with pytest.raises(ApiError) as caught:
        batches.check(data, 1 << 20)

    assert caught.value.code is code


def test_zstd_is_refused_to_clients_too_old_to_know_it():
    data = changed(21, struct.pack(">h", 4))
    batches.check(data, 1 << 20)

    with pytest.raises(ApiError, match="compression type 4"):
        batches.check(data, 1 << 20, zstd=False)


def test_a_batch_above_the_limit_names_the_limit():
    data = batches.build([(None, b"v" * 500)], 1)

    with pytest.raises(ApiError, match=r"max\.message\.bytes is 100") as caught:
        batches.check(data, 100)
    assert caught.value.code is Code.MESSAGE_TOO_LARGE


@given(position=st.integers(21, 90), flip=st.integers(1, 255))
def test_any_changed_byte_under_the_crc_is_noticed(position: int, flip: int):
    data = bytearray(batches.build([(b"key", b"value" * 10)], 1))
    data[position] ^= flip

    with pytest.raises(ApiError) as caught:
        batches.check(memoryview(data), 1 << 20)
    assert caught.value.code is Code.CORRUPT_MESSAGE
