"""Markers find their partitions, however often those move."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from salon.broker.errors import ApiError, Code
from salon.broker.log.transactions import Marker
from salon.broker.nodes import NOWHERE
from salon.broker.replication.peer import PeerAway
from salon.broker.transactions import markers as module
from salon.broker.transactions.markers import (
    Codes,
    Marked,
    MarkerChannel,
    TransactionMarkers,
)

MARKER = Marker(7, 0, commit=True, coordinator_epoch=3)
ME = 1
A, B = ("t", 0), ("t", 1)


class Cluster:
    """Who leads what, and what becomes of markers there; both change as they are told."""

    def __init__(self) -> None:
        self.leaders: dict[tuple[str, int], int] = {A: ME, B: 2}
        self.written: list[tuple[int, tuple[str, int]]] = []
        self.refusals: list[Code] = []
        self.away = 0

    def leader_id(self, topic: str, index: int) -> int | None:
        return self.leaders.get((topic, index))

    def write(
        self, wanted: Sequence[Marked], done: Callable[[list[Codes]], None]
    ) -> None:
        """As the writer on this broker."""
        done([self._codes(ME, each) for each in wanted])

    def _codes(self, broker: int, wanted: Marked) -> Codes:
        codes = {}
        for key in wanted.keys:
            code = self.refusals.pop(0) if self.refusals else Code.NONE
            if self.leaders.get(key) != broker:
                code = Code.NOT_LEADER_OR_FOLLOWER
            if code is Code.NONE:
                self.written.append((broker, key))
            codes[key] = code
        return codes

    async def over_the_wire(self, _peer: object, wanted: list) -> list[Codes]:
        """As the writer on broker 2."""
        if self.away:
            self.away -= 1
            raise PeerAway("it is away")
        return [self._codes(2, Marked(*each)) for each in wanted]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)
    monkeypatch.setattr(module.messages, "write_markers", made.over_the_wire)
    return made


def sender(nodes: Cluster) -> TransactionMarkers:
    return TransactionMarkers(ME, nodes, nodes, lambda _: ("127.0.0.1", 1))


async def test_each_goes_to_the_leader_of_its_partition(nodes: Cluster):
    await sender(nodes).deliver(MARKER, {A, B})
    assert nodes.written == [(ME, A), (2, B)]


@pytest.mark.parametrize(
    "refusal",
    [
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.NOT_ENOUGH_REPLICAS,
        Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code.REQUEST_TIMED_OUT,
        Code.KAFKA_STORAGE_ERROR,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
    ],
)
async def test_what_could_not_be_written_is_tried_again(nodes: Cluster, refusal: Code):
    nodes.refusals = [refusal, refusal, refusal]
    await sender(nodes).deliver(MARKER, {A, B})
    assert sorted(nodes.written) == [(ME, A), (2, B)]


async def test_a_broker_that_does_not_answer_is_asked_again(nodes: Cluster):
    nodes.away = 3
    await sender(nodes).deliver(MARKER, {B})
    assert nodes.written == [(2, B)]


async def test_a_partition_is_waited_for_until_somebody_leads_it(nodes: Cluster):
    nodes.leaders[A] = NOWHERE
    delivering = asyncio.create_task(sender(nodes).deliver(MARKER, {A, B}))
    while not nodes.written:
        await asyncio.sleep(0)
    assert not delivering.done()
    nodes.leaders[A] = 2
    await delivering
    assert nodes.written == [(2, B), (2, A)]


async def test_a_topic_that_is_gone_needs_no_marker(nodes: Cluster):
    del nodes.leaders[A]
    await sender(nodes).deliver(MARKER, {A, B})
    assert nodes.written == [(2, B)]


@pytest.mark.parametrize(
    "code", [Code.TRANSACTION_COORDINATOR_FENCED, Code.INVALID_PRODUCER_EPOCH]
)
async def test_a_coordinator_of_the_past_stops(nodes: Cluster, code: Code):
    nodes.refusals = [code]
    with pytest.raises(ApiError) as refused:
        await sender(nodes).deliver(MARKER, {A, B})
    assert refused.value.code is code


async def test_what_waits_for_a_broker_goes_in_one_request(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
):
    nodes.leaders = {("t", n): 2 for n in range(4)}
    requests = []
    go = asyncio.Event()

    async def slow(peer: object, wanted: list) -> list[Codes]:
        requests.append(len(wanted))
        await go.wait()
        return await nodes.over_the_wire(peer, wanted)

    monkeypatch.setattr(module.messages, "write_markers", slow)
    channel = MarkerChannel(lambda: None)
    writes = [
        asyncio.create_task(channel.write(Marked(MARKER, (("t", n),))))
        for n in range(4)
    ]
    while not requests:
        await asyncio.sleep(0)
    go.set()
    codes = await asyncio.gather(*writes)
    assert codes == [{("t", n): Code.NONE} for n in range(4)]
    assert len(requests) <= 2
    await channel.close()
