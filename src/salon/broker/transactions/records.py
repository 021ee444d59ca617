"""The records of ``__transaction_state``, in Kafka's formats.

(``TransactionLogKey.json``, ``TransactionLogValue.json``, version 0.) A null value is a
tombstone.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from salon.broker.protocol.primitives import Reader, Writer

Key = tuple[str, int]


class State(IntEnum):
    """Where a transaction stands, with Kafka's numbers."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5


@dataclass
class Transaction:
    """One transactional id: its producer, and its last or open transaction."""

    id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    state: State = State.EMPTY
    partitions: set[Key] = field(default_factory=set)
    updated_ms: int = -1
    started_ms: int = -1
    last_epoch: int = field(default=-1, compare=False)
    """What the producer had when it was last given a new epoch; not kept on disk."""


def write_key(transactional_id: str) -> bytes:
    w = Writer(compact=False)
    w.int16(0)
    w.string(transactional_id)
    return bytes(w.out)


def read_key(data: bytes) -> str | None:
    """The transactional id, or None for a kind that is not kept here."""
    r = Reader(memoryview(data))
    return r.string(compact=False) if r.int16() == 0 else None


def write_value(transaction: Transaction) -> bytes:
    w = Writer(compact=False)
    w.int16(0)
    w.int64(transaction.producer_id)
    w.int16(transaction.epoch)
    w.int32(transaction.timeout_ms)
    w.int8(transaction.state)
    topics: dict[str, list[int]] = {}
    for topic, index in sorted(transaction.partitions):
        topics.setdefault(topic, []).append(index)
    w.array(len(topics))
    for topic, indexes in topics.items():
        w.string(topic)
        w.int32_array(indexes)
    w.int64(transaction.updated_ms)
    w.int64(transaction.started_ms)
    return bytes(w.out)


def read_value(transactional_id: str, data: bytes) -> Transaction:
    r = Reader(memoryview(data))
    r.int16()  # version
    transaction = Transaction(
        transactional_id, r.int64(), r.int16(), r.int32(), State(r.int8())
    )
    for _ in range(r.array_length(compact=False)):
        topic = r.string(compact=False)
        for _ in range(r.array_length(compact=False)):
            transaction.partitions.add((topic, r.int32()))
    transaction.updated_ms = r.int64()
    transaction.started_ms = r.int64()
    return transaction
