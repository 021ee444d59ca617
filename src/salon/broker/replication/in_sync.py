"""Who is in sync: what leaders propose, and what the controller makes of it.

(``AlterPartitionManager`` and the ISR's half of ``Partition.scala``; KIP-497.) A leader
notes what its followers have, and proposes an ISR when one may join or is too slow. What
the controller has decided holds, by whichever way it is heard first.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code
from salon.broker.metrics import Metrics
from salon.broker.partition import Key
from salon.broker.replication.membership import Membership
from salon.broker.replication.partition import PartitionState, ReplicatedPartition
from salon.broker.replication.peer import PeerAway

log = logging.getLogger(__name__)

_DENIED = (Code.INELIGIBLE_REPLICA, Code.OPERATION_NOT_ATTEMPTED)
"""The controller says no, and so the ISR is what it was."""
_OUTDATED = (
    Code.FENCED_LEADER_EPOCH,
    Code.INVALID_UPDATE_VERSION,
    Code.UNKNOWN_TOPIC_ID,
    Code.UNKNOWN_TOPIC_OR_PARTITION,
)
"""It has decided something else, and its word is on the way."""


class Replicas(Protocol):
    """The replicas of a broker, which is a member of a cluster."""

    membership: Membership | None

    def all(self) -> Mapping[Key, ReplicatedPartition]: ...


class InSync:
    """Keeps the ISRs of what is led here.

    Args:
        config: of this broker.
        replicas: of it.
        moved: called with the key of a partition whose high watermark may have moved.
        start: runs something beside.
        metrics: of the broker.
    """

    def __init__(
        self,
        config: BrokerConfig,
        replicas: Replicas,
        moved: Callable[[Key], None],
        start: Callable[[Coroutine[None, None, None]], None],
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._replicas = replicas
        self._moved = moved
        self._start = start
        self._shrinks = metrics.meter("IsrShrinksPerSec")
        self._expands = metrics.meter("IsrExpandsPerSec")
        self._failed = metrics.meter("FailedIsrUpdatesPerSec")
        metrics.gauge("MaxLag,clientId=Replica", self._max_lag)

    def followed(
        self, partition: ReplicatedPartition, replica: int, offset: int
    ) -> None:
        """A follower has everything before ``offset``.

        Raises:
            ApiError: theirs; it is no replica of ours (yet).
        """
        before = partition.end_of(replica)
        grown = partition.fetched(replica, offset)
        if grown is not None:
            self._propose(partition, grown)
        # most fetches say the same of most partitions as the one before; only one that
        # is about to join may have let the high watermark go by falling behind
        if offset != before or partition.under_replicated:
            self._moved(partition.key)

    async def shrink(self) -> None:
        """Propose to go on without those that do not keep up."""
        for partition in self._replicas.all().values():
            smaller = partition.without_laggards()
            if smaller is not None:
                self._propose(partition, smaller)

    def _propose(self, partition: ReplicatedPartition, isr: tuple[int, ...]) -> None:
        partition.pending = isr
        self._start(self._alter(partition, partition.state._replace(isr=isr)))

    async def _alter(
        self, partition: ReplicatedPartition, proposed: PartitionState
    ) -> None:
        """Ask until the controller has answered, or has decided something else.

        As long as neither is so, the proposal may have been taken: it stays pending, and
        a newcomer counts.
        """
        before = partition.state
        while partition.state == before and not partition.gone:
            try:
                assert self._replicas.membership is not None
                holds = await self._replicas.membership.alter_partition(
                    partition.topic.id, partition.index, proposed
                )
            except PeerAway as away:
                self._not_altered(partition, proposed, away)
            except ApiError as error:
                self._not_altered(partition, proposed, error)
                if error.code in _OUTDATED:
                    return
                if error.code in _DENIED:
                    await asyncio.sleep(self._config.replica_fetch_backoff_ms / 1000)
                    if partition.state == before:
                        partition.pending = None
                    return
            else:
                self.take(partition, holds)
                return
            await asyncio.sleep(self._config.replica_fetch_backoff_ms / 1000)

    def _not_altered(
        self, partition: ReplicatedPartition, proposed: PartitionState, why: Exception
    ) -> None:
        self._failed.mark()
        log.info("%s-%d: ISR %s: %s", *partition.key, proposed.isr, why)

    def take(self, partition: ReplicatedPartition, holds: PartitionState) -> None:
        """The ISR as the controller has it, whichever way that was heard.

        Another leadership is begun by LeaderAndIsr alone, and old news are none.
        """
        before = partition.state
        if holds.leader_epoch != before.leader_epoch:
            return
        if holds.partition_epoch <= before.partition_epoch:
            return
        if partition.leads:
            grown = len(holds.isr) > len(before.isr)
            (self._expands if grown else self._shrinks).mark()
            log.info("%s-%d: in sync are %s", *partition.key, holds.isr)
        partition.state = holds._replace(replicas=before.replicas)
        partition.pending = None
        self._moved(partition.key)

    def _max_lag(self) -> int:
        return max(
            (p.lag() for p in self._replicas.all().values() if p.leads), default=0
        )
