"""One partition as clients see it: who leads it, and how far it can be read.

(``Partition``.) The *high watermark* is the end of what consumers may see. With
``flush.policy=group`` it is the flushed offset: a record that a power cut can remove is
shown to nobody, and acks=all waits until the high watermark has passed it. With
``flush.policy=none`` it is the log end offset, as in Kafka with one replica. With more
replicas it is the smallest of theirs, and a partition may have its leader elsewhere:
``replication.partition`` says how.
"""

import asyncio
from typing import ClassVar

from salon.broker.config import GROUP
from salon.broker.errors import ApiError, Code
from salon.broker.log.flusher import GroupFlusher
from salon.broker.log.partition_log import LogOffset, PartitionLog
from salon.broker.topic_metrics import TopicMeters
from salon.broker.topics import Topic

Key = tuple[str, int]


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
        return self.log.last_stable(end) if committed else end

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
