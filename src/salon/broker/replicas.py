"""Partitions as clients see them: append and acknowledge, fetch and wait.

(``Partition`` and ``ReplicaManager``.) The *high watermark* is the end of what consumers
may see. With ``flush.policy=group`` it is the flushed offset: a record that a power cut
can remove is shown to nobody, and acks=all waits in the produce purgatory until the
high watermark has passed it. With ``flush.policy=none`` it is the log end offset, as in
Kafka with one replica. With more replicas it is the smallest of theirs, and a partition
may have its leader elsewhere: ``replication.partition`` says how; everything else here
stays.

A move of the high watermark completes what waits for it, once per turn of the loop
however many appends came in that turn.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import ClassVar

from salon.broker.config import GROUP
from salon.broker.errors import ApiError, Code, StorageError
from salon.broker.log import batch as batches
from salon.broker.log import cleaner
from salon.broker.log.batch import Batch
from salon.broker.log.flusher import GroupFlusher
from salon.broker.log.partition_log import LogOffset, PartitionLog
from salon.broker.metrics import Metrics
from salon.broker.protocol.fetch import FetchPartition, PartitionData
from salon.broker.protocol.produce import PartitionResponse
from salon.broker.purgatory import DelayedOperation, Purgatory
from salon.broker.topic_metrics import TopicMeters, TopicMetrics
from salon.broker.topics import Topic

Key = tuple[str, int]

_ALL = -1


class Partition:
    """The leader's view of one partition, whose only replica is here."""

    replicated: ClassVar[bool] = False
    """Whether other brokers copy it: then they are woken by each append."""
    leads = True
    in_sync_count = 1
    under_replicated = False

    __slots__ = (
        "cleaning",
        "flusher",
        "gone",
        "index",
        "key",
        "leader_epoch",
        "log",
        "meters",
        "topic",
    )

    def __init__(
        self, topic: Topic, index: int, log: PartitionLog, flusher: GroupFlusher
    ) -> None:
        self.topic = topic
        self.index = index
        self.key = (topic.name, index)
        self.log = log
        self.flusher = flusher
        self.cleaning = asyncio.Lock()
        self.gone = False
        self.leader_epoch = log.epochs[-1][0] if log.epochs else 0
        self.meters = TopicMeters()

    @property
    def group_flushed(self) -> bool:
        return self.log.config.flush_policy == GROUP

    @property
    def spare_replicas(self) -> int:
        """In-sync replicas beyond ``min.insync.replicas``; negative: too few."""
        return self.in_sync_count - self.log.config.min_insync_replicas

    @property
    def high_watermark(self) -> LogOffset:
        """End of what consumers may see."""
        log = self.log
        return log.flushed if self.group_flushed else log.end

    def visible_end(self, *, committed: bool) -> LogOffset:
        """End of what a consumer sees; with ``committed`` the last stable offset."""
        end = self.high_watermark
        if committed and self.log.producers.open:
            return self.log.last_stable(end)
        return end

    def acknowledgement(self, required: int, epoch: int) -> Code | None:
        """What acks=all is told of records up to ``required``; None: wait.

        Args:
            required: the offset behind them.
            epoch: the leader epoch under which they were appended.
        """
        if self.high_watermark.offset >= required:
            return Code.NONE
        return None if self.log.failure is None else Code.KAFKA_STORAGE_ERROR

    def check_latest(self) -> None:
        """Whether "the latest offset" can be told.

        Raises:
            ApiError: ours; OFFSET_NOT_AVAILABLE right after an election.
        """

    def check_epoch(self, epoch: int) -> None:
        """Compare a client's idea of the leader epoch with ours (KIP-320).

        Raises:
            ApiError: theirs; it is behind, or knows more than we do.
        """
        if 0 <= epoch < self.leader_epoch:
            raise ApiError(Code.FENCED_LEADER_EPOCH)
        if epoch > self.leader_epoch:
            raise ApiError(Code.UNKNOWN_LEADER_EPOCH)


