"""The log of one partition: segments, offsets, and what of it is on the platter.

(``UnifiedLog``.) Vocabulary: the *log end offset* is the offset of the next record; the
*flushed offset* is the end of what a power cut cannot take; the *high watermark* is the
end of what consumers may see and lives one level up, in ``replicas``.

One thread, the broker's loop, appends and reads. Only ``Flush.run`` runs elsewhere; it
touches nothing but file descriptors that ``begin_flush`` handed to it.
"""

import logging
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from salon.broker.config import TopicConfig
from salon.broker.errors import ApiError, Code, StorageError
from salon.broker.log import batch as batches
from salon.broker.log import checkpoints, transactions
from salon.broker.log.batch import Batch, Record
from salon.broker.log.file_region import FileRegion
from salon.broker.log.producers import Producers
from salon.broker.log.recovery import recover
from salon.broker.log.segment import Segment, file_name, finish_swaps
from salon.broker.log.tail_cache import TailCache
from salon.broker.log.transactions import Aborted, AbortedIndex, Marker

log = logging.getLogger(__name__)

FLUSHED_OFFSET = "flushed-offset"
_OFFSET = struct.Struct(">q")
_SENDFILE_FROM = 32_768
"""Smaller reads are copied: two system calls more would cost more than the copies."""
_FOR_EVER_MS = 2**63
_MAX_RELATIVE = 2**31 - 1
_INDEX_MAX_POSITION = 2**31 - 1


class LogOffset(NamedTuple):
    """An offset and where its batch begins (``LogOffsetMetadata``)."""

    offset: int
    segment: int
    position: int


class Slice(NamedTuple):
    """What a read found: whole batches, save perhaps the last, and their size."""

    start: LogOffset
    parts: tuple[bytes | memoryview | FileRegion, ...]
    size: int


class Flush:
    """One fdatasync of everything appended before it was begun."""

    __slots__ = ("_checkpoint_fd", "_fds", "_folder", "end", "segments")

    def __init__(
        self,
        end: LogOffset,
        segments: list[Segment],
        folder: Path | None,
        checkpoint_fd: int,
    ) -> None:
        self.end = end
        self.segments = segments
        self._fds = [segment.fd for segment in segments]
        self._folder = folder
        self._checkpoint_fd = checkpoint_fd

    def run(self) -> None:
        """Flush; blocks for a disk's time, so call it in a thread.

        Raises:
            OSError: ours; what the kernel said. Never try again: after a failed fsync
                the pages may be marked clean, and a second one would lie.
        """
        for fd in self._fds:
            os.fdatasync(fd)
        if self._folder is not None:
            checkpoints.sync_folder(self._folder)
        # Noted after the data is safe, and not flushed itself: an older note is only
        # more careful.
        os.pwrite(self._checkpoint_fd, _OFFSET.pack(self.end.offset), 0)


