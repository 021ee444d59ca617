"""Transactions as one partition sees them: which are open, which were aborted.

(KIP-98, ``ProducerStateManager`` and ``TransactionIndex``.) Records of a transaction lie
in the log like all others. What became of them stands in a *control batch* behind them,
the marker. Until it is there, nothing from the first record of the oldest open
transaction on is *stable*: consumers that read committed records stop at the **last
stable offset**. Aborted records stay where they are; a fetch says which producers'
records to leave out, and the client leaves them out.

``.txnindex`` beside a segment holds an entry per abort marker in it, in Kafka's format.
"""

import os
import struct
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from salon.broker.log import batch as batches
from salon.broker.log.batch import Batch

_ENTRY = struct.Struct(">hqqqq")
_KEY = struct.Struct(">hh")  # version, type
_VALUE = struct.Struct(">hi")  # version, coordinator epoch
_ABORT, _COMMIT = 0, 1


class Aborted(NamedTuple):
    """An aborted transaction: of whom, from its first record to its marker."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


def marker(
    producer_id: int, epoch: int, *, commit: bool, coordinator_epoch: int, now_ms: int
) -> memoryview:
    """The control batch that ends a transaction."""
    key = _KEY.pack(0, _COMMIT if commit else _ABORT)
    value = _VALUE.pack(0, coordinator_epoch)
    return batches.build(
        [(key, value)],
        now_ms,
        producer=(producer_id, epoch, -1),
        attributes=batches.TRANSACTIONAL | batches.CONTROL,
    )


class Marker(NamedTuple):
    """The end of a transaction, as its coordinator has decided it."""

    producer_id: int
    epoch: int
    commit: bool
    coordinator_epoch: int
    """Leader epoch under which the coordinator leads the transactional id."""


def encode(marker_: Marker, now_ms: int) -> memoryview:
    """The control batch that says ``marker_``."""
    return marker(
        marker_.producer_id,
        marker_.epoch,
        commit=marker_.commit,
        coordinator_epoch=marker_.coordinator_epoch,
        now_ms=now_ms,
    )


def decode(data: memoryview, batch: Batch) -> Marker:
    """What a control batch says; an abort by nobody if it is no marker."""
    commit, coordinator_epoch = False, -1
    for record in batches.records(data, batch):
        if record.key is not None and len(record.key) >= _KEY.size:
            commit = _KEY.unpack_from(record.key)[1] == _COMMIT
        if record.value is not None and len(record.value) >= _VALUE.size:
            coordinator_epoch = _VALUE.unpack_from(record.value)[1]
        break
    return Marker(batch.producer_id, batch.producer_epoch, commit, coordinator_epoch)


class AbortedIndex:
    """The aborted transactions of one partition, by the offsets of their markers."""

    def __init__(self) -> None:
        self._entries: list[Aborted] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Aborted) -> None:
        """Markers come in the order of their offsets."""
        self._entries.append(entry)

    def between(self, start: int, end: int) -> list[Aborted]:
        """Those that have records from ``start`` on and before ``end``."""
        i = bisect_left(self._entries, start, key=lambda e: e.last_offset)
        found = [e for e in self._entries[i:] if e.first_offset < end]
        return sorted(found, key=lambda e: e.first_offset)

    def drop_before(self, offset: int) -> None:
        """The records before ``offset`` are gone."""
        self._entries = [e for e in self._entries if e.last_offset >= offset]

    def keep_before(self, offset: int) -> None:
        """What lies behind ``offset`` is read again."""
        self._entries = [e for e in self._entries if e.last_offset < offset]

    def of(self, start: int, end: int) -> list[Aborted]:
        """Those whose markers lie in [start, end)."""
        return [e for e in self._entries if start <= e.last_offset < end]


def append_entry(path: Path, entry: Aborted) -> None:
    """Note an abort beside its segment, durably. Aborts are rare."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(fd, _ENTRY.pack(0, *entry))
        os.fdatasync(fd)
    finally:
        os.close(fd)


def write_entries(path: Path, entries: Iterable[Aborted]) -> None:
    """Replace a segment's index; no file when there is nothing to say."""
    data = b"".join(_ENTRY.pack(0, *entry) for entry in entries)
    if data:
        path.write_bytes(data)
    else:
        path.unlink(missing_ok=True)


def read_entries(path: Path) -> list[Aborted]:
    """A segment's index; a half entry at the end is a crash's."""
    if not path.exists():
        return []
    data = path.read_bytes()
    usable = len(data) - len(data) % _ENTRY.size
    return [Aborted(*rest) for _, *rest in _ENTRY.iter_unpack(data[:usable])]
