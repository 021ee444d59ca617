"""ListOffsets (2) and OffsetForLeaderEpoch (23): questions about positions."""

from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.partition import Partition
from salon.broker.protocol.cold import make

_READ_COMMITTED = 1
_LATEST = -1
_EARLIEST = -2
_MAX_TIMESTAMP = -3
_EARLIEST_LOCAL = -4


def list_offsets(context: Context, request: Request) -> None:
    """The first, the last, or the first offset since a moment."""
    asked = answers.decode(request)
    schema = answers.schema(request)

    def one(topic: str, wanted: Any) -> Any:
        timestamp, offset, epoch, code = -1, -1, -1, Code.NONE
        try:
            partition = _partition(context, topic, wanted.partition_index)
            partition.check_epoch(getattr(wanted, "current_leader_epoch", -1))
            committed = getattr(asked, "isolation_level", 0) == _READ_COMMITTED
            if wanted.timestamp == _LATEST:
                partition.check_latest()
            end = partition.visible_end(committed=committed).offset
            timestamp, offset = _look_up(partition, wanted.timestamp, end)
            epoch = partition.leader_epoch if offset >= 0 else -1
        except ApiError as error:
            code = error.code
        return make(
            schema.ListOffsetsPartitionResponse,
            partition_index=wanted.partition_index,
            error_code=code,
            timestamp=timestamp,
            offset=offset,
            leader_epoch=epoch,
        )

    topics = [
        make(
            schema.ListOffsetsTopicResponse,
            name=topic.name,
            partitions=[one(topic.name, wanted) for wanted in topic.partitions],
        )
        for topic in asked.topics
    ]
    answers.respond(request, topics=topics)


def _partition(context: Context, topic: str, index: int) -> Partition:
    partition = context.replicas.partitions.get((topic, index))
    if partition is None:
        raise ApiError(Code.UNKNOWN_TOPIC_OR_PARTITION)
    return partition


def _look_up(partition: Partition, timestamp: int, end: int) -> tuple[int, int]:
    """(timestamp, offset); -1 where there is none."""
    log = partition.log
    if timestamp == _LATEST:
        return -1, end
    if timestamp in (_EARLIEST, _EARLIEST_LOCAL):
        return -1, log.start_offset
    if timestamp == _MAX_TIMESTAMP:
        newest = max(segment.max_timestamp for segment in log.segments)
        timestamp = newest if newest >= 0 else 2**62
    if timestamp < 0:
        return -1, -1  # tiered storage and its like: there is none
    found = log.find_timestamp(timestamp, end)
    return (found.timestamp, found.offset) if found is not None else (-1, -1)


def offset_for_leader_epoch(context: Context, request: Request) -> None:
    """Where an epoch ended: how a client notices that its records were cut."""
    asked = answers.decode(request)
    schema = answers.schema(request)

    def one(topic: str, wanted: Any) -> Any:
        epoch, end, code = -1, -1, Code.NONE
        try:
            partition = _partition(context, topic, wanted.partition)
            partition.check_epoch(wanted.current_leader_epoch)
            epoch, end = partition.log.epoch_end(wanted.leader_epoch)
        except ApiError as error:
            code = error.code
        return make(
            schema.EpochEndOffset,
            error_code=code,
            partition=wanted.partition,
            leader_epoch=epoch,
            end_offset=end,
        )

    topics = [
        make(
            schema.OffsetForLeaderTopicResult,
            topic=topic.topic,
            partitions=[one(topic.topic, wanted) for wanted in topic.partitions],
        )
        for topic in asked.topics
    ]
    answers.respond(request, topics=topics)