class Appended:
    """What became of the records of one partition; ``required`` is what acks=all needs."""

    __slots__ = ("base_offset", "epoch", "error", "message", "partition", "required")

    def __init__(self, partition: Partition | None) -> None:
        self.partition = partition
        self.error = Code.NONE
        self.message: str | None = None
        self.base_offset = -1
        self.required = -1
        self.epoch = partition.leader_epoch if partition is not None else -1

    def fail(self, code: Code, message: str | None = None) -> "Appended":
        self.error = code
        self.message = message
        self.base_offset = -1
        return self

    def response(self, index: int) -> PartitionResponse:
        start = self.partition.log.start_offset if self.partition else -1
        return PartitionResponse(
            index, self.error, self.base_offset, start, self.message
        )


class DelayedProduce(DelayedOperation):
    """Waits until every appended partition's high watermark has passed its records."""

    def __init__(
        self,
        delay_ms: int,
        appended: list[Appended],
        done: Callable[[], None],
        on_expired: Callable[[list[Appended]], None],
    ) -> None:
        super().__init__(delay_ms)
        self._pending = [a for a in appended if a.error is Code.NONE]
        self._done = done
        self._on_expired = on_expired

    def try_complete(self) -> bool:
        still = []
        for each in self._pending:
            assert each.partition is not None
            code = each.partition.acknowledgement(each.required, each.epoch)
            if code is None:
                still.append(each)
            elif code is not Code.NONE:
                each.fail(code, each.partition.log.failure)
        self._pending = still
        return not still and self.force_complete()

    def on_complete(self) -> None:
        for each in self._pending:
            each.fail(Code.REQUEST_TIMED_OUT, "the records are not safe yet")
        self._done()

    def on_expiration(self) -> None:
        self._on_expired(self._pending)


class FetchQuery:
    """One partition of a Fetch: the request's part, or why it cannot be read."""

    __slots__ = ("error", "partition", "wanted")

    def __init__(
        self, wanted: FetchPartition, partition: Partition | None, error: Code
    ) -> None:
        self.wanted = wanted
        self.partition = partition
        self.error = error


class DelayedFetch(DelayedOperation):
    """Waits until ``min_bytes`` can be read; what is read is decided on completion."""

    def __init__(
        self,
        delay_ms: int,
        min_bytes: int,
        queries: list[FetchQuery],
        done: Callable[[], None],
        on_expired: Callable[[], None],
        *,
        committed: bool,
    ) -> None:
        super().__init__(delay_ms)
        self._committed = committed
        self._min_bytes = min_bytes
        self._done = done
        self._on_expired = on_expired
        self._starts = [
            (
                q.partition,
                q.wanted.fetch_offset,
                q.partition.visible_end(committed=committed),
            )
            for q in queries
            if q.partition is not None
        ]

    def try_complete(self) -> bool:
        available = 0
        for partition, offset, start in self._starts:
            if partition.gone or not partition.leads:
                return self.force_complete()
            end = partition.visible_end(committed=self._committed)
            if end.offset <= offset:
                continue
            if end.segment != start.segment or offset != start.offset:
                return self.force_complete()  # whole segments, or of unknown size
            available += end.position - start.position
            if available >= self._min_bytes:
                return self.force_complete()
        return False

    def on_complete(self) -> None:
        self._done()

    def on_expiration(self) -> None:
        self._on_expired()


