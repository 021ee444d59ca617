"""Idempotent producers: what each has written last, so that a retry writes nothing.

(KIP-98, ``ProducerStateManager``.) Per producer id: its epoch and the last five batches.
A batch that equals one of those is a retry, answered with the old offset; one that does
not follow the last is refused; a lower epoch is a zombie. Five is what a client may have
in flight.

A transaction ends by its coordinator's *marker*. A producer may have had several
coordinators: the marker of one that was deposed might end a transaction that began
later, so the *coordinator epoch* of the last marker is remembered, too, and a lower one
is refused. What looks like a retry of records from before the marker is refused as well.

Snapshots are Kafka's ``.snapshot`` files (version 1). Kafka's own hold only the last
batch of a producer, and a retry of an earlier one that comes after a restart is then
refused as out of order, which makes librdkafka begin a new epoch and write it twice.
Ours hold all five, an entry each, the oldest first: Kafka, reading them, keeps the last.
"""

import struct
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c

from salon.broker.errors import ApiError, Code
from salon.broker.log.batch import NO_PRODUCER, Batch
from salon.broker.log.checkpoints import write_atomically
from salon.broker.log.transactions import Marker

REMEMBERED = 5
_HEAD = struct.Struct(">hI")
_COUNT = struct.Struct(">i")
_ENTRY = struct.Struct(">qhiqiqiq")


