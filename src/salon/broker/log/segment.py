"""A segment: a file of batches and its two indexes, named by its first offset.

(``LogSegment``.) Bytes on disk are Kafka's. Writes are positional: a write that fails
half-way is cut off again, and the next begins where the last good one ended.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from salon.broker.errors import StorageError
from salon.broker.log import batch as batches
from salon.broker.log.batch import HEADER_SIZE, Batch
from salon.broker.log.index import OffsetIndex, TimeIndex

_SWAPPED = ".log.swap"
_SCAN_BYTES = 65_536
_FIND_BYTES = 8_192
"""What is read at a time to find one batch: two index intervals."""


def file_name(offset: int, suffix: str) -> str:
    """``00000000000000000042.log``: twenty digits sort like numbers."""
    return f"{offset:020d}{suffix}"


class Segment:
    """One segment of a partition.

    Args:
        folder: of the partition.
        base_offset: the first offset that it may hold.
        index_interval_bytes: log bytes between two index entries.
    """

    def __init__(
        self, folder: Path, base_offset: int, index_interval_bytes: int
    ) -> None:
        self.base_offset = base_offset
        self.path = folder / file_name(base_offset, ".log")
        self.index_path = folder / file_name(base_offset, ".index")
        self.time_path = folder / file_name(base_offset, ".timeindex")
        self.txn_path = folder / file_name(base_offset, ".txnindex")
        self._interval = index_interval_bytes
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self.size = os.fstat(self.fd).st_size
        self.index = OffsetIndex(self.index_path, base_offset)
        self.time_index = TimeIndex(self.time_path, base_offset)
        self.max_timestamp = self.time_index.last_timestamp
        self._max_timestamp_offset = base_offset
        self._since_index = 0
        self.unsynced = True

    # --- writing ---

    def append(self, data: memoryview, last_offset: int, max_timestamp: int) -> int:
        """Write one batch at the end.

        Returns:
            Its position.

        Raises:
            StorageError: ours; the disk refused, and the file is as before.
        """
        position = self.size
        self._write(data, position)
        self.size = position + len(data)
        self.unsynced = True
        self.note(position, len(data), last_offset, max_timestamp)
        return position

    def note(
        self, position: int, size: int, last_offset: int, max_timestamp: int
    ) -> None:
        """Index a batch that lies at ``position`` (also used by recovery)."""
        if max_timestamp > self.max_timestamp:
            self.max_timestamp = max_timestamp
            self._max_timestamp_offset = last_offset
        if self._since_index > self._interval:
            self.index.append(last_offset, position)
            self.time_index.append(self.max_timestamp, self._max_timestamp_offset)
            self._since_index = 0
        self._since_index += size

    def _write(self, data: memoryview, position: int) -> None:
        try:
            written = os.pwrite(self.fd, data, position)
            while written < len(data):
                written += os.pwrite(self.fd, data[written:], position + written)
        except OSError as error:
            os.ftruncate(self.fd, position)
            raise StorageError(f"{self.path.name}: {error.strerror}") from error

    # --- reading ---

    def read(self, position: int, size: int) -> bytes:
        return os.pread(self.fd, size, position)

    def find(self, offset: int) -> tuple[int, Batch] | None:
        """Position and header of the first batch that ends at ``offset`` or later."""
        start = self.index.lookup(offset)
        for position, batch in Scan(self, start, self.size, _FIND_BYTES):
            if batch.last_offset >= offset:
                return position, batch
        return None

    @property
    def first_timestamp(self) -> int:
        """Of the oldest batch; -1 when there is none."""
        return next((batch.base_timestamp for _, batch in self.scan(0)), -1)

    def scan(self, position: int, end: int | None = None) -> "Scan":
        """Headers from ``position`` to ``end`` (default: all there is)."""
        return Scan(self, position, self.size if end is None else end)

    # --- ending ---

    def truncate(self, position: int) -> None:
        """Cut everything from ``position``; the indexes are rebuilt by the caller."""
        os.ftruncate(self.fd, position)
        self.size = position
        self.unsynced = True

    def reset_indexes(self) -> None:
        """Forget the indexes; ``note`` fills them again."""
        self.index.clear()
        self.time_index.clear()
        self.max_timestamp = -1
        self._max_timestamp_offset = self.base_offset
        self._since_index = 0

    def seal(self) -> None:
        """No more is appended: note the largest timestamp for retention and lookups."""
        if self.max_timestamp >= 0:
            self.time_index.append(self.max_timestamp, self._max_timestamp_offset)

    def replace(self, old: "Sequence[Segment]") -> None:
        """Take the places of ``old``, neighbours of which the first has our base.

        Nothing of theirs that was aborted is in it, so it needs no ``.txnindex``.

        A crash anywhere leaves a whole log: the rename to ``.swap`` decides, and
        ``finish_swaps`` does at the next start what is left. (``replaceSegments``.)
        """
        first = old[0]
        for each in old:
            each.close()
        swap = first.path.with_suffix(_SWAPPED)
        self.path.rename(swap)
        for each in old:
            for path in (each.index_path, each.time_path, each.txn_path):
                path.unlink(missing_ok=True)
        for each in old[1:]:
            each.path.unlink()
        swap.rename(first.path)
        self.index_path.rename(first.index_path)
        self.time_path.rename(first.time_path)
        self.path = first.path
        self.index_path, self.time_path = first.index_path, first.time_path
        self.txn_path = first.txn_path

    def close(self) -> None:
        self.index.close()
        self.time_index.close()
        os.close(self.fd)

    def delete(self) -> None:
        self.close()
        for path in (self.path, self.index_path, self.time_path, self.txn_path):
            path.unlink(missing_ok=True)


class Scan:
    """Iterator over (position, header); ends where no whole header lies any more."""

    def __init__(
        self, segment: Segment, position: int, end: int, chunk: int = _SCAN_BYTES
    ) -> None:
        self._segment = segment
        self._position = position
        self._end = end
        self._chunk = b""
        self._chunk_at = position
        self._chunk_bytes = chunk

    def __iter__(self) -> "Scan":
        return self

    def __next__(self) -> tuple[int, Batch]:
        position = self._position
        if position + HEADER_SIZE > self._end:
            raise StopIteration
        at = position - self._chunk_at
        if at < 0 or at + HEADER_SIZE > len(self._chunk):
            size = min(self._chunk_bytes, self._end - position)
            self._chunk = self._segment.read(position, size)
            self._chunk_at = position
            at = 0
            if len(self._chunk) < HEADER_SIZE:
                raise StopIteration
        batch = batches.parse(self._chunk, at)
        if batch.size < HEADER_SIZE:
            raise StopIteration
        self._position = position + batch.size
        return position, batch


def finish_swaps(folder: Path) -> None:
    """Do what a crash left of ``Segment.replace``: the new file is whole and decides.

    The segments that it replaces begin from its own base on and before its end. Their
    indexes are wrong for it; without one it is scanned.
    """
    for swap in sorted(folder.glob(f"*{_SWAPPED}")):
        base = int(swap.name.removesuffix(_SWAPPED))
        end = _end_of(swap, base)
        for path in folder.glob("*.log"):
            if base <= int(path.stem) < end or int(path.stem) == base:
                for suffix in (".index", ".timeindex", ".txnindex", ".log"):
                    path.with_suffix(suffix).unlink(missing_ok=True)
        swap.rename(folder / file_name(base, ".log"))


def _end_of(path: Path, base: int) -> int:
    """The offset behind the last whole batch of a file."""
    end, position = base, 0
    with path.open("rb") as file:
        while len(head := file.read(HEADER_SIZE)) == HEADER_SIZE:
            batch = batches.parse(head)
            if batch.size < HEADER_SIZE:
                break
            end = batch.last_offset + 1
            position += batch.size
            file.seek(position)
    return end
