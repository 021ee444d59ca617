"""What is in sync, how the high watermark moves, and what acks=all is told."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from salon.broker.config import TopicConfig
from salon.broker.errors import ApiError, Code
from salon.broker.log import batch as batches
from salon.broker.log.flusher import GroupFlusher
from salon.broker.log.partition_log import PartitionLog
from salon.broker.metrics import Metrics
from salon.broker.replication.partition import (
    NO_LEADER,
    PartitionState,
    ReplicatedPartition,
    elect,
)
from salon.broker.topics import Topic

LAG_MS = 1000


class World:
    """Broker 1's replica, with a clock that stands still."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.now = 0.0
        named = {name.replace("_", "."): value for name, value in settings.items()}
        config = TopicConfig().with_overrides({"flush.policy": "none", **named})
        self.log = PartitionLog(folder / "t-0", config)
        topic = Topic("t", uuid4(), 1, {}, config)
        flusher = GroupFlusher(
            self.log,
            ThreadPoolExecutor(1),
            lambda: None,
            Metrics().histogram("LogFlushRateAndTimeMs"),
        )
        self.partition = ReplicatedPartition(
            topic,
            0,
            self.log,
            flusher,
            me=1,
            lag_ms=LAG_MS,
            now_ms=lambda: self.now,
            high_watermark=0,
        )

    def append(self, count: int = 1) -> int:
        for _ in range(count):
            data = batches.build([(None, b"x")], 0)
            self.log.append(data, batches.parse(data), self.partition.leader_epoch)
        return self.log.end.offset

    def lead(self, isr: tuple[int, ...] = (1, 2, 3), epoch: int = 0) -> None:
        self.partition.lead(PartitionState(1, epoch, isr, epoch, (1, 2, 3)))

    @property
    def high_watermark(self) -> int:
        return self.partition.high_watermark.offset


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_the_high_watermark_is_the_smallest_end_of_those_in_sync(world):
    world.lead()
    world.append(5)
    world.partition.fetched(2, 5)
    assert world.high_watermark == 0  # nothing was heard of 3
    world.partition.fetched(3, 4)
    assert world.high_watermark == 4
    world.partition.fetched(3, 5)
    assert world.high_watermark == 5


async def test_the_high_watermark_never_goes_back(world):
    world.lead()
    world.append(5)
    for replica in (2, 3):
        world.partition.fetched(replica, 5)
    assert world.high_watermark == 5
    world.partition.fetched(2, 3)  # it was cut and copies again
    assert world.high_watermark == 5


async def test_too_few_in_sync_stop_the_high_watermark_and_acks_all(tmp_path):
    world = World(tmp_path, min_insync_replicas="2")
    world.lead()
    world.append(2)
    for replica in (2, 3):
        world.partition.fetched(replica, 2)
    assert world.high_watermark == 2
    alone = world.partition.state._replace(isr=(1,), partition_epoch=1)
    world.partition.state = alone
    end = world.append()
    assert world.high_watermark == 2
    assert world.partition.spare_replicas == -1
    epoch = world.partition.leader_epoch
    assert (
        world.partition.acknowledgement(end, epoch)
        is Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND
    )


async def test_who_does_not_keep_up_is_proposed_to_leave(world):
    world.lead()
    world.append(3)
    world.partition.fetched(2, 3)
    world.now = LAG_MS + 1
    world.append()
    world.partition.fetched(2, 4)
    assert world.partition.without_laggards() == (1, 2)


async def test_an_idle_follower_that_has_everything_stays(world):
    world.lead()
    world.append(3)
    for replica in (2, 3):
        world.partition.fetched(replica, 3)
    world.now = 100 * LAG_MS
    assert world.partition.without_laggards() is None


async def test_who_has_caught_up_is_proposed_to_join(world):
    world.lead(isr=(1, 2))
    world.append(3)
    world.partition.fetched(2, 3)
    assert world.high_watermark == 3
    assert world.partition.fetched(3, 2) is None
    assert world.partition.fetched(3, 3) == (1, 2, 3)


async def test_nobody_joins_below_the_start_of_the_leaders_epoch(world):
    world.append(4)
    world.lead(isr=(1,), epoch=5)
    assert world.partition.epoch_start == 4
    assert world.partition.fetched(2, 3) is None
    assert world.partition.fetched(2, 4) == (1, 2)


async def test_a_newcomer_that_is_proposed_counts_already(world):
    world.lead(isr=(1, 2))
    world.append(2)
    world.partition.fetched(2, 2)
    world.partition.pending = world.partition.fetched(3, 2)
    assert world.high_watermark == 2
    world.append(2)
    world.now = 2 * LAG_MS  # it would be too slow to be waited for otherwise
    world.partition.fetched(2, 4)
    assert world.high_watermark == 2
    world.partition.fetched(3, 4)
    assert world.high_watermark == 4


async def test_a_stranger_is_refused(world):
    world.lead()
    with pytest.raises(ApiError) as refused:
        world.partition.fetched(9, 0)
    assert refused.value.code is Code.UNKNOWN_LEADER_EPOCH


async def test_a_follower_leads_nobody(world):
    world.lead()
    end = world.append()
    world.partition.follow(PartitionState(2, 1, (1, 2), 1, (1, 2, 3)))
    assert world.partition.acknowledgement(end, 0) is Code.NOT_LEADER_OR_FOLLOWER
    with pytest.raises(ApiError) as refused:
        world.partition.check_epoch(1)
    assert refused.value.code is Code.NOT_LEADER_OR_FOLLOWER


async def test_records_of_a_former_leadership_are_not_acknowledged(world):
    world.lead()
    end = world.append()
    world.lead(epoch=2)
    for replica in (2, 3):
        world.partition.fetched(replica, end)
    assert world.high_watermark == end
    assert world.partition.acknowledgement(end, 0) is Code.NOT_LEADER_OR_FOLLOWER
    assert world.partition.acknowledgement(end, 2) is Code.NONE


async def test_the_latest_offset_is_unknown_right_after_an_election(world):
    world.append(3)
    world.lead(epoch=1)
    with pytest.raises(ApiError) as refused:
        world.partition.check_latest()
    assert refused.value.code is Code.OFFSET_NOT_AVAILABLE
    for replica in (2, 3):
        world.partition.fetched(replica, 3)
    world.partition.check_latest()


@pytest.mark.parametrize(
    ("isr", "alive", "leader"),
    [
        ((1, 2, 3), {1, 2, 3}, 1),
        ((2, 3), {1, 2, 3}, 2),
        ((1, 2, 3), {3}, 3),
        ((1,), {2, 3}, NO_LEADER),
    ],
)
def test_the_first_that_lives_and_is_in_sync_leads(isr, alive, leader):
    assert elect((1, 2, 3), isr, alive.__contains__) == leader
