"""The newest batches of a partition, in memory.

A chat reads what was written a moment ago. The batches that producers sent are kept, up
to a number of bytes, and handed to consumers without touching the file. They are views
of request frames where a frame is large and mostly this batch, and copies where it is
not: a view of a small frame costs more than the bytes it shows. What CPython needs for
an entry is counted too, so the cache never holds much more than its capacity.
"""

from bisect import bisect_left

from salon.broker.log.batch import Batch

_VIEWED = 4096
"""Bytes from which a batch is kept as a view; about 500 go with each view."""
_ENTRY = 96
"""Bytes that an entry costs beside its batch: two list slots, an int, an object's head."""


class TailCache:
    """A contiguous run of batches that ends with the last one appended.

    Args:
        capacity: bytes that are kept, those of the bookkeeping included.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._last_offsets: list[int] = []
        self._buffers: list[bytes | memoryview] = []
        self._start = 0  # entries before it are dropped and swept now and then
        self._first_offset = 0
        self.size = 0

    def add(self, data: memoryview, batch: Batch) -> None:
        """Keep an appended batch; it must follow the one before."""
        if len(data) + _ENTRY > self._capacity:
            self.clear()
            return
        if self._start == len(self._buffers):
            self.clear()
            self._first_offset = batch.base_offset
        whole = data.obj
        size = len(data)
        mostly = isinstance(whole, bytearray) and 2 * size > len(whole)
        self._buffers.append(data if mostly and size >= _VIEWED else bytes(data))
        self._last_offsets.append(batch.last_offset)
        self.size += size + _ENTRY
        while self.size > self._capacity:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        start = self._start
        self.size -= len(self._buffers[start]) + _ENTRY
        self._buffers[start] = b""
        self._first_offset = self._last_offsets[start] + 1
        self._start = start = start + 1
        if start > 1024 and 2 * start > len(self._buffers):
            del self._buffers[:start], self._last_offsets[:start]
            self._start = 0

    def read(
        self, offset: int, limit: int, max_bytes: int, *, at_least_one: bool
    ) -> tuple[list[bytes | memoryview], int] | None:
        """Whole batches from the one that holds ``offset``, all before ``limit``.

        Returns:
            The batches and their size; None when they are not here.
        """
        if offset < self._first_offset or self._start == len(self._buffers):
            return None
        found: list[bytes | memoryview] = []
        size = 0
        i = bisect_left(self._last_offsets, offset, self._start)
        while i < len(self._buffers) and self._last_offsets[i] < limit:
            buffer = self._buffers[i]
            size += len(buffer)
            if size > max_bytes and (found or not at_least_one):
                size -= len(buffer)
                break
            found.append(buffer)
            i += 1
        return found, size

    def clear(self) -> None:
        self._buffers.clear()
        self._last_offsets.clear()
        self._start = 0
        self.size = 0
