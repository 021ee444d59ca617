"""Fetch (1) of a follower: it may see all there is, and says what it has.

Only on ``inter.broker.listener.name``: a client that claimed to be a replica could read
beyond the high watermark, and move it.
"""

from collections.abc import Callable

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers.context import Context
from salon.broker.log.partition_log import LogOffset
from salon.broker.protocol import fetch
from salon.broker.protocol.fetch import FetchPartition, FetchRequest, PartitionData
from salon.broker.purgatory import DelayedOperation
from salon.broker.replication.manager import Replication
from salon.broker.replication.partition import ReplicatedPartition

Asked = tuple[FetchPartition, ReplicatedPartition | None]


def handle(
    context: Context, replication: Replication, request: Request, asked: FetchRequest
) -> None:
    """Note what the follower has; answer when there is more, or something is wrong."""
    request.metric_name = "FetchFollower"
    version = request.header.api_version
    wanted = _look_up(context, replication, asked)
    refused = _acknowledge(replication, asked.replica_id, wanted)

    def answer() -> None:
        answers = _read(wanted, refused, asked.max_bytes)
        request.failed = any(each.error for each in answers)
        parts, size = fetch.encode(fetch.grouped(asked, answers), version)
        request.respond(*parts, size=size)

    if refused or asked.max_wait_ms <= 0 or _available(wanted) >= asked.min_bytes:
        answer()
        return
    operation = DelayedFollowerFetch(asked.max_wait_ms, asked.min_bytes, wanted, answer)
    keys = [partition.key for _, partition in wanted if partition is not None]
    context.replicas.fetch_purgatory.try_complete_else_watch(operation, keys)


class DelayedFollowerFetch(DelayedOperation):
    """Waits until the leader has appended ``min_bytes``, or leads no more."""

    def __init__(
        self,
        delay_ms: int,
        min_bytes: int,
        wanted: list[Asked],
        done: Callable[[], None],
    ) -> None:
        super().__init__(delay_ms)
        self._min_bytes = min_bytes
        self._wanted = wanted
        self._done = done

    def try_complete(self) -> bool:
        leads = all(p is not None and p.leads and not p.gone for _, p in self._wanted)
        if leads and _available(self._wanted) < self._min_bytes:
            return False
        return self.force_complete()

    def on_complete(self) -> None:
        self._done()

    def on_expiration(self) -> None:
        """Nothing came: the answer is empty, and carries the high watermark."""


def _look_up(
    context: Context, replication: Replication, asked: FetchRequest
) -> list[Asked]:
    found: list[Asked] = []
    for named, partitions in asked.topics:
        topic = named if isinstance(named, str) else None
        if topic is None:
            by_id = context.topics.by_id(named)  # type: ignore[arg-type]
            topic = by_id.name if by_id is not None else ""
        found += [
            (each, replication.get((topic, each.partition))) for each in partitions
        ]
    return found


def _acknowledge(
    replication: Replication, replica: int, wanted: list[Asked]
) -> dict[int, PartitionData]:
    """Take what the follower has; by place in ``wanted``, what cannot be read."""
    refused = {}
    for place, (asked, partition) in enumerate(wanted):
        try:
            if partition is None:
                raise ApiError(Code.UNKNOWN_TOPIC_OR_PARTITION)
            partition.check_epoch(asked.current_leader_epoch)
            diverging = _diverging(partition, asked)
            if diverging is not None:
                refused[place] = _told(asked, partition, diverging=diverging)
                continue
            log = partition.log
            if not log.start_offset <= asked.fetch_offset <= log.end.offset:
                raise ApiError(Code.OFFSET_OUT_OF_RANGE)
            replication.in_sync.followed(partition, replica, asked.fetch_offset)
        except ApiError as error:
            refused[place] = _told(asked, partition, error=error.code)
    return refused


def _diverging(
    partition: ReplicatedPartition, asked: FetchPartition
) -> tuple[int, int] | None:
    """Where the follower's log parts from ours (KIP-595), if it does."""
    if asked.last_fetched_epoch < 0:
        return None
    epoch, end = partition.log.epoch_end(asked.last_fetched_epoch)
    if epoch < 0:
        return None  # older than all we know: its offset decides
    if epoch < asked.last_fetched_epoch or end < asked.fetch_offset:
        return epoch, end
    return None


def _told(
    asked: FetchPartition,
    partition: ReplicatedPartition | None,
    *,
    error: Code = Code.NONE,
    diverging: tuple[int, int] | None = None,
) -> PartitionData:
    high_watermark = start = -1
    if partition is not None:
        high_watermark = partition.high_watermark.offset
        start = partition.log.start_offset
    return PartitionData(
        asked.partition,
        error,
        high_watermark,
        high_watermark,
        start,
        diverging=diverging,
    )


def _available(wanted: list[Asked]) -> int:
    """Bytes behind what the follower has; a lot where that cannot be told."""
    total = 0
    for asked, partition in wanted:
        if partition is None or asked.fetch_offset >= partition.log.end.offset:
            continue
        at: LogOffset = partition.log.end
        total += max(1, at.position)
    return total


def _read(
    wanted: list[Asked], refused: dict[int, PartitionData], max_bytes: int
) -> list[PartitionData]:
    answers = []
    left = max_bytes
    for place, (asked, partition) in enumerate(wanted):
        if place in refused or partition is None:
            answers.append(refused[place])
            continue
        log = partition.log
        try:
            partition.check_epoch(asked.current_leader_epoch)
            found = log.read(
                asked.fetch_offset,
                max(0, min(asked.max_bytes, left)),
                log.end,
                at_least_one=left == max_bytes,
                regions=True,
            )
        except ApiError as error:
            answers.append(_told(asked, partition, error=error.code))
            continue
        except OSError as error:
            log.fail(f"cannot read: {error.strerror}")
            answers.append(_told(asked, partition, error=Code.KAFKA_STORAGE_ERROR))
            continue
        left -= found.size
        told = _told(asked, partition)
        answers.append(told._replace(records=found.parts, size=found.size))
    return answers
