"""Compaction: of every key the newest record stays (``LogCleaner``).

Theory of operation. Two passes over the closed segments, which never change again. The
first notes the newest offset of every key, as a 16-byte hash; when the map is full, the
pass ends there and the rest waits for the next time. The second writes each segment
anew: a record stays if its key has no newer one in the map. Offsets stay what they were,
so a compacted log has gaps. A *tombstone* (null value) stays for
``delete.retention.ms``, so that slow consumers see it, and then goes.

Kept whole, and not counted as newer than anything: batches that only clients can decode
(snappy, lz4, zstd), and transactional ones, of which only some were committed. As long
as there are such batches tombstones stay as well, or an old value would come back. The
last batch of a producer is kept even when it is empty, because it carries the sequence.

The new files are written beside the old ones and flushed. Then the old indexes go, the
new log takes the old one's name in one step, and the new indexes follow: wherever a
crash comes, there is a whole log, and an index may be missing but never wrong.
"""

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from salon.broker.log import batch as batches
from salon.broker.log.batch import Batch, RawRecord
from salon.broker.log.partition_log import PartitionLog
from salon.broker.log.segment import Segment

FOLDER = "cleaned"
MOST_KEYS = 1_000_000
"""Keys of one pass: about 150 MB."""


class Cleaned(NamedTuple):
    """What a pass has made: new segments for old ones, clean up to ``end``."""

    replaced: list[tuple[Segment, Segment]]
    end: int


def worth_it(log: PartitionLog) -> bool:
    """Whether enough of the closed segments was never compacted."""
    closed = log.closed_segments()
    total = sum(segment.size for segment in closed)
    dirty = sum(s.size for s in closed if s.base_offset >= log.cleaned_offset)
    return dirty > 0 and dirty >= total * float(log.config.min_cleanable_dirty_ratio)


def clean(log: PartitionLog, closed: list[Segment], now_ms: int) -> Cleaned:
    """Write ``closed`` anew. Blocks; nothing is changed until ``put_in_place``.

    Args:
        log: its ``cleaning`` must be set, so that no segment goes meanwhile.
        closed: of ``log.closed_segments()``.
        now_ms: wall clock, for tombstones.
    """
    newest, end, opaque = _newest_offsets(closed)
    horizon = -1 if opaque else now_ms - log.config.delete_retention_ms
    folder = log.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    last_of_producer = log.producers.last_offsets()
    replaced = []
    for old in closed:
        new = Segment(folder, old.base_offset, log.config.index_interval_bytes)
        for batch, data in _whole_batches(old):
            kept = _filter(batch, data, newest, horizon, last_of_producer)
            if kept is not None:
                new.append(kept, batch.last_offset, batch.max_timestamp)
        new.seal()
        os.fdatasync(new.fd)
        new.unsynced = False
        replaced.append((old, new))
    return Cleaned(replaced, end)


def put_in_place(log: PartitionLog, cleaned: Cleaned) -> None:
    """Let the new segments take the places of the old ones."""
    for old, new in cleaned.replaced:
        at = log.segments.index(old)
        new.replace(old)
        log.segments[at] = new
    log.cleaned_offset = cleaned.end
    log.positions_changed()
    shutil.rmtree(log.folder / FOLDER, ignore_errors=True)


def _whole_batches(segment: Segment) -> Iterator[tuple[Batch, memoryview]]:
    for position, batch in segment.scan(0):
        yield batch, memoryview(bytearray(segment.read(position, batch.size)))


def _opaque(batch: Batch) -> bool:
    return batch.is_control or batch.is_transactional or not batch.decodable


def _hash(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def _newest_offsets(closed: list[Segment]) -> tuple[dict[bytes, int], int, bool]:
    """The map, where it ends, and whether something in it cannot be looked into."""
    newest: dict[bytes, int] = {}
    opaque = False
    end = closed[0].base_offset
    for segment in closed:
        for batch, data in _whole_batches(segment):
            if _opaque(batch):
                opaque = True
            elif len(newest) + batch.record_count > MOST_KEYS:
                return newest, batch.base_offset, opaque
            else:
                for record in batches.raw_records(data, batch):
                    if record.key is not None:
                        newest[_hash(record.key)] = record.offset
            end = batch.last_offset + 1
    return newest, end, opaque


def _filter(
    batch: Batch,
    data: memoryview,
    newest: dict[bytes, int],
    horizon: int,
    last_of_producer: dict[int, int],
) -> memoryview | None:
    """The batch without what is outdated; None when nothing of it is needed."""
    if _opaque(batch):
        return data
    old = batch.max_timestamp < horizon

    def stays(record: RawRecord) -> bool:
        if record.key is None:
            return True  # nothing can outdate it
        is_newest = record.offset >= newest.get(_hash(record.key), -1)
        return is_newest and not (record.tombstone and old)

    kept = [r.data for r in batches.raw_records(data, batch) if stays(r)]
    if len(kept) == batch.record_count:
        return data
    if not kept and last_of_producer.get(batch.producer_id) != batch.last_offset:
        return None
    body = b"".join(kept)
    return batches.replace_records(
        data, gzip.compress(body) if batch.compression else body, len(kept)
    )