class Written(NamedTuple):
    """A batch as its producer numbered it."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int


_NOTHING = Written(-1, -1, -1, -1)


class ActiveProducer(NamedTuple):
    """A producer as admins see it; -1 where there is nothing."""

    producer_id: int
    epoch: int
    last_sequence: int
    last_timestamp: int
    first_offset: int
    """Of its open transaction."""
    coordinator_epoch: int


class _Producer:
    __slots__ = (
        "batches",
        "coordinator_epoch",
        "epoch",
        "first_offset",
        "marked_at",
        "timestamp",
    )

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.coordinator_epoch = -1  # of the last marker
        self.marked_at = -1  # offset of the last marker
        self.timestamp = -1
        self.first_offset = -1  # of the open transaction
        self.batches: deque[Written] = deque(maxlen=REMEMBERED)


class Producers:
    """The idempotent producers of one partition."""

    def __init__(self) -> None:
        self._producers: dict[int, _Producer] = {}
        self.open: dict[int, int] = {}
        """First offset of every open transaction, by producer id, oldest first."""
        self.ended: deque[tuple[int, int]] = deque()
        """First offset and marker of transactions whose marker may be taken back: it is
        not below the high watermark yet (Kafka's ``unreplicatedTxns``)."""

    def __len__(self) -> int:
        return len(self._producers)

    def check(self, batch: Batch) -> int | None:
        """Whether ``batch`` may be appended.

        Returns:
            The base offset it got the first time, if it is a retry; otherwise None.

        Raises:
            ApiError: theirs; a zombie's epoch, or a gap in the sequence.
        """
        known = self._producers.get(batch.producer_id)
        if batch.producer_id == NO_PRODUCER or known is None:
            return None
        if batch.producer_epoch < known.epoch:
            raise ApiError(
                Code.INVALID_PRODUCER_EPOCH,
                f"producer {batch.producer_id} has epoch {known.epoch} now, "
                f"this is {batch.producer_epoch}",
            )
        if batch.producer_epoch > known.epoch:
            if batch.base_sequence > 0:
                raise _out_of_order(batch, 0)
            return None
        if batch.base_sequence < 0:
            return None  # the broker's own: offsets in a transaction
        for written in known.batches:
            if (
                written.first_sequence == batch.base_sequence
                and written.last_sequence == batch.last_sequence
            ):
                if batch.is_transactional and written.base_offset < known.marked_at:
                    raise _too_late(batch, known.marked_at)
                return written.base_offset
        if known.batches:
            following = (known.batches[-1].last_sequence + 1) & 0x7FFFFFFF
            if batch.base_sequence != following:
                raise _out_of_order(batch, following)
        return None

    def check_marker(self, marker: Marker) -> None:
        """Whether a transaction may be ended by ``marker``.

        Raises:
            ApiError: theirs; INVALID_PRODUCER_EPOCH or TRANSACTION_COORDINATOR_FENCED:
                it speaks of a producer, or comes from a coordinator, of the past.
        """
        known = self._producers.get(marker.producer_id)
        if known is None:
            return
        if marker.epoch < known.epoch:
            raise ApiError(Code.INVALID_PRODUCER_EPOCH)
        if marker.coordinator_epoch < known.coordinator_epoch:
            raise ApiError(Code.TRANSACTION_COORDINATOR_FENCED)

    def in_transaction(self, producer_id: int, epoch: int) -> bool:
        """Whether a producer has written here in its open transaction."""
        known = self._producers.get(producer_id)
        return known is not None and known.epoch == epoch and known.first_offset >= 0

    def marked_at(self, producer_id: int) -> int:
        """Where a producer's last transaction ended; -1: nowhere."""
        known = self._producers.get(producer_id)
        return -1 if known is None else known.marked_at

    @property
    def unstable(self) -> bool:
        """Whether there is anything that readers of committed records must not see."""
        return bool(self.open or self.ended)

    def first_unstable(self, high_watermark: int) -> int:
        """The first offset that is not decided for good, at most the high watermark."""
        ended = (first for first, end in self.ended if end >= high_watermark)
        return min((high_watermark, *self.open.values(), *ended))

    def forget_ended(self, high_watermark: int) -> None:
        """Markers below ``high_watermark`` stay."""
        while self.ended and self.ended[0][1] < high_watermark:
            self.ended.popleft()

    def update(self, batch: Batch, marker: Marker | None = None) -> None:
        """``batch`` is in the log; ``marker`` is what it says, if it is a marker."""
        if batch.producer_id == NO_PRODUCER:
            return
        known = self._of_epoch(batch)
        if batch.is_control:
            if known.first_offset >= 0:
                self.ended.append((known.first_offset, batch.base_offset))
            known.first_offset = -1
            known.marked_at = batch.base_offset
            self.open.pop(batch.producer_id, None)
            if marker is not None:
                known.coordinator_epoch = marker.coordinator_epoch
            return
        if batch.is_transactional and known.first_offset < 0:
            known.first_offset = self.open[batch.producer_id] = batch.base_offset
        if batch.base_sequence < 0:
            return
        known.batches.append(
            Written(
                batch.base_sequence,
                batch.last_sequence,
                batch.base_offset,
                batch.last_offset,
            )
        )

    def _of_epoch(self, batch: Batch) -> _Producer:
        """The producer; a new epoch begins its sequence anew, a marker's included."""
        known = self._producers.get(batch.producer_id)
        if known is None or known.epoch != batch.producer_epoch:
            before = known
            known = self._producers[batch.producer_id] = _Producer(batch.producer_epoch)
            if before is not None:
                known.first_offset = before.first_offset
                known.coordinator_epoch = before.coordinator_epoch
                known.marked_at = before.marked_at
        known.timestamp = batch.max_timestamp
        return known

    def active(self) -> list[ActiveProducer]:
        """Every producer that is remembered."""
        return [
            ActiveProducer(
                producer_id,
                known.epoch,
                known.batches[-1].last_sequence if known.batches else -1,
                known.timestamp,
                known.first_offset,
                known.coordinator_epoch,
            )
            for producer_id, known in self._producers.items()
        ]

    def last_offsets(self) -> dict[int, int]:
        """Last offset of every producer."""
        return {
            producer_id: known.batches[-1].last_offset
            for producer_id, known in self._producers.items()
            if known.batches
        }

    def expire(self, before_ms: int) -> None:
        """Forget producers whose last batch is older than ``before_ms``."""
        old = [
            producer_id
            for producer_id, known in self._producers.items()
            if known.timestamp < before_ms and known.first_offset < 0
        ]
        for producer_id in old:
            del self._producers[producer_id]

    def save(self, path: Path) -> None:
        """Write Kafka's snapshot file."""
        entries = [
            (producer_id, known, written)
            for producer_id, known in self._producers.items()
            for written in known.batches or (_NOTHING,)
        ]
        body = bytearray(_COUNT.pack(len(entries)))
        for producer_id, known, written in entries:
            body += _ENTRY.pack(
                producer_id,
                known.epoch,
                written.last_sequence,
                written.last_offset,
                written.last_offset - written.base_offset,
                known.timestamp,
                known.coordinator_epoch,
                known.first_offset,
            )
        # The CRC covers everything after itself.
        write_atomically(path, _HEAD.pack(1, crc32c(body)) + bytes(body))

    def load(self, path: Path) -> bool:
        """Read a snapshot; false when it cannot be used, and nothing is changed."""
        data = path.read_bytes()
        if len(data) < _HEAD.size + _COUNT.size:
            return False
        version, crc = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if version != 1 or crc32c(body) != crc:
            return False
        self._restore(_ENTRY.iter_unpack(body[_COUNT.size :]))
        self.open = dict(sorted(self.open.items(), key=lambda item: item[1]))
        return True

    def _restore(self, entries: Iterable[tuple[int, ...]]) -> None:
        for (
            producer_id,
            epoch,
            last_sequence,
            last_offset,
            delta,
            timestamp,
            coordinator_epoch,
            first_offset,
        ) in entries:
            known = self._producers.get(producer_id)
            if known is None or known.epoch != epoch:
                known = self._producers[producer_id] = _Producer(epoch)
            known.timestamp = timestamp
            known.first_offset = first_offset
            known.coordinator_epoch = coordinator_epoch
            if first_offset >= 0:
                self.open[producer_id] = first_offset
            if last_sequence < 0:
                continue  # only a marker so far
            first = (last_sequence - delta) & 0x7FFFFFFF
            known.batches.append(
                Written(first, last_sequence, last_offset - delta, last_offset)
            )


def _too_late(batch: Batch, marked_at: int) -> ApiError:
    """What looks like a retry, of records whose transaction has ended.

    librdkafka 2.16 drops a record that it does not know the fate of when it aborts, and
    numbers the next one alike. Kafka answers as to a retry, and that one is lost.
    """
    return ApiError(
        Code.INVALID_TXN_STATE,
        f"producer {batch.producer_id} sent sequence {batch.base_sequence} before: the "
        f"transaction that it was part of ended at offset {marked_at}",
    )


def _out_of_order(batch: Batch, expected: int) -> ApiError:
    return ApiError(
        Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {batch.producer_id} sent sequence {batch.base_sequence}, "
        f"{expected} follows",
    )
