"""Codecs: what the clients' libraries write is read, and bombs do not go off."""

import gzip
import random

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from salon.broker.log import codecs

TEXT = b"one two three " * 5000
NOISE = bytes(random.Random(1).randbytes(200_000))
CODECS = (codecs.NONE, codecs.GZIP, codecs.SNAPPY, codecs.LZ4, codecs.ZSTD)


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=500) | st.binary(max_size=40).map(lambda b: b * 3000))
def test_what_is_packed_is_unpacked(codec: int, data: bytes):
    packed = memoryview(codecs.compress(codec, data))

    assert bytes(codecs.decompress(codec, packed)) == data


def test_what_the_libraries_of_clients_write_is_read():
    written = {
        codecs.GZIP: gzip.compress(TEXT),
        codecs.SNAPPY: snappy.compress(TEXT),
        codecs.LZ4: lz4.frame.compress(TEXT),
        codecs.ZSTD: zstandard.compress(TEXT),
    }
    for codec, packed in written.items():
        assert bytes(codecs.decompress(codec, memoryview(packed))) == TEXT


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # kafka-python's import
def test_what_we_write_is_read_by_the_libraries_of_clients():
    from kafka.codec import snappy_decode

    assert gzip.decompress(codecs.compress(codecs.GZIP, TEXT)) == TEXT
    assert snappy_decode(codecs.compress(codecs.SNAPPY, TEXT)) == TEXT
    assert lz4.frame.decompress(codecs.compress(codecs.LZ4, TEXT)) == TEXT
    assert lz4.frame.decompress(codecs.compress(codecs.LZ4, NOISE)) == NOISE
    told = lz4.frame.get_frame_info(codecs.compress(codecs.LZ4, TEXT))
    assert not told["block_linked"], "Java reads no such frames"
    assert zstandard.decompress(codecs.compress(codecs.ZSTD, TEXT)) == TEXT


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_bomb_is_refused(codec: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codecs, "MOST_BYTES", 100_000)
    bomb = memoryview(codecs.compress(codec, bytes(300_000)))

    with pytest.raises(ValueError, match=r"."):
        codecs.decompress(codec, bomb)


@pytest.mark.parametrize("codec", CODECS[1:])
@given(data=st.binary(max_size=80), cut=st.integers(0, 200))
def test_what_is_no_such_data_is_refused(codec: int, data: bytes, cut: int):
    packed = codecs.compress(codec, TEXT)
    for spoiled in (data, packed[: min(cut, len(packed) - 1)]):
        try:
            found = bytes(codecs.decompress(codec, memoryview(spoiled)))
        except ValueError:
            continue
        assert len(found) <= codecs.MOST_BYTES


def test_without_cramjam_only_pythons_own_are_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codecs, "_cramjam", lambda: None)

    assert [codecs.known(codec) for codec in CODECS] == [
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="not decoded here"):
        codecs.decompress(codecs.ZSTD, memoryview(b"x"))


def test_a_codec_that_nobody_knows_is_refused():
    assert not codecs.known(7)
    with pytest.raises(ValueError, match="type 7"):
        codecs.decompress(7, memoryview(b"x"))