class ReplicaManager:
    """Appends to and fetches from the partitions of this broker.

    Args:
        produce_purgatory: where acks=all waits.
        fetch_purgatory: where fetches wait.
        executor: for flushes.
        metrics: of the broker.
    """

    def __init__(
        self,
        produce_purgatory: Purgatory,
        fetch_purgatory: Purgatory,
        executor: Executor,
        metrics: Metrics,
    ) -> None:
        self.partitions: dict[Key, Partition] = {}
        self._produce_purgatory = produce_purgatory
        self.fetch_purgatory = fetch_purgatory
        self._executor = executor
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._moved: dict[Key, None] = {}
        self._messages_in = metrics.meter("MessagesInPerSec")
        self._bytes_in = metrics.meter("BytesInPerSec")
        self._bytes_out = metrics.meter("BytesOutPerSec")
        self._bytes_rejected = metrics.meter("BytesRejectedPerSec")
        self._total_produce = metrics.meter("TotalProduceRequestsPerSec")
        self._total_fetch = metrics.meter("TotalFetchRequestsPerSec")
        self._failed_produce = metrics.meter("FailedProduceRequestsPerSec")
        self._failed_fetch = metrics.meter("FailedFetchRequestsPerSec")
        self._topic_metrics = TopicMetrics(metrics)
        self._expired_produces = metrics.meter("ExpiresPerSec")
        self._expired_fetches = metrics.meter("ExpiresPerSec,fetcherType=consumer")
        metrics.gauge("PartitionCount", lambda: len(self.partitions))
        metrics.gauge("LeaderCount", lambda: sum(p.leads for p in self._all()))
        metrics.gauge(
            "UnderReplicatedPartitions",
            lambda: sum(p.under_replicated for p in self._all()),
        )
        metrics.gauge(
            "UnderMinIsrPartitionCount",
            lambda: sum(p.leads and p.spare_replicas < 0 for p in self._all()),
        )
        metrics.gauge(
            "AtMinIsrPartitionCount",
            lambda: sum(p.leads and p.spare_replicas == 0 for p in self._all()),
        )
        metrics.gauge(
            "OfflineReplicaCount",
            lambda: sum(p.log.failure is not None for p in self.partitions.values()),
        )

    # --- which partitions ---

    def _all(self) -> Iterable[Partition]:
        return self.partitions.values()

    def add(
        self,
        topic: Topic,
        index: int,
        log: PartitionLog,
        kind: Callable[[Topic, int, PartitionLog, GroupFlusher], Partition] = Partition,
    ) -> Partition:
        """Have a partition from now on; lead it, unless ``kind`` knows better."""
        key = (topic.name, index)
        flusher = GroupFlusher(
            log,
            self._executor,
            lambda: self.high_watermark_moved(key),
            self._metrics.histogram("LogFlushRateAndTimeMs"),
        )
        partition = self.partitions[key] = kind(topic, index, log, flusher)
        partition.meters = self._topic_metrics.of(topic.name)
        return partition

    async def configure(self, key: Key, topic: Topic) -> None:
        """Let the topic's new settings hold for a partition."""
        partition = self.partitions[key]
        if topic.config.flush_policy == GROUP:
            # From here consumers see what is flushed; what they saw must be.
            while partition.log.needs_flush:
                await partition.flusher.idle()
        partition.topic = topic
        partition.log.config = topic.config
        self.high_watermark_moved(key)

    async def remove(self, key: Key) -> None:
        """Stop leading a partition; what waits on it is answered."""
        partition = self.partitions.pop(key)
        partition.gone = True
        partition.log.failure = "the topic is deleted"
        async with partition.cleaning:
            await partition.flusher.idle()
        self.high_watermark_moved(key)
        self._metrics.forget(f"ExpiresPerSec,topic={key[0]},partition={key[1]}")
        if not any(topic == key[0] for topic, _ in self.partitions):
            self._topic_metrics.forget(key[0])

    async def clean(self, partition: Partition, now_ms: int) -> None:
        """Compact a partition if enough of it is worth it.

        Once begun it is finished even when the caller is cancelled, because files that
        are read must not be closed.
        """
        log = partition.log
        visible = partition.high_watermark.offset
        if log.failure is None and cleaner.worth_it(log, now_ms, visible):
            await asyncio.shield(self._loop.create_task(self._clean(partition, now_ms)))

    async def _clean(self, partition: Partition, now_ms: int) -> None:
        log = partition.log
        async with partition.cleaning:
            log.cleaning = True
            try:
                visible = partition.high_watermark.offset
                closed = cleaner.cleanable(log, now_ms, visible)
                if not closed:
                    return
                cleaned = await self._loop.run_in_executor(
                    self._executor, cleaner.clean, log, closed, now_ms
                )
                if not partition.gone:
                    cleaner.put_in_place(log, cleaned)
            finally:
                log.cleaning = False

    # --- produce ---

    def append(
        self,
        key: Key,
        data: memoryview | None,
        *,
        acks: int,
        zstd: bool = True,
        verify: Callable[[Batch], None] | None = None,
    ) -> Appended:
        """Check and append what a producer sent for one partition; never raises.

        ``verify`` says whether a transactional batch may be written; without it none
        may.
        """
        partition = self.partitions.get(key)
        appended = Appended(partition)
        if partition is None:
            return appended.fail(Code.UNKNOWN_TOPIC_OR_PARTITION)
        try:
            data = data or memoryview(b"")
            if not partition.leads:
                # first, because only this makes clients ask where the leader is
                raise ApiError(Code.NOT_LEADER_OR_FOLLOWER)
            if acks == _ALL and partition.spare_replicas < 0:
                raise ApiError(
                    Code.NOT_ENOUGH_REPLICAS,
                    f"min.insync.replicas is {partition.log.config.min_insync_replicas}, "
                    f"in sync are {partition.in_sync_count}",
                )
            self._append(partition, appended, data, zstd=zstd, verify=verify)
        except ApiError as error:
            appended.fail(error.code, error.message)
        except StorageError as error:
            appended.fail(Code.KAFKA_STORAGE_ERROR, str(error))
        self._total_produce.count += 1
        partition.meters.total_produce.count += 1
        if appended.error is not Code.NONE:
            self._count_failed(partition, appended.error, len(data or b""))
        return appended

    def _count_failed(self, partition: Partition, error: Code, size: int) -> None:
        self._failed_produce.count += 1
        partition.meters.failed_produce.count += 1
        if error is Code.MESSAGE_TOO_LARGE:
            self._bytes_rejected.count += size
            partition.meters.bytes_rejected.count += size

    def _append(
        self,
        partition: Partition,
        appended: Appended,
        data: memoryview,
        *,
        zstd: bool,
        verify: Callable[[Batch], None] | None,
    ) -> None:
        log = partition.log
        if log.failure is not None:
            # before the sequence is judged: what failed a moment ago left a gap, and "out
            # of order" would make the producer begin a new epoch and write twice
            raise StorageError(log.failure)
        batch = batches.check(data, log.config.max_message_bytes, zstd=zstd)
        if batch.is_transactional:
            if verify is None:
                raise ApiError(Code.INVALID_TXN_STATE, "there is no transactional id")
            verify(batch)
        if batch.producer_id >= 0:
            before = log.producers.check(batch)
            if before is not None:
                # A retry: the same answer again, once the first copy is safe.
                appended.base_offset = before
                appended.required = before + batch.record_count
                return
        self._write(partition, appended, data, batch)

    def append_marker(self, key: Key, data: memoryview) -> Appended:
        """Append a control batch of the transaction coordinator; never raises."""
        partition = self.partitions[key]
        appended = Appended(partition)
        try:
            self._write(partition, appended, data, batches.parse(data))
        except StorageError as error:
            appended.fail(Code.KAFKA_STORAGE_ERROR, str(error))
        return appended

    def _write(
        self, partition: Partition, appended: Appended, data: memoryview, batch: Batch
    ) -> None:
        batch = partition.log.append(data, batch, partition.leader_epoch)
        appended.base_offset = batch.base_offset
        appended.required = batch.base_offset + batch.record_count
        self._messages_in.count += batch.record_count
        self._bytes_in.count += batch.size
        meters = partition.meters
        meters.messages_in.count += batch.record_count
        meters.bytes_in.count += batch.size
        if partition.group_flushed:
            partition.flusher.request()
            if partition.replicated:
                self.high_watermark_moved(partition.key)  # followers fetch it
        else:
            self.high_watermark_moved(partition.key)

    def wait_for_acks(
        self, appended: list[Appended], timeout_ms: int, done: Callable[[], None]
    ) -> None:
        """Call ``done`` once all of ``appended`` are acknowledged or timed out."""
        keys = [a.partition.key for a in appended if a.partition is not None]
        operation = DelayedProduce(timeout_ms, appended, done, self._expired)
        self._produce_purgatory.try_complete_else_watch(operation, keys)

    def _expired(self, pending: list[Appended]) -> None:
        """Acknowledgements that did not come in time (``DelayedProduceMetrics``)."""
        self._expired_produces.count += len(pending)
        for each in pending:
            if each.partition is not None:
                topic, index = each.partition.key
                tags = f"topic={topic},partition={index}"
                self._metrics.meter(f"ExpiresPerSec,{tags}").mark()

    # --- fetch ---

    def read(
        self, queries: list[FetchQuery], max_bytes: int, *, committed: bool = False
    ) -> tuple[list[PartitionData], int, bool]:
        """Read what is there now.

        Returns:
            One answer per query, their bytes, and whether there is a reason to answer
            at once (an error).
        """
        answers = []
        total = 0
        urgent = False
        for query in queries:
            left = max_bytes - total
            data = self._read(query, left, first=total == 0, committed=committed)
            total += data.size
            if query.partition is not None:
                meters = query.partition.meters
                meters.total_fetch.count += 1
                meters.bytes_out.count += data.size
                meters.failed_fetch.count += data.error != 0
            if data.error != 0:
                self._failed_fetch.count += 1
                urgent = True
            answers.append(data)
        self._total_fetch.count += len(queries)
        self._bytes_out.count += total
        return answers, total, urgent

    def _read(
        self, query: FetchQuery, left: int, *, first: bool, committed: bool
    ) -> PartitionData:
        wanted, partition = query.wanted, query.partition
        if partition is None:
            return PartitionData(wanted.partition, query.error)
        log = partition.log
        end = partition.high_watermark
        stable = log.last_stable(end) if log.producers.open else end
        limit = stable if committed else end
        try:
            partition.check_epoch(wanted.current_leader_epoch)
            found = log.read(
                wanted.fetch_offset,
                max(0, min(wanted.max_bytes, left)),
                limit,
                at_least_one=first,
                regions=True,
            )
        except ApiError as error:
            return PartitionData(
                wanted.partition,
                error.code,
                end.offset,
                stable.offset,
                log.start_offset,
            )
        except OSError as error:
            log.fail(f"cannot read: {error.strerror}")
            return PartitionData(wanted.partition, Code.KAFKA_STORAGE_ERROR)
        aborted: list[tuple[int, int]] = []
        if committed and len(log.aborted):
            between = log.aborted.between(wanted.fetch_offset, limit.offset)
            aborted = [(each.producer_id, each.first_offset) for each in between]
        return PartitionData(
            wanted.partition,
            Code.NONE,
            end.offset,
            stable.offset,
            log.start_offset,
            found.parts,
            found.size,
            aborted,
        )

    def wait_for_data(
        self,
        queries: list[FetchQuery],
        min_bytes: int,
        max_wait_ms: int,
        done: Callable[[], None],
        *,
        committed: bool = False,
    ) -> None:
        """Call ``done`` once ``min_bytes`` can be read or ``max_wait_ms`` are over."""
        operation = DelayedFetch(
            max_wait_ms,
            min_bytes,
            queries,
            done,
            self._expired_fetches.mark,
            committed=committed,
        )
        keys = [q.partition.key for q in queries if q.partition is not None]
        self.fetch_purgatory.try_complete_else_watch(operation, keys)

    # --- events ---

    def high_watermark_moved(self, key: Key) -> None:
        if not self._moved:
            self._loop.call_soon(self._complete_moved)
        self._moved[key] = None

    def _complete_moved(self) -> None:
        moved, self._moved = self._moved, {}
        for key in moved:
            self._produce_purgatory.check_and_complete(key)
            self.fetch_purgatory.check_and_complete(key)

    async def flush_all(self) -> None:
        """Wait until every partition is on the platter."""
        for partition in list(self.partitions.values()):
            async with partition.cleaning:
                await partition.flusher.idle()
