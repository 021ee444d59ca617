"""A partition that several brokers have: one leads, the others copy.

(``Partition.scala``, KIP-101, KIP-497.) Theory of operation
------------------------------------------------------------
The *in-sync replicas* (ISR) are those that have all that was acknowledged with acks=all.
The *high watermark* is the smallest log end of theirs, so whoever of them leads next
still has everything below it. It moves when a follower asks for what comes next: the
fetch offset says what it has. With ``flush.policy=group`` the leader counts as having
only what is flushed here; followers count what they have in memory, because what is on
one platter and in two memories survives a power cut here and a death here.

The ISR **shrinks** when a follower was not at the end of the log for
``replica.lag.time.max.ms``, and **grows** when one has reached the high watermark and the
offset at which this leadership began (what a former leader had acknowledged lies before
that). The leader only proposes; the controller decides. While a proposal is out, a
newcomer counts for the high watermark already, and one that is to go still counts: both
are the careful side.

The high watermark does not move while fewer replicas than ``min.insync.replicas`` are in
sync, and never backwards.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from salon.broker.errors import ApiError, Code
from salon.broker.log.flusher import GroupFlusher
from salon.broker.log.partition_log import LogOffset, PartitionLog
from salon.broker.partition import Partition
from salon.broker.topics import Topic

NO_LEADER = -1
DURING_DELETE = -2
"""Leader of a partition that is being removed (``LeaderAndIsr.LeaderDuringDelete``)."""


class PartitionState(NamedTuple):
    """What the controller has decided about a partition."""

    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    partition_epoch: int
    replicas: tuple[int, ...]


class Follower:
    """What the leader knows of one follower; times in milliseconds of the loop."""

    __slots__ = ("caught_up_ms", "end_then", "fetched_ms", "log_end")

    def __init__(self, caught_up_ms: float) -> None:
        self.log_end = -1
        self.caught_up_ms = caught_up_ms
        self.fetched_ms = 0.0
        self.end_then = -1


class ReplicatedPartition(Partition):
    """One replica of a partition: the leader's, or a follower's.

    Args:
        topic, index, log, flusher: as of every partition.
        me: this broker's id.
        lag_ms: ``replica.lag.time.max.ms``.
        now_ms: monotonic milliseconds.
        high_watermark: as it was checkpointed.
    """

    __slots__ = (
        "_followers",
        "_high_watermark",
        "_lag_ms",
        "_me",
        "_now_ms",
        "epoch_start",
        "leads",
        "pending",
        "state",
    )

    replicated = True

    def __init__(
        self,
        topic: Topic,
        index: int,
        log: PartitionLog,
        flusher: GroupFlusher,
        *,
        me: int,
        lag_ms: float,
        now_ms: Callable[[], float],
        high_watermark: int,
    ) -> None:
        super().__init__(topic, index, log, flusher)
        self._me = me
        self._lag_ms = lag_ms
        self._now_ms = now_ms
        self._followers: dict[int, Follower] = {}
        self.leader_epoch = -1  # no controller has spoken
        self.state = PartitionState(NO_LEADER, -1, (), -1, ())
        self.leads = False
        self.pending: tuple[int, ...] | None = None
        self.epoch_start = -1
        self._high_watermark = self._at(high_watermark)

    # --- roles ---

    def lead(self, state: PartitionState) -> None:
        """Become the leader, or lead on under a new epoch.

        Raises:
            StorageError: ours; the epoch cannot be noted.
        """
        if state.leader_epoch > self.leader_epoch:
            self.log.begin_epoch(state.leader_epoch)
            self.epoch_start = self.log.end.offset
            now = self._now_ms()
            self._followers = {
                replica: Follower(now if replica in state.isr else -self._lag_ms - 1)
                for replica in state.replicas
                if replica != self._me
            }
        self._take(state)
        self.leads = True

    def follow(self, state: PartitionState) -> None:
        """Become a follower: nothing is appended here but what the leader has."""
        self._take(state)
        self.leads = False
        self._followers = {}

    def _take(self, state: PartitionState) -> None:
        self.state = state
        self.leader_epoch = state.leader_epoch
        self.pending = None

    # --- what is in sync ---

    @property
    def in_sync_count(self) -> int:  # type: ignore[override]
        return len(self.state.isr)

    @property
    def under_replicated(self) -> bool:  # type: ignore[override]
        return self.leads and len(self.state.isr) < len(self.state.replicas)

    @property
    def high_watermark(self) -> LogOffset:
        if self.leads and self.spare_replicas >= 0:
            end = self.log.flushed if self.group_flushed else self.log.end
            offset = min(end.offset, self._followers_end())
            if offset > self._high_watermark.offset:
                self._high_watermark = self._at(offset)
        return self._high_watermark

    def _followers_end(self) -> int:
        """The smallest log end of the followers that count."""
        maximal = self.state.isr if self.pending is None else self.maximal_isr
        end = self.log.end.offset
        oldest = self._now_ms() - self._lag_ms
        return min(
            (
                follower.log_end
                for replica, follower in self._followers.items()
                if replica in maximal or self._joins(follower, end, oldest)
            ),
            default=end,
        )

    @staticmethod
    def _joins(follower: Follower, end: int, oldest: float) -> bool:
        """Not in sync yet, but keeping up: waited for, or it would never catch up."""
        caught_up = follower.log_end == end or follower.caught_up_ms >= oldest
        return follower.log_end >= 0 and caught_up

    @property
    def maximal_isr(self) -> set[int]:
        """The ISR with those that are proposed."""
        return {*self.state.isr, *(self.pending or ())}

    def _at(self, offset: int) -> LogOffset:
        log = self.log
        offset = max(log.start_offset, min(offset, log.end.offset))
        for known in (log.end, log.flushed):
            if known.offset == offset:
                return known
        return log.locate(offset)

    def fetched(self, replica: int, offset: int) -> tuple[int, ...] | None:
        """A follower asks for ``offset``, so it has all before.

        Returns:
            The ISR to propose, if the follower may join it.

        Raises:
            ApiError: theirs; UNKNOWN_LEADER_EPOCH, it is no replica of ours (yet).
        """
        follower = self._followers.get(replica)
        if follower is None:
            raise ApiError(Code.UNKNOWN_LEADER_EPOCH)
        now, end = self._now_ms(), self.log.end.offset
        if offset >= end:
            follower.caught_up_ms = now
        elif offset >= follower.end_then:
            follower.caught_up_ms = max(follower.caught_up_ms, follower.fetched_ms)
        follower.log_end = offset
        follower.fetched_ms = now
        follower.end_then = end
        isr = self.state.isr
        if replica in isr or self.pending is not None:
            return None
        if offset < max(self.high_watermark.offset, self.epoch_start):
            return None
        return (*isr, replica)

    def end_of(self, replica: int) -> int:
        """How far a follower had come when it last asked; -1 when it has not."""
        follower = self._followers.get(replica)
        return -1 if follower is None else follower.log_end

    def without_laggards(self) -> tuple[int, ...] | None:
        """The ISR to propose, if somebody in it does not keep up."""
        if not self.leads or self.pending is not None:
            return None
        end, oldest = self.log.end.offset, self._now_ms() - self._lag_ms
        slow = {
            replica
            for replica, follower in self._followers.items()
            if replica in self.state.isr
            and follower.log_end != end
            and follower.caught_up_ms < oldest
        }
        return tuple(r for r in self.state.isr if r not in slow) if slow else None

    def lag(self) -> int:
        """Records that the slowest follower has not fetched."""
        ends = [each.log_end for each in self._followers.values()]
        return max(0, self.log.end.offset - max(0, min(ends))) if ends else 0

    # --- as a follower ---

    def leader_has(self, high_watermark: int, log_start: int) -> None:
        """What a fetch has told of the leader's log."""
        if log_start > self.log.start_offset:
            self.log.delete_records(min(log_start, self.log.end.offset))
        offset = min(high_watermark, self.log.end.offset)
        if offset > self._high_watermark.offset:
            self._high_watermark = self._at(offset)

    def cut(self, offset: int) -> None:
        """The log was truncated: nothing of what is gone may be remembered."""
        if offset <= self._high_watermark.offset:
            self._high_watermark = self._at(offset)

    # --- answers ---

    def check_epoch(self, epoch: int) -> None:
        if not self.leads:
            raise ApiError(Code.NOT_LEADER_OR_FOLLOWER)
        super().check_epoch(epoch)

    def check_latest(self) -> None:
        if self.high_watermark.offset < self.epoch_start:
            raise ApiError(Code.OFFSET_NOT_AVAILABLE)

    def acknowledgement(self, required: int, epoch: int) -> Code | None:
        if not self.leads or self.leader_epoch != epoch:
            return Code.NOT_LEADER_OR_FOLLOWER
        if self.high_watermark.offset >= required:
            return Code.NONE
        if self.log.failure is not None:
            return Code.KAFKA_STORAGE_ERROR
        if self.spare_replicas < 0:
            return Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND
        return None


def elect(
    replicas: Iterable[int], isr: Iterable[int], alive: Callable[[int], bool]
) -> int:
    """The first replica in the order of the assignment that lives and is in sync."""
    in_sync = set(isr)
    return next((r for r in replicas if r in in_sync and alive(r)), NO_LEADER)
