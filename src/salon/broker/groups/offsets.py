"""Committed offsets and group states: in memory, and in ``__consumer_offsets``.

A commit is answered when its record is acknowledged as acks=all would be. The topic is
read once at start; its newest record of a key holds.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from salon.broker.delayed import Appended
from salon.broker.errors import ApiError, Code
from salon.broker.groups.records import (
    Committed,
    GroupKey,
    GroupState,
    OffsetKey,
    read_committed,
    read_group,
    read_key,
    write_committed,
    write_group,
    write_key,
)
from salon.broker.log import batch as batches
from salon.broker.log.batch import Batch
from salon.broker.log.transactions import decode
from salon.broker.partition import Partition
from salon.broker.replicas import ReplicaManager
from salon.broker.topics import OFFSETS_TOPIC
from salon.clock import Clock

COMMIT_TIMEOUT_MS = 5_000
"""Kafka's ``offsets.commit.timeout.ms``."""

Done = Callable[[Code], None]
TopicPartition = tuple[str, int]


class Offsets:
    """What is kept about groups.

    Args:
        replicas: of this broker.
        partitions: of ``__consumer_offsets``.
        clock: wall time of commits.
    """

    def __init__(self, replicas: ReplicaManager, partitions: int, clock: Clock) -> None:
        self._replicas = replicas
        self._partitions = partitions
        self._clock = clock
        self.alone = True
        self._committed: dict[str, dict[TopicPartition, Committed]] = {}
        # By partition and producer: what holds when its transaction is committed.
        self._in_transaction: dict[
            tuple[int, int], list[tuple[OffsetKey, Committed]]
        ] = {}

    def partition_for(self, group: str) -> int:
        """Where a group's records go."""
        return hash_code(group) % self._partitions

    def leads(self, group: str) -> bool:
        """Whether this broker coordinates a group (or the topic is not made yet)."""
        key = (OFFSETS_TOPIC, self.partition_for(group))
        partition = self._replicas.partitions.get(key)
        return partition.leads if partition is not None else self.alone

    # --- reading ---

    def get(self, group: str) -> Mapping[TopicPartition, Committed]:
        return self._committed.get(group, {})

    def groups(self) -> Iterable[str]:
        return self._committed.keys()

    def forget_partition(self, index: int) -> None:
        """Somebody else coordinates the groups of a partition from now on."""
        for group in [g for g in self._committed if self.partition_for(g) == index]:
            del self._committed[group]
        for where in [w for w in self._in_transaction if w[0] == index]:
            del self._in_transaction[where]

    def load(self) -> dict[str, GroupState]:
        """Read the partitions of ``__consumer_offsets`` that are led here.

        Returns:
            The newest state of every group.
        """
        states: dict[str, GroupState] = {}
        for index in range(self._partitions):
            states |= self.load_partition(index)
        return states

    def load_partition(self, index: int) -> dict[str, GroupState]:
        """Read one of them; the newest state of every group in it."""
        states: dict[str, GroupState] = {}
        partition = self._replicas.partitions.get((OFFSETS_TOPIC, index))
        if partition is not None and partition.leads:
            self.forget_partition(index)  # it may be led on, under another epoch
            log = partition.log
            for batch, data in log.batches(log.start_offset, log.end.offset):
                producer = index, batch.producer_id
                if batch.is_control:
                    self.end_transaction(*producer, commit=decode(data, batch).commit)
                    continue
                for record in batches.records(data, batch):
                    if batch.is_transactional:
                        self._apply_later(producer, record.key, record.value)
                    else:
                        self._apply(record.key, record.value, states)
        return states

    def _apply_later(
        self, producer: tuple[int, int], key: bytes | None, value: bytes | None
    ) -> None:
        parsed = read_key(key) if key else None
        if isinstance(parsed, OffsetKey) and value is not None:
            waiting = self._in_transaction.setdefault(producer, [])
            waiting.append((parsed, read_committed(value)))

    def _apply(
        self, key: bytes | None, value: bytes | None, states: dict[str, GroupState]
    ) -> None:
        parsed = read_key(key) if key else None
        if isinstance(parsed, OffsetKey):
            kept = self._committed.setdefault(parsed.group, {})
            topic_partition = (parsed.topic, parsed.partition)
            if value is None:
                kept.pop(topic_partition, None)
            else:
                kept[topic_partition] = read_committed(value)
            if not kept:
                del self._committed[parsed.group]
        elif isinstance(parsed, GroupKey):
            if value is None:
                states.pop(parsed.group, None)
            else:
                states[parsed.group] = read_group(value)

    # --- writing ---

    def commit(
        self, group: str, offsets: Mapping[TopicPartition, Committed], done: Done
    ) -> None:
        """Keep ``offsets`` and call ``done`` when they are safe."""
        records: list[tuple[bytes | None, bytes | None]] = [
            (write_key(OffsetKey(group, *tp)), write_committed(value))
            for tp, value in offsets.items()
        ]

        def kept(code: Code) -> None:
            if code is Code.NONE:
                self._committed.setdefault(group, {}).update(offsets)
            done(code)

        self._write(group, records, kept)

    def commit_in_transaction(
        self,
        group: str,
        producer: tuple[int, int],
        offsets: Mapping[TopicPartition, Committed],
        verify: Callable[[Batch], None],
        done: Done,
    ) -> None:
        """Keep ``offsets`` until the producer's transaction ends.

        Args:
            group: whose.
            producer: its id and epoch.
            offsets: by topic and partition.
            verify: whether the transaction takes them; raises ``ApiError``.
            done: called when they are safe, or refused.
        """
        keys = [(OffsetKey(group, *tp), value) for tp, value in offsets.items()]
        records: list[tuple[bytes | None, bytes | None]] = [
            (write_key(key), write_committed(value)) for key, value in keys
        ]
        data = batches.build(
            records,
            self._clock.now_ms(),
            producer=(*producer, -1),
            attributes=batches.TRANSACTIONAL,
        )

        where = self.partition_for(group), producer[0]

        def kept(code: Code) -> None:
            if code is Code.NONE:
                self._in_transaction.setdefault(where, []).extend(keys)
            done(code)

        self._append(group, data, kept, verify)

    def end_transaction(self, index: int, producer_id: int, *, commit: bool) -> None:
        """The marker is in a partition: what waited there holds, or is forgotten."""
        for key, value in self._in_transaction.pop((index, producer_id), ()):
            if commit:
                kept = self._committed.setdefault(key.group, {})
                kept[key.topic, key.partition] = value

    def unstable(self, group: str) -> set[TopicPartition]:
        """Partitions whose offset depends on an open transaction (KIP-447)."""
        return {
            (key.topic, key.partition)
            for waiting in self._in_transaction.values()
            for key, _ in waiting
            if key.group == group
        }

    def store(self, group: str, state: GroupState | None, done: Done) -> None:
        """Keep the state of a group, or a tombstone."""
        value = None if state is None else write_group(state)
        self._write(group, [(write_key(GroupKey(group)), value)], done)

    def forget(self, group: str, done: Done) -> None:
        """Remove a group's offsets and state."""
        offsets = self._committed.pop(group, {})
        records: list[tuple[bytes | None, bytes | None]] = [
            (write_key(OffsetKey(group, *tp)), None) for tp in offsets
        ]
        records.append((write_key(GroupKey(group)), None))
        self._write(group, records, done)

    def forget_partitions(
        self, group: str, partitions: Iterable[TopicPartition], done: Done
    ) -> None:
        """Remove a group's offsets of ``partitions``."""
        kept = self._committed.get(group, {})
        gone = [tp for tp in partitions if kept.pop(tp, None) is not None]
        if not gone:
            done(Code.NONE)
            return
        self._write(
            group, [(write_key(OffsetKey(group, *tp)), None) for tp in gone], done
        )

    def forget_topic(self, topic: str) -> None:
        """The topic is gone: so are the offsets in it."""
        for group, kept in list(self._committed.items()):
            gone = [tp for tp in kept if tp[0] == topic]
            if gone:
                for tp in gone:
                    del kept[tp]
                self._write(
                    group,
                    [(write_key(OffsetKey(group, *tp)), None) for tp in gone],
                    lambda _: None,
                )

    def _write(
        self, group: str, records: list[tuple[bytes | None, bytes | None]], done: Done
    ) -> None:
        self._append(group, batches.build(records, self._clock.now_ms()), done)

    def _append(
        self,
        group: str,
        data: memoryview,
        done: Done,
        verify: Callable[[Batch], None] | None = None,
    ) -> None:
        key = (OFFSETS_TOPIC, self.partition_for(group))
        appended = self._replicas.append(key, data, acks=-1, verify=verify)
        self._replicas.wait_for_acks(
            [appended], COMMIT_TIMEOUT_MS, lambda: done(_as_commit_error(appended))
        )

    def compact(self, states: Mapping[str, GroupState], above_bytes: int) -> None:
        """Bring a grown ``__consumer_offsets`` down to what still holds.

        Everything that holds is written once more into a new segment; when that is
        safe, what lies before says nothing new and goes. (Kafka's cleaner rewrites the
        old segments instead; for a reader both are a compacted topic.)

        Args:
            states: of every group.
            above_bytes: size of a partition that is worth it.
        """
        for index in range(self._partitions):
            partition = self._replicas.partitions.get((OFFSETS_TOPIC, index))
            if partition is None or partition.log.size <= above_bytes:
                continue
            if not partition.leads:
                continue  # its groups are known to the leader, whose log is copied
            if partition.log.producers.open:
                continue  # its records are needed until the transaction ends
            groups = {*states, *self._committed}
            mine = [group for group in groups if self.partition_for(group) == index]
            partition.log.roll()
            start = partition.log.end.offset
            appended = [
                self._replicas.append(
                    partition.key,
                    batches.build(self._records(group, states), self._clock.now_ms()),
                    acks=-1,
                )
                for group in mine
            ]
            self._replicas.wait_for_acks(
                appended, COMMIT_TIMEOUT_MS, partial(_drop, partition, start, appended)
            )

    def _records(
        self, group: str, states: Mapping[str, GroupState]
    ) -> list[tuple[bytes | None, bytes | None]]:
        """All that holds about a group."""
        records: list[tuple[bytes | None, bytes | None]] = [
            (write_key(OffsetKey(group, *tp)), write_committed(value))
            for tp, value in self.get(group).items()
        ]
        if group in states:
            records.append((write_key(GroupKey(group)), write_group(states[group])))
        return records

    def check_metadata(self, metadata: str | None, limit: int) -> str:
        """A commit's metadata.

        Raises:
            ApiError: theirs; longer than ``offset.metadata.max.bytes``.
        """
        text = metadata or ""
        if len(text.encode()) > limit:
            raise ApiError(Code.OFFSET_METADATA_TOO_LARGE)
        return text


def hash_code(text: str) -> int:
    """Kafka's ``Utils.abs`` of Java's ``String.hashCode``."""
    value = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        value = (31 * value + unit) & 0xFFFFFFFF
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return 0 if signed == -(1 << 31) else abs(signed)


def _drop(partition: Partition, before: int, appended: list[Appended]) -> None:
    """Everything that holds is safe behind ``before``: what lies before it goes."""
    if all(each.error is Code.NONE for each in appended):
        partition.log.delete_before(before)


def _as_commit_error(appended: Appended) -> Code:
    """The codes that clients of the coordinator understand and try again."""
    if appended.error in (
        Code.REQUEST_TIMED_OUT,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.NOT_ENOUGH_REPLICAS,
        Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ):
        return Code.COORDINATOR_NOT_AVAILABLE
    if appended.error in (Code.KAFKA_STORAGE_ERROR, Code.NOT_LEADER_OR_FOLLOWER):
        return Code.NOT_COORDINATOR
    return appended.error
