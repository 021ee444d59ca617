"""Compaction: of every key the newest record stays (``LogCleaner``).

Theory of operation. Two passes over the segments that may be cleaned, which never
change again. The first notes the newest offset of every key behind what is clean, as a
16-byte hash; when the map is full, it ends there and the rest waits for the next time.
The second writes them anew: a record stays if its key has no newer one in the map. Offsets stay
what they were, so a compacted log has gaps. A *tombstone* (null value) stays for
``delete.retention.ms``, so that slow consumers see it, and then goes.

Neighbours that together are no larger than ``segment.bytes`` become one segment, as in
``groupSegmentsBySize``: what compaction has made small would otherwise stay, four files
each, for ever.

Records of aborted transactions go, those of committed ones count like all others, and
nothing at or behind the last stable offset is touched. Markers stay: they are small,
and say where a transaction ended. The last batch of a producer is kept even when it is
empty, because it carries the sequence.

Kept whole, and not counted as newer than anything: batches that cannot be looked into
(a codec that is not installed, or no records inside). As long as there are such
batches tombstones stay as well, or an old value would come back.

The new files are written beside the old ones and flushed; ``Segment.replace`` lets them
take their places so that wherever a crash comes, there is a whole log.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from salon.broker.log import batch as batches
from salon.broker.log import codecs
from salon.broker.log.batch import Batch, RawRecord
from salon.broker.log.partition_log import PartitionLog
from salon.broker.log.segment import Segment
from salon.broker.log.transactions import Aborted

FOLDER = "cleaned"
MOST_KEYS = 1_000_000
"""Keys of one pass: about 150 MB."""
_MAX_RELATIVE = 2**31 - 1
_INDEX_ENTRY = 8
_INDEX_BYTES = 10 << 20
"""Kafka's ``segment.index.bytes``: a merged segment's index is no larger."""


class Cleaned(NamedTuple):
    """What a pass has made: one new segment for some old ones, clean up to ``end``."""

    replaced: list[tuple[list[Segment], Segment]]
    end: int


def cleanable(
    log: PartitionLog, now_ms: int, high_watermark: int | None = None
) -> list[Segment]:
    """The segments that a pass may rewrite, from the first on.

    Closed and flushed; nothing at or beyond the high watermark, which may be cut again,
    or of an open transaction; no record younger than ``min.compaction.lag.ms``.
    """
    limit = log.flushed.offset
    if high_watermark is not None:
        limit = min(limit, high_watermark)
    limit = min((limit, *log.producers.open.values()))
    young = now_ms - log.config.min_compaction_lag_ms
    found = []
    for segment, following in zip(log.segments, log.segments[1:], strict=False):
        if following.base_offset > limit:
            break
        if log.config.min_compaction_lag_ms and segment.max_timestamp > young:
            break
        found.append(segment)
    return found


def worth_it(log: PartitionLog, now_ms: int, high_watermark: int | None = None) -> bool:
    """Whether enough was never compacted, or something has waited too long for it."""
    closed = cleanable(log, now_ms, high_watermark)
    dirty = [s for s in closed if s.base_offset >= log.cleaned_offset]
    if not dirty:
        return False
    oldest = dirty[0].first_timestamp
    if 0 <= oldest < now_ms - log.config.max_compaction_lag_ms:
        return True
    total = sum(segment.size for segment in closed)
    share = sum(segment.size for segment in dirty)
    ratio = float(log.config.min_cleanable_dirty_ratio)
    return share > 0 and share >= total * ratio


def clean(log: PartitionLog, closed: list[Segment], now_ms: int) -> Cleaned:
    """Write ``closed`` anew. Blocks; nothing is changed until ``put_in_place``.

    Args:
        log: its ``cleaning`` must be set, so that no segment goes meanwhile.
        closed: of ``cleanable``; not empty.
        now_ms: wall clock, for tombstones.
    """
    aborted = log.aborted.between(0, log.end.offset)
    newest = _Newest(closed, log.cleaned_offset, aborted)
    horizon = -1 if newest.opaque else now_ms - log.config.delete_retention_ms
    folder = log.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    last_of_producer = log.producers.last_offsets()
    replaced = []
    for group in groups(log, closed, newest.end):
        new = Segment(folder, group[0].base_offset, log.config.index_interval_bytes)
        for old in group:
            for batch, data in _whole_batches(old):
                kept = newest.filter(batch, data, horizon, last_of_producer)
                if kept is not None:
                    new.append(kept, batch.last_offset, batch.max_timestamp)
        new.seal()
        os.fdatasync(new.fd)
        new.unsynced = False
        replaced.append((group, new))
    return Cleaned(replaced, newest.end)


def put_in_place(log: PartitionLog, cleaned: Cleaned) -> None:
    """Let the new segments take the places of the old ones."""
    for old, new in cleaned.replaced:
        new.replace(old)
        log.segments_replaced(old, new)
    log.cleaned_offset = cleaned.end
    shutil.rmtree(log.folder / FOLDER, ignore_errors=True)


def groups(
    log: PartitionLog, closed: Sequence[Segment], clean_end: int
) -> list[list[Segment]]:
    """Neighbours that fit into one segment: by bytes, by index, by offsets.

    What is clean, up to ``clean_end``, is not mixed with what is not: it is by a
    segment's first offset that one knows.
    """
    found: list[list[Segment]] = []
    size = index = 0
    for segment, following in zip(closed, log.segments[1:], strict=False):
        entries = len(segment.index) * _INDEX_ENTRY
        size, index = size + segment.size, index + entries
        if (
            not found
            or size > log.config.segment_bytes
            or index > _INDEX_BYTES
            or following.base_offset - found[-1][0].base_offset > _MAX_RELATIVE
            or found[-1][0].base_offset < clean_end <= segment.base_offset
        ):
            found.append([])
            size, index = segment.size, entries
        found[-1].append(segment)
    return found


def _whole_batches(segment: Segment) -> Iterator[tuple[Batch, memoryview]]:
    for position, batch in segment.scan(0):
        yield batch, _whole(segment, position, batch)


def _whole(segment: Segment, position: int, batch: Batch) -> memoryview:
    return memoryview(bytearray(segment.read(position, batch.size)))


def _hash(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def _records(batch: Batch, data: memoryview) -> list[RawRecord] | None:
    """The records; None when a batch cannot be looked into."""
    try:
        return list(batches.raw_records(data, batch))
    except ValueError:
        return None


class _Newest:
    """The newest offset of every key, where the map ends, and what was in the way.

    Args:
        closed: the segments.
        dirty_from: before it every key is there once, so it need not be in the map.
        aborted: transactions, by their first offsets.
    """

    def __init__(
        self, closed: list[Segment], dirty_from: int, aborted: list[Aborted]
    ) -> None:
        self.end = closed[0].base_offset
        self.opaque = False
        self._offsets: dict[bytes, int] = {}
        self._aborted: dict[int, list[Aborted]] = {}
        for entry in aborted:
            self._aborted.setdefault(entry.producer_id, []).append(entry)
        for segment in closed:
            for position, batch in segment.scan(0):
                if batch.base_offset < dirty_from:
                    self.opaque |= not batch.decodable
                elif len(self._offsets) + batch.record_count > MOST_KEYS:
                    return
                else:
                    self._note(batch, _whole(segment, position, batch))
                self.end = batch.last_offset + 1

    def _note(self, batch: Batch, data: memoryview) -> None:
        if batch.is_control or self._was_aborted(batch):
            return
        records = _records(batch, data)
        if records is None:
            self.opaque = True
            return
        for record in records:
            if record.key is not None:
                self._offsets[_hash(record.key)] = record.offset

    def _was_aborted(self, batch: Batch) -> bool:
        return batch.is_transactional and any(
            entry.first_offset <= batch.base_offset <= entry.last_offset
            for entry in self._aborted.get(batch.producer_id, ())
        )

    def filter(
        self,
        batch: Batch,
        data: memoryview,
        horizon: int,
        last_of_producer: dict[int, int],
    ) -> memoryview | None:
        """The batch without what is outdated; None when nothing of it is needed."""
        if batch.is_control:
            return data
        kept: list[bytes] = []
        if not self._was_aborted(batch):
            records = _records(batch, data)
            if records is None:
                return data
            old = batch.max_timestamp < horizon
            kept = [each.data for each in records if self._stays(each, old=old)]
            if len(kept) == batch.record_count:
                return data
        if not kept and last_of_producer.get(batch.producer_id) != batch.last_offset:
            return None
        body = codecs.compress(batch.compression, b"".join(kept))
        return batches.replace_records(data, body, len(kept))

    def _stays(self, record: RawRecord, *, old: bool) -> bool:
        if record.key is None:
            return True  # nothing can outdate it
        is_newest = record.offset >= self._offsets.get(_hash(record.key), -1)
        return is_newest and not (record.tombstone and old)
