"""Records are taken only into a transaction that is open, as its coordinator knows."""

import pytest

from salon.broker.errors import ApiError, Code
from salon.broker.log import batch as batches
from salon.broker.log.transactions import Marker
from salon.broker.nodes import NOWHERE
from salon.broker.server import Broker
from salon.broker.topics import TRANSACTIONS_TOPIC
from salon.broker.transactions.verification import Guard, Verifier

PRODUCER = (7, 0)


class Coordinator:
    """Says what it is told to say."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def partition_for(self, _name: str) -> int:
        return 0

    def verify(self, *_who: object) -> None:
        if self.code is not Code.NONE:
            raise ApiError(self.code)


class Nodes:
    def __init__(self, leader: int | None) -> None:
        self.leader = leader

    def leader_id(self, topic: str, _index: int) -> int | None:
        return self.leader if topic == TRANSACTIONS_TOPIC else 1


@pytest.fixture
async def partition(broker: Broker):
    await broker.admin.create("t", 1)
    return broker.replicas.partitions["t", 0]


def first() -> memoryview:
    return batches.build(
        [(None, b"x")], 0, producer=(*PRODUCER, 0), attributes=batches.TRANSACTIONAL
    )


async def told(partition, code: Code, leader: int | None = 1) -> Code:
    verifier = Verifier(1, Nodes(leader), Coordinator(code), lambda _: None)
    guards = await verifier.ask("me", PRODUCER, [partition])
    return guards[partition.key].code


@pytest.mark.parametrize(
    ("code", "for_producers"),
    [
        (Code.NONE, Code.NONE),
        (Code.INVALID_TXN_STATE, Code.INVALID_TXN_STATE),
        (Code.INVALID_PRODUCER_EPOCH, Code.INVALID_PRODUCER_EPOCH),
        (Code.NOT_COORDINATOR, Code.NOT_ENOUGH_REPLICAS),
        (Code.COORDINATOR_LOAD_IN_PROGRESS, Code.NOT_ENOUGH_REPLICAS),
        (Code.CONCURRENT_TRANSACTIONS, Code.NOT_ENOUGH_REPLICAS),
    ],
)
async def test_what_may_pass_is_told_in_a_word_for_again(
    partition, code: Code, for_producers: Code
):
    assert await told(partition, code) is for_producers


@pytest.mark.parametrize("leader", [None, NOWHERE, 2])
async def test_a_coordinator_that_is_not_reached_is_asked_again(partition, leader):
    assert await told(partition, Code.NONE, leader) is Code.NOT_ENOUGH_REPLICAS


async def test_an_answer_from_before_a_marker_counts_no_more(broker, partition):
    guard = Guard(Code.NONE, partition.log.producers.marked_at(PRODUCER[0]))
    data = first()
    batch = batches.parse(data)
    guard.check(partition, batch)
    marker = Marker(*PRODUCER, commit=False, coordinator_epoch=0)
    assert broker.replicas.append_marker(partition.key, marker, 0).error is Code.NONE
    with pytest.raises(ApiError) as refused:
        guard.check(partition, batch)
    assert refused.value.code is Code.INVALID_TXN_STATE


async def test_who_is_in_the_middle_of_a_transaction_need_not_ask(broker, partition):
    guard = Guard(Code.NOT_ENOUGH_REPLICAS, -1)
    data = first()
    with pytest.raises(ApiError):
        guard.check(partition, batches.parse(data))
    partition.log.append(data, batches.parse(data))
    guard.check(partition, batches.parse(first()))
