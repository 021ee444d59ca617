"""The partitions of this broker: append and acknowledge, fetch and wait.

(``ReplicaManager``.) Who asks for acks=all waits in the produce purgatory until the high
watermark (``partition``) has passed its records. A move of the high watermark completes
what waits for it, once per turn of the loop however many appends came in that turn.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from salon.broker.config import GROUP
from salon.broker.delayed import Appended, DelayedFetch, DelayedProduce, FetchQuery
from salon.broker.errors import ApiError, Code, StorageError
from salon.broker.log import batch as batches
from salon.broker.log import cleaner
from salon.broker.log.batch import Batch
from salon.broker.log.flusher import GroupFlusher
from salon.broker.log.partition_log import PartitionLog
from salon.broker.log.transactions import Marker, encode
from salon.broker.metrics import Metrics
from salon.broker.partition import Key, Partition
from salon.broker.protocol.fetch import PartitionData
from salon.broker.purgatory import Purgatory
from salon.broker.topic_metrics import TopicMetrics
from salon.broker.topics import Topic

_ALL = -1


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
            self._check_safe(partition, acks)
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

    def _check_safe(self, partition: Partition, acks: int = _ALL) -> None:
        """Whether what is appended here can be kept as ``acks`` wants it.

        Raises:
            ApiError: theirs; NOT_LEADER_OR_FOLLOWER, first, because only this makes
                clients ask where the leader is. Ours; NOT_ENOUGH_REPLICAS.
        """
        if not partition.leads:
            raise ApiError(Code.NOT_LEADER_OR_FOLLOWER)
        if acks == _ALL and partition.spare_replicas < 0:
            raise ApiError(
                Code.NOT_ENOUGH_REPLICAS,
                f"min.insync.replicas is {partition.log.config.min_insync_replicas}, "
                f"in sync are {partition.in_sync_count}",
            )

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

    def append_marker(self, key: Key, marker: Marker, now_ms: int) -> Appended:
        """Append what a transaction coordinator has decided; never raises."""
        partition = self.partitions.get(key)
        appended = Appended(partition)
        if partition is None:
            return appended.fail(Code.UNKNOWN_TOPIC_OR_PARTITION)
        try:
            self._check_safe(partition)
            partition.log.producers.check_marker(marker)
            data = encode(marker, now_ms)
            self._write(partition, appended, data, batches.parse(data))
        except ApiError as error:
            appended.fail(error.code, error.message)
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
        stable = log.last_stable(end)
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
            partition = self.partitions.get(key)
            if partition is not None and partition.log.producers.ended:
                end = partition.high_watermark.offset
                partition.log.producers.forget_ended(end)
            self._produce_purgatory.check_and_complete(key)
            self.fetch_purgatory.check_and_complete(key)

    async def flush_all(self) -> None:
        """Wait until every partition is on the platter."""
        for partition in list(self.partitions.values()):
            async with partition.cleaning:
                await partition.flusher.idle()
