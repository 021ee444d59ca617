"""What is in a segment after a crash.

Theory of operation. Everything below the *flushed offset* was on the platter when it
was noted, so it must still be there, whole. Beyond it, a killed process leaves at most
one half-written batch at the end, and a power cut may leave anything: zeros, old bytes,
later batches without earlier ones. Hence the first batch that is not sound

- at or beyond the flushed offset is a *torn tail*: cut there. Nothing after it was
  acknowledged with acks=all or shown to a consumer.
- below it is *damage*: somebody's disk, or hand. Cutting would throw away acknowledged
  records behind it. The file is left as it is, the partition is readable up to the
  damage and takes no more records, and a person is told.

Scanning checks every CRC and builds the indexes anew.
"""

from collections.abc import Callable
from typing import NamedTuple

from salon.broker.log import batch as batches
from salon.broker.log.batch import HEADER_SIZE, Batch
from salon.broker.log.segment import Segment

_CHUNK = 1 << 20


class Recovered(NamedTuple):
    """How far a segment is sound.

    ``end`` is the position after the last sound batch, ``next_offset`` the offset that
    follows it; ``whole`` says that nothing lies behind.
    """

    end: int
    next_offset: int
    whole: bool


def recover(
    segment: Segment, next_offset: int, found: Callable[[Batch, int], None]
) -> Recovered:
    """Check ``segment`` batch by batch and rebuild its indexes.

    Args:
        segment: of any state.
        next_offset: the lowest offset its first batch may have.
        found: called with every sound batch and its position, in order.
    """
    segment.reset_indexes()
    position = 0
    chunk, chunk_at = b"", 0
    while position < segment.size:
        at = position - chunk_at
        batch = batches.parse(chunk, at) if at + HEADER_SIZE <= len(chunk) else None
        if batch is None or at + batch.size > len(chunk):
            # Read on from here: a chunk, or the whole of a larger batch.
            size = max(_CHUNK, batch.size if batch is not None else 0)
            chunk, chunk_at, at = (
                segment.read(position, _bounded(segment, size)),
                position,
                0,
            )
            if len(chunk) < HEADER_SIZE:
                break
            batch = batches.parse(chunk)
            if _CHUNK < batch.size <= segment.size - position:
                chunk = segment.read(position, batch.size)
        if batch.base_offset < next_offset or not batches.is_sound(chunk, batch, at):
            break
        segment.note(position, batch.size, batch.last_offset, batch.max_timestamp)
        found(batch, position)
        next_offset = batch.last_offset + 1
        position += batch.size
    return Recovered(position, next_offset, position == segment.size)


def _bounded(segment: Segment, size: int) -> int:
    """Never ask for more than the file has: a damaged length may say anything."""
    return min(size, segment.size)
