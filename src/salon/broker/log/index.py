"""Sparse indexes of a segment, in Kafka's file formats.

``.index``: (offset - base, position), 4 + 4 bytes, about one entry per
``index.interval.bytes`` of log. ``.timeindex``: (largest timestamp so far, offset -
base), 8 + 4 bytes. Both only grow, so they are arrays in memory and files that are
appended to. They are hints: whatever they lack is found by scanning batch headers, and
recovery builds them anew.
"""

import os
import struct
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path

_OFFSET_ENTRY = struct.Struct(">II")
_TIME_ENTRY = struct.Struct(">qI")


class OffsetIndex:
    """Where batches lie.

    Args:
        path: the ``.index`` file; made if missing.
        base_offset: of the segment.
    """

    def __init__(self, path: Path, base_offset: int) -> None:
        self._base = base_offset
        self._offsets = array("I")
        self._positions = array("I")
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        usable = len(data) - len(data) % _OFFSET_ENTRY.size
        for offset, position in _OFFSET_ENTRY.iter_unpack(data[:usable]):
            if self._offsets and offset <= self._offsets[-1]:
                break  # the zeros of a preallocated file
            self._offsets.append(offset)
            self._positions.append(position)

    def __len__(self) -> int:
        return len(self._offsets)

    def append(self, offset: int, position: int) -> None:
        """A batch whose last offset is ``offset`` lies at ``position``."""
        entry = _OFFSET_ENTRY.pack(offset - self._base, position)
        os.write(self._fd, entry)
        self._offsets.append(offset - self._base)
        self._positions.append(position)

    def lookup(self, offset: int) -> int:
        """A position at or before the batch that holds ``offset``."""
        i = bisect_left(self._offsets, offset - self._base) - 1
        return self._positions[i] if i >= 0 else 0

    @property
    def last_position(self) -> int:
        """Position of the last indexed batch; 0 if there is none."""
        return self._positions[-1] if self._positions else 0

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
        del self._offsets[:]
        del self._positions[:]

    def close(self) -> None:
        os.close(self._fd)


class TimeIndex:
    """When records were made.

    Args:
        path: the ``.timeindex`` file; made if missing.
        base_offset: of the segment.
    """

    def __init__(self, path: Path, base_offset: int) -> None:
        self._base = base_offset
        self._timestamps = array("q")
        self._offsets = array("I")
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        usable = len(data) - len(data) % _TIME_ENTRY.size
        for timestamp, offset in _TIME_ENTRY.iter_unpack(data[:usable]):
            if self._timestamps and timestamp <= self._timestamps[-1]:
                break
            self._timestamps.append(timestamp)
            self._offsets.append(offset)

    def append(self, timestamp: int, offset: int) -> None:
        """The largest timestamp up to ``offset`` is ``timestamp``."""
        if self._timestamps and timestamp <= self._timestamps[-1]:
            return
        os.write(self._fd, _TIME_ENTRY.pack(timestamp, offset - self._base))
        self._timestamps.append(timestamp)
        self._offsets.append(offset - self._base)

    def lookup(self, timestamp: int) -> int:
        """An offset before which every record is older than ``timestamp``."""
        i = bisect_right(self._timestamps, timestamp - 1) - 1
        return self._base + (self._offsets[i] if i >= 0 else 0)

    @property
    def last_timestamp(self) -> int:
        """The largest indexed timestamp; -1 if there is none."""
        return self._timestamps[-1] if self._timestamps else -1

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
        del self._timestamps[:]
        del self._offsets[:]

    def close(self) -> None:
        os.close(self._fd)