class PartitionLog:
    """One partition's records.

    Args:
        folder: ``<data>/<topic>-<partition>``; made if missing.
        config: of the topic.
        cache_bytes: newest bytes kept in memory.
        clean: whether the last shutdown was clean, so that nothing needs checking.
        recovery_point: an offset below which all is known to be flushed.
        log_start: an offset below which all is deleted.
        cleaned_offset: an offset below which all is compacted.
    """

    def __init__(
        self,
        folder: Path,
        config: TopicConfig,
        *,
        cache_bytes: int = 1 << 20,
        clean: bool = False,
        recovery_point: int = 0,
        log_start: int = 0,
        cleaned_offset: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = config
        self.producers = Producers()
        self.aborted = AbortedIndex()
        self._unstable = LogOffset(-1, -1, -1)
        self.failure: str | None = None
        self.damaged_at: int | None = None
        self.cleaning = False
        self._rolled_ms = -_FOR_EVER_MS
        self.cleaned_offset = cleaned_offset
        self._cache = TailCache(cache_bytes)
        self._checkpoint_fd = os.open(
            folder / FLUSHED_OFFSET, os.O_RDWR | os.O_CREAT, 0o644
        )
        self._unsynced_folder = False
        finish_swaps(folder)
        self.epochs = checkpoints.read_epochs(folder / checkpoints.LEADER_EPOCHS)
        self.segments = self._open_segments()
        if not self.epochs:
            self._begin_epoch(0, self.segments[0].base_offset)
        self.start_offset = self.segments[0].base_offset
        for segment in self.segments:
            for entry in transactions.read_entries(segment.txn_path):
                self.aborted.add(entry)
        flushed = max(recovery_point, self._noted_flushed_offset())
        if clean:
            self._load(flushed)
        else:
            self._recover(flushed)
        self.flushed = self.end
        self.start_offset = max(self.start_offset, min(log_start, self.end.offset))

    # --- opening ---

    def _open_segments(self) -> list[Segment]:
        interval = self.config.index_interval_bytes
        bases = sorted(int(path.stem) for path in self.folder.glob("*.log"))
        if not bases:
            self._unsynced_folder = True
        return [Segment(self.folder, base, interval) for base in bases or [0]]

    def _noted_flushed_offset(self) -> int:
        data = os.pread(self._checkpoint_fd, _OFFSET.size, 0)
        return _OFFSET.unpack(data)[0] if len(data) == _OFFSET.size else 0

    def _load(self, flushed: int) -> None:
        """After a clean shutdown: only the end has to be found."""
        last = self.segments[-1]
        next_offset = last.base_offset
        position = last.index.last_position
        for at, batch in last.scan(position):
            next_offset = batch.last_offset + 1
            position = at + batch.size
        if position != last.size:
            log.warning("%s: not closed cleanly after all", self.folder.name)
            self._recover(flushed)
            return
        self.end = LogOffset(next_offset, last.base_offset, last.size)
        self._restore_producers(next_offset)

    def _restore_producers(self, up_to: int) -> None:
        """Producer states from the newest usable snapshot and the log after it."""
        start = self._load_snapshot()
        for segment in self.segments:
            following = segment.base_offset + _MAX_RELATIVE
            if following > start:
                found = segment.find(max(start, segment.base_offset))
                for at, batch in segment.scan(found[0]) if found else ():
                    if start <= batch.base_offset < up_to:
                        self._remember(segment, at, batch)
        self.producers.ended.clear()

    def _remember(self, segment: Segment, position: int, batch: Batch) -> None:
        """What a batch in the log says about its producer."""
        marker = None
        if batch.is_control:
            data = memoryview(segment.read(position, batch.size))
            marker = transactions.decode(data, batch)
        self.producers.update(batch, marker)

    def _load_snapshot(self) -> int:
        """Offset up to which the loaded snapshot reaches."""
        for path in sorted(self.folder.glob("*.snapshot"), reverse=True):
            if self.producers.load(path):
                return int(path.stem)
            log.warning(
                "%s: producer snapshot %s is broken", self.folder.name, path.name
            )
        return self.start_offset

    def _recover(self, flushed: int) -> None:
        """After a crash: check everything from the segment of the flushed offset on."""
        for path in self.folder.glob("*.snapshot"):
            if int(path.stem) > flushed:
                path.unlink()
        self.producers = Producers()
        first = max(
            bisect_right([s.base_offset for s in self.segments], flushed) - 1, 0
        )
        snapshot = self._load_snapshot()
        for segment in self.segments[:first]:
            for at, batch in segment.scan(0):
                if batch.base_offset >= snapshot:
                    self._remember(segment, at, batch)
        self._check_segments(first, snapshot, flushed)
        self.producers.ended.clear()
        following = [segment.base_offset for segment in self.segments[first + 1 :]]
        for segment, end in zip(
            self.segments[first:], [*following, self.end.offset], strict=False
        ):
            os.fdatasync(segment.fd)
            segment.unsynced = False
            entries = self.aborted.of(segment.base_offset, end)
            transactions.write_entries(segment.txn_path, entries)

    def _check_segments(self, first: int, snapshot: int, flushed: int) -> None:
        next_offset = self.segments[first].base_offset

        self.aborted.keep_before(max(snapshot, next_offset))
        checked = self.segments[first]

        def found(batch: Batch, position: int) -> None:
            if batch.base_offset >= snapshot:
                marker = None
                if batch.is_control:
                    data = memoryview(checked.read(position, batch.size))
                    marker = transactions.decode(data, batch)
                    self._note_end(batch, marker)
                self.producers.update(batch, marker)

        for i, segment in enumerate(self.segments[first:], first):
            checked = segment
            if segment.base_offset < next_offset:
                break
            result = recover(segment, max(next_offset, segment.base_offset), found)
            next_offset = max(next_offset, result.next_offset)
            self.end = LogOffset(next_offset, segment.base_offset, result.end)
            if not result.whole:
                self._stop_at(i, result.end, next_offset, flushed)
                return

    def _stop_at(self, i: int, position: int, offset: int, flushed: int) -> None:
        """Unsound from here: cut a torn tail, or stop at damage."""
        segment = self.segments[i]
        name = f"{self.folder.name}: {segment.path.name}"
        if offset < flushed:
            self.damaged_at = offset
            self.failure = (
                f"{name} is damaged at byte {position}: records from offset {offset} to "
                f"at least {flushed - 1} were flushed and cannot be read; the partition "
                "is readable up to there and takes no new records"
            )
            log.error(self.failure)
            return
        cut = segment.size - position
        cut += sum(later.size for later in self.segments[i + 1 :])
        log.warning("%s: %d bytes of a torn tail cut at offset %d", name, cut, offset)
        segment.truncate(position)
        for later in self.segments[i + 1 :]:
            later.delete()
        del self.segments[i + 1 :]

    # --- appending ---

    @property
    def active(self) -> Segment:
        return self.segments[-1]

    def append(self, data: memoryview, batch: Batch, leader_epoch: int = 0) -> Batch:
        """Write a checked batch at the end, giving it its offsets.

        Args:
            data: the batch; its base offset and leader epoch are written into it.
            batch: its header.
            leader_epoch: of this broker's leadership.

        Returns:
            The header as it is now.

        Raises:
            StorageError: ours; nothing was written.
        """
        if self.failure is not None:
            raise StorageError(self.failure)
        base = self.end.offset
        self._roll_if_full(len(data), base + batch.last_offset_delta)
        batches.assign(data, base, leader_epoch)
        if not self.epochs or self.epochs[-1][0] < leader_epoch:
            self._begin_epoch(leader_epoch, base)
        _, size, _, *rest = batch  # twice as fast as _replace
        batch = Batch(base, size, leader_epoch, *rest)
        self._put(data, batch)
        return batch

    def append_as_follower(self, data: memoryview, batch: Batch) -> None:
        """Write a leader's batch as it is: its offsets and its epoch are the leader's.

        Args:
            data: the batch.
            batch: its header; it begins at our end, or later where the leader has
                compacted away what lay between.

        Raises:
            StorageError: ours; nothing was written.
        """
        if self.failure is not None:
            raise StorageError(self.failure)
        epoch = batch.leader_epoch
        self._roll_if_full(len(data), batch.last_offset)
        if not self.epochs or self.epochs[-1][0] < epoch:
            self._begin_epoch(epoch, batch.base_offset)
        self._put(data, batch)

    def _put(self, data: memoryview, batch: Batch) -> None:
        """A batch that has its offsets, at the end."""
        segment = self.segments[-1]
        segment.append(data, batch.last_offset, batch.max_timestamp)
        self.end = LogOffset(batch.last_offset + 1, segment.base_offset, segment.size)
        self._cache.add(data, batch)
        marker = None
        if batch.is_control:
            marker = transactions.decode(data, batch)
            aborted = self._note_end(batch, marker)
            if aborted is not None:
                transactions.append_entry(segment.txn_path, aborted)
        self.producers.update(batch, marker)

    def truncate_to(self, offset: int) -> None:
        """Cut what lies at ``offset`` and beyond: the leader never had it (KIP-101).

        No flush of this log may be running. What was noted as flushed is lowered
        first, so that a crash in between is no damage.

        Raises:
            StorageError: ours; a file cannot be cut.
        """
        if offset >= self.end.offset:
            self._forget_epochs(offset)  # those that were begun and never written in
            return
        try:
            kept = min(offset, self._noted_flushed_offset())
            os.pwrite(self._checkpoint_fd, _OFFSET.pack(kept), 0)
            os.fdatasync(self._checkpoint_fd)
            while len(self.segments) > 1 and self.segments[-1].base_offset >= offset:
                self.segments.pop().delete()
            found = self.active.find(offset)
            if found is not None:
                self.active.truncate(found[0])
            self._forget_from(offset)
            self._recover(kept)
        except OSError as error:
            raise StorageError(f"{self.folder.name}: {error.strerror}") from error
        self.flushed = self.end  # recovery has flushed what it found
        self._unstable = LogOffset(-1, -1, -1)

    def restart_at(self, offset: int) -> None:
        """Begin anew at ``offset``: the leader has deleted all that we have.

        Raises:
            StorageError: ours; a file cannot be made.
        """
        try:
            while self.segments:
                self.segments.pop().delete()
            self.segments = [
                Segment(self.folder, offset, self.config.index_interval_bytes)
            ]
            self.end = LogOffset(offset, offset, 0)
            self.start_offset = offset
            self.epochs = self.epochs[-1:]
            for path in self.folder.glob("*.snapshot"):
                path.unlink()  # their transactions ended in what is not here any more
            self.aborted = AbortedIndex()
            self._forget_from(offset)
            self._recover(offset)
        except OSError as error:
            raise StorageError(f"{self.folder.name}: {error.strerror}") from error
        self.flushed = self.end
        self._unstable = LogOffset(-1, -1, -1)
        self._unsynced_folder = True

    def _forget_from(self, offset: int) -> None:
        """Epochs, snapshots and cached batches that belong to what is cut."""
        self._cache.clear()
        self._forget_epochs(offset)
        for path in self.folder.glob("*.snapshot"):
            if int(path.stem) > offset:
                path.unlink()

    def _forget_epochs(self, offset: int) -> None:
        kept = [each for each in self.epochs if each[1] < offset]
        if not kept:  # the first stays: whatever is written next belongs to some epoch
            kept = [(self.epochs[0][0], min(self.epochs[0][1], offset))]
        if kept != self.epochs:
            path = self.folder / checkpoints.LEADER_EPOCHS
            checkpoints.write_epochs(path, kept)
            self.epochs = kept

    def begin_epoch(self, epoch: int) -> None:
        """This broker leads from here on, under ``epoch``.

        Raises:
            StorageError: ours; the epoch cannot be noted.
        """
        if self.epochs[-1][0] < epoch:
            self._begin_epoch(epoch, self.end.offset)

    def _note_end(self, batch: Batch, marker: Marker) -> Aborted | None:
        """A marker: remember an abort that has records here."""
        first = self.producers.open.get(batch.producer_id)
        if first is None or marker.commit:
            return None
        others = [o for p, o in self.producers.open.items() if p != batch.producer_id]
        stable = min(others, default=batch.base_offset)
        entry = Aborted(batch.producer_id, first, batch.last_offset, stable)
        self.aborted.add(entry)
        return entry

    def last_stable(self, limit: LogOffset) -> LogOffset:
        """The end of what is committed or aborted for good, at most ``limit``.

        Args:
            limit: the high watermark.
        """
        if not self.producers.unstable:
            return limit
        first = self.producers.first_unstable(limit.offset)
        if first >= limit.offset:
            return limit
        first = max(first, self.start_offset)
        if self._unstable.offset != first:
            self._unstable = self.locate(first)
        return self._unstable

    def segments_replaced(self, old: list[Segment], new: Segment) -> None:
        """Compaction has made one of these neighbours."""
        at = self.segments.index(old[0])
        self.segments[at : at + len(old)] = [new]
        self._unstable = LogOffset(-1, -1, -1)  # batches moved about
        self._unsynced_folder = True

    def locate(self, offset: int) -> LogOffset:
        """Where the batch that holds ``offset`` lies."""
        i = bisect_right([s.base_offset for s in self.segments], offset) - 1
        for segment in self.segments[max(i, 0) :]:
            found = segment.find(offset)
            if found is not None:
                position, batch = found
                return LogOffset(batch.base_offset, segment.base_offset, position)
        return self.end

    def _begin_epoch(self, epoch: int, start: int) -> None:
        self.epochs.append((epoch, start))
        try:
            path = self.folder / checkpoints.LEADER_EPOCHS
            checkpoints.write_epochs(path, self.epochs)
        except OSError as error:
            self.epochs.pop()
            raise StorageError(f"{self.folder.name}: {error.strerror}") from error

    def _roll_if_full(self, size: int, last_offset: int) -> None:
        active = self.active
        if active.size and (
            active.size + size > self.config.segment_bytes
            or last_offset - active.base_offset > _MAX_RELATIVE
            or active.size + size > _INDEX_MAX_POSITION
        ):
            self.roll()

    def roll(self) -> None:
        """Close the active segment and begin the next.

        Raises:
            StorageError: ours; the active segment stays.
        """
        try:
            segment = Segment(
                self.folder, self.end.offset, self.config.index_interval_bytes
            )
            self.save_producers()
        except OSError as error:
            raise StorageError(f"{self.folder.name}: {error.strerror}") from error
        self.active.seal()
        self.segments.append(segment)
        self._unsynced_folder = True
        self.end = LogOffset(self.end.offset, segment.base_offset, 0)

    def fail(self, reason: str) -> None:
        """The disk lost something that it had taken: no more records."""
        if self.failure is None:
            self.failure = f"{self.folder.name}: {reason}"
            log.error("no more records: %s", self.failure)

    # --- flushing ---

    @property
    def needs_flush(self) -> bool:
        return self.flushed.offset < self.end.offset and self.failure is None

    def begin_flush(self) -> Flush:
        """What has to be synced for everything appended so far to be safe."""
        unsynced = [segment for segment in self.segments if segment.unsynced]
        for segment in unsynced:
            segment.unsynced = False
        folder = self.folder if self._unsynced_folder else None
        self._unsynced_folder = False
        return Flush(self.end, unsynced, folder, self._checkpoint_fd)

    def end_flush(self, flush: Flush) -> None:
        """``flush`` has run: what it covers is safe."""
        if flush.end.offset > self.flushed.offset:
            self.flushed = flush.end

    # --- reading ---

    def read(
        self,
        offset: int,
        max_bytes: int,
        limit: LogOffset,
        *,
        at_least_one: bool,
        regions: bool = False,
    ) -> Slice:
        """Batches from the one that holds ``offset``, none at or beyond ``limit``.

        Args:
            offset: between the start offset and the end.
            max_bytes: size of the answer.
            limit: the high watermark, or the end.
            at_least_one: give the first batch even if it alone is larger, because a
                consumer that gets nothing would ask for the same for ever.
            regions: whether a large part may be a ``FileRegion``.

        Raises:
            ApiError: theirs; OFFSET_OUT_OF_RANGE.
        """
        if not self.start_offset <= offset <= self.end.offset:
            raise ApiError(
                Code.OFFSET_OUT_OF_RANGE,
                f"offset {offset}; {self.start_offset} to {self.end.offset} are here",
            )
        if offset >= limit.offset:
            return Slice(limit, (), 0)
        cached = self._cache.read(
            offset, limit.offset, max_bytes, at_least_one=at_least_one
        )
        if cached is not None:
            parts, size = cached
            return Slice(LogOffset(offset, -1, -1), tuple(parts), size)
        return self._read_file(offset, max_bytes, limit, at_least_one, regions)

    def _read_file(
        self,
        offset: int,
        max_bytes: int,
        limit: LogOffset,
        at_least_one: bool,
        regions: bool,
    ) -> Slice:
        first = max(bisect_right([s.base_offset for s in self.segments], offset) - 1, 0)
        for segment in self.segments[first:]:
            if segment.base_offset > limit.segment:
                break
            found = segment.find(offset)
            if found is None:
                continue  # its last batches were cut or compacted away
            position, batch = found
            end = (
                limit.position if segment.base_offset == limit.segment else segment.size
            )
            size = min(max_bytes, end - position)
            if size < batch.size:
                if not at_least_one:
                    break
                size = min(batch.size, end - position)
            start = LogOffset(batch.base_offset, segment.base_offset, position)
            if regions and size >= _SENDFILE_FROM:
                return Slice(start, (FileRegion(segment.fd, position, size),), size)
            data = segment.read(position, size)
            return Slice(start, (data,), len(data)) if data else Slice(start, (), 0)
        return Slice(LogOffset(offset, -1, -1), (), 0)

    def batches(self, start: int, end: int) -> Iterator[tuple[Batch, memoryview]]:
        """Whole batches that begin in [start, end): for the broker's own topics."""
        for segment in self.segments:
            for position, batch in segment.scan(0):
                if batch.base_offset >= end:
                    return
                if batch.last_offset >= start:
                    yield batch, memoryview(segment.read(position, batch.size))

    def find_timestamp(self, timestamp: int, end: int) -> Record | None:
        """The first record before ``end`` that is as young as ``timestamp``.

        In a batch whose codec only clients know, the batch's first record stands for
        all of it: never too late, at most a batch too early.
        """
        for segment in self.segments:
            if segment is not self.active and segment.max_timestamp < timestamp:
                continue
            found = segment.find(segment.time_index.lookup(timestamp))
            for position, batch in segment.scan(found[0]) if found else ():
                if batch.base_offset >= end:
                    return None
                if batch.max_timestamp >= timestamp:
                    return _first_since(segment, position, batch, timestamp)
        return None

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """The largest known epoch up to ``epoch``, and the offset at which it ended."""
        found = -1
        for known, start in self.epochs:
            if known > epoch:
                return (found, start) if found >= 0 else (-1, -1)
            found = known
        return (found, self.end.offset) if found == epoch else (-1, -1)

    # --- ending ---

    def delete_old(self, now_ms: int) -> int:
        """Drop whole segments that retention no longer wants, oldest first.

        The active segment goes, too, when all of it is too old: a new one is begun.

        Args:
            now_ms: wall-clock milliseconds, as in the records.

        Returns:
            How many segments went.
        """
        deleted = 0
        newest = self.active.max_timestamp
        too_old = newest >= 0 and 0 <= self.config.retention_ms < now_ms - newest
        if self._all_safe and too_old:
            self.roll()
        total = self.size
        # What is not flushed yet may be in a running flush: it stays for now.
        flushed = self.flushed.offset
        while (
            len(self.segments) > 1
            and self.segments[1].base_offset <= flushed
            and not self.cleaning
        ):
            oldest = self.segments[0]
            by_size = 0 <= self.config.retention_bytes <= total - oldest.size
            age = now_ms - oldest.max_timestamp
            by_age = 0 <= self.config.retention_ms < age and oldest.max_timestamp >= 0
            if not (by_size or by_age):
                break
            total -= oldest.size
            del self.segments[0]
            self.start_offset = max(self.start_offset, self.segments[0].base_offset)
            oldest.delete()
            deleted += 1
        self.aborted.drop_before(self.start_offset)
        return deleted

    @property
    def _all_safe(self) -> bool:
        """There are records in the active segment, and all of them are flushed."""
        unhurt = self.failure is None and not self.cleaning
        return (
            unhurt and self.active.size > 0 and self.flushed.offset == self.end.offset
        )

    def roll_if_old(self, now_ms: int) -> None:
        """Close the active segment when its oldest record is ``segment.ms`` old.

        At most once in ``segment.ms``: records may say that they are of 1970, all of
        them, and would otherwise get a segment of their own with every call.

        Raises:
            StorageError: ours; the active segment stays.
        """
        if self._all_safe:
            first = self.active.first_timestamp
            before = now_ms - self._most_age_ms
            if 0 <= first < before and self._rolled_ms <= before:
                self.roll()
                self._rolled_ms = now_ms

    @property
    def _most_age_ms(self) -> int:
        """``segment.ms``, or less when records must not stay uncompacted for so long."""
        config = self.config
        if "compact" in config.cleanup_policy:
            return min(config.segment_ms, config.max_compaction_lag_ms)
        return config.segment_ms

    def delete_before(self, offset: int) -> None:
        """Drop whole segments that end at ``offset`` or earlier and are flushed."""
        offset = min(offset, self.flushed.offset)
        while (
            len(self.segments) > 1
            and self.segments[1].base_offset <= offset
            and not self.cleaning
        ):
            self.segments.pop(0).delete()
        self.start_offset = max(self.start_offset, self.segments[0].base_offset)
        self.aborted.drop_before(self.start_offset)

    def delete_records(self, offset: int) -> None:
        """Nobody sees what lies before ``offset`` any more (DeleteRecords)."""
        self.start_offset = max(self.start_offset, offset)
        self.delete_before(offset)

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def save_producers(self) -> None:
        """Write a producer snapshot for the end of the log, keeping the newest two."""
        old = sorted(self.folder.glob("*.snapshot"))
        if len(self.producers) or old:
            self.producers.save(self.folder / file_name(self.end.offset, ".snapshot"))
            for path in old[:-1]:
                path.unlink()

    def close(self) -> None:
        self.active.seal()
        for segment in self.segments:
            segment.close()
        os.close(self._checkpoint_fd)


def _first_since(
    segment: Segment, position: int, batch: Batch, timestamp: int
) -> Record:
    data = memoryview(segment.read(position, batch.size))
    try:
        for record in batches.records(data, batch):
            if record.timestamp >= timestamp:
                return record
    except ValueError:
        pass  # a codec that only clients know
    return Record(batch.base_offset, batch.base_timestamp, None, None)
