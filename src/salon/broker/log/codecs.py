"""Compression of record batches, for the few places that look into one.

A batch passes through the broker as it is. Compaction, and looking up a timestamp, need
its records. gzip is in Python; snappy, lz4 and zstd are ``cramjam``'s, and where it is
not installed such batches are left alone. Java frames snappy in blocks (xerial's
format), librdkafka writes it raw; both are read, and blocks are written, as Java does.

What a client compressed may be a bomb, so nothing is inflated beyond ``MOST_BYTES``.
"""

import struct
import zlib
from functools import cache
from typing import Any

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
MOST_BYTES = 64 << 20
"""A batch is inflated to at most this; a larger one is treated as one of a codec that
nobody knows. Kafka's default batch limit is 1 MB, compressed."""
_XERIAL = b"\x82SNAPPY\0"
_XERIAL_HEAD = _XERIAL + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK = 32 * 1024
_I32 = struct.Struct(">i")
_LZ4_HEAD = bytes.fromhex("04224d18 60 40 82")
"""Magic, version 1 with independent blocks and no checksums, blocks of 64 KiB, and the
checksum of these two bytes."""
_LZ4_BLOCK = 64 * 1024
_LZ4_PLAIN = 1 << 31
_U32_LITTLE = struct.Struct("<I")


@cache
def _cramjam() -> Any:
    """The module, imported when a batch first needs it; None where it is missing."""
    try:
        import cramjam
    except ImportError:  # those batches are kept whole
        return None
    return cramjam


def known(codec: int) -> bool:
    """Whether batches of that codec can be read and written."""
    return codec in (NONE, GZIP) or (codec <= ZSTD and _cramjam() is not None)


def decompress(codec: int, data: memoryview) -> memoryview:
    """The records of a batch.

    Raises:
        ValueError: the codec is not known here, the bytes are none of its, or they are
            more than ``MOST_BYTES``.
    """
    if codec == NONE:
        return data
    if not known(codec):
        raise ValueError(f"compression type {codec} is not decoded here")
    try:
        if codec == GZIP:
            return memoryview(_gunzip(data))
        if codec == SNAPPY:
            return memoryview(_unsnap(data))
        return _inflate(_cramjam().lz4 if codec == LZ4 else _cramjam().zstd, data)
    except (zlib.error, struct.error, _error()) as error:
        raise ValueError(f"compression type {codec}: {error}") from error


def compress(codec: int, data: bytes) -> bytes:
    """The records in that codec; it must be ``known``."""
    if codec == NONE:
        return data
    if codec == GZIP:
        packer = zlib.compressobj(wbits=31)
        return packer.compress(data) + packer.flush()
    if codec == SNAPPY:
        blocks = [_XERIAL_HEAD]
        for at in range(0, len(data), _XERIAL_BLOCK):
            block = bytes(_cramjam().snappy.compress_raw(data[at : at + _XERIAL_BLOCK]))
            blocks += [_I32.pack(len(block)), block]
        return b"".join(blocks)
    if codec == LZ4:
        return _lz4_frame(data)
    return bytes(_cramjam().zstd.compress(data))


def _lz4_frame(data: bytes) -> bytes:
    """A frame of blocks that do not depend on each other.

    Java's reader takes no others, and ``cramjam``'s frames are not of that kind.
    """
    frame = [_LZ4_HEAD]
    for at in range(0, len(data), _LZ4_BLOCK):
        plain = data[at : at + _LZ4_BLOCK]
        block = bytes(_cramjam().lz4.compress_block(plain, store_size=False))
        if len(block) < len(plain):
            frame += [_U32_LITTLE.pack(len(block)), block]
        else:
            frame += [_U32_LITTLE.pack(len(plain) | _LZ4_PLAIN), plain]
    return b"".join((*frame, _U32_LITTLE.pack(0)))


def _error() -> type[Exception]:
    module = _cramjam()
    found: type[Exception] = module.DecompressionError if module else zlib.error
    return found


def _gunzip(data: memoryview) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    found = unpacker.decompress(data, MOST_BYTES)
    if not unpacker.eof:
        raise ValueError("the gzip data is cut, or too much")
    return found


def _unsnap(data: memoryview) -> bytes:
    if data[: len(_XERIAL)] != _XERIAL:
        return _unsnap_block(data, 0)
    position, found = len(_XERIAL_HEAD), bytearray()
    while position < len(data):
        (size,) = _I32.unpack_from(data, position)
        position += _I32.size
        if not 0 <= size <= len(data) - position:
            raise ValueError("a snappy block is longer than the batch")
        found += _unsnap_block(data[position : position + size], len(found))
        position += size
    return bytes(found)


def _unsnap_block(block: memoryview, before: int) -> bytes:
    """Snappy says first how long it will be; cramjam allocates what it says."""
    if before + _cramjam().snappy.decompress_raw_len(bytes(block[:10])) > MOST_BYTES:
        raise ValueError("the snappy data is too much")
    return bytes(_cramjam().snappy.decompress_raw(block))


def _inflate(module: Any, data: memoryview) -> memoryview:
    """Into a buffer that grows until all fits: cramjam's own has no limit."""
    size = max(64 << 10, 8 * len(data))
    while True:
        size = min(size, MOST_BYTES)
        found = bytearray(size)
        try:
            return memoryview(found)[: module.decompress_into(data, found)]
        except _cramjam().DecompressionError as error:
            if size == MOST_BYTES or "whole buffer" not in str(error):
                raise
            size *= 8
