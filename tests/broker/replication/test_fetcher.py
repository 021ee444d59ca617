"""Cutting a follower's log, while the controller changes its mind."""

from pathlib import Path

import pytest

from salon.broker.config import BrokerConfig
from salon.broker.errors import Code
from salon.broker.replication.fetcher import ReplicaFetcher
from salon.broker.replication.partition import PartitionState
from salon.broker.replication.wire import Fetched
from tests.broker.replication.test_partition import World

_KEY = ("t", 0)


class Waiting:
    """A flusher: something happens while its disk is waited for."""

    def __init__(self, meanwhile) -> None:
        self._meanwhile = meanwhile

    async def idle(self) -> None:
        self._meanwhile()

    def request(self) -> None:
        raise AssertionError("nothing was appended")


def answer(**fields) -> Fetched:
    told = {"error": 0, "high_watermark": 0, "log_start": 0, "diverging": None}
    return Fetched(key=_KEY, records=memoryview(b""), **{**told, **fields})


@pytest.fixture
async def copying(tmp_path: Path):
    """A follower with five records, and the fetcher that copies for it."""
    world = World(tmp_path)
    world.partition.leader_epoch = 0
    world.append(5)
    world.partition.follow(PartitionState(2, 1, (1, 2), 1, (1, 2)))
    fetcher = ReplicaFetcher(BrokerConfig(), lambda: None, lambda _: None)
    fetcher.add(world.partition)
    yield world, fetcher
    await fetcher.close()


@pytest.mark.parametrize(
    "told",
    [
        answer(diverging=(0, 2)),
        answer(error=Code.OFFSET_OUT_OF_RANGE, log_start=100),
    ],
    ids=["diverging", "out of range"],
)
async def test_who_leads_by_now_cuts_nothing(copying, told):
    """The former leader's answer is about a log that is the truth now."""
    world, fetcher = copying

    def elected() -> None:
        fetcher.remove(_KEY)
        world.partition.lead(PartitionState(1, 2, (1,), 2, (1, 2)))
        world.append()

    world.partition.flusher = Waiting(elected)
    await fetcher._apply(world.partition, told, 1)

    assert world.log.end.offset == 6
    assert world.log.epochs[-1] == (2, 5)


async def test_who_follows_another_leader_by_now_cuts_nothing(copying):
    world, fetcher = copying

    def elected() -> None:
        world.partition.follow(PartitionState(3, 2, (1, 3), 2, (1, 3)))

    world.partition.flusher = Waiting(elected)
    await fetcher._apply(world.partition, answer(diverging=(0, 2)), 1)

    assert world.log.end.offset == 5


async def test_a_follower_cuts_where_it_is_told(copying):
    world, fetcher = copying
    world.partition.flusher = Waiting(lambda: None)
    await fetcher._apply(world.partition, answer(diverging=(0, 2)), 1)

    assert world.log.end.offset == 2
