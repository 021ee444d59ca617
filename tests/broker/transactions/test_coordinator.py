"""The coordinator over the socket: who may do what, and what a restart finishes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from salon.broker.errors import Code
from salon.broker.log import batch as batches
from salon.broker.protocol.cold import make
from salon.broker.protocol.versions import (
    ADD_OFFSETS_TO_TXN,
    ADD_PARTITIONS_TO_TXN,
    END_TXN,
    INIT_PRODUCER_ID,
    PRODUCE,
)
from salon.broker.server import Broker
from salon.broker.topics import TRANSACTIONS_TOPIC
from salon.broker.transactions import coordinator
from salon.broker.transactions.records import (
    State,
    Transaction,
    read_key,
    read_value,
    write_key,
    write_value,
)
from tests.broker.cluster import until
from tests.broker.conftest import config
from tests.broker.wire import Wire, decode_response, encode, module

Who = tuple[int, int]


async def init(
    wire: Wire, name: str = "me", who: Who = (-1, -1), ms: int = 60_000
) -> Any:
    return await wire.ask(
        INIT_PRODUCER_ID,
        4,
        transactional_id=name,
        transaction_timeout=timedelta(milliseconds=ms),
        producer_id=who[0],
        producer_epoch=who[1],
    )


async def add(wire: Wire, who: Who, *topics: str, name: str = "me") -> list[int]:
    m = module(ADD_PARTITIONS_TO_TXN, 3, "request")
    answer = await wire.ask(
        ADD_PARTITIONS_TO_TXN,
        3,
        v3_and_below_transactional_id=name,
        v3_and_below_producer_id=who[0],
        v3_and_below_producer_epoch=who[1],
        v3_and_below_topics=[
            m.AddPartitionsToTxnTopic(name=topic, partitions=(0,)) for topic in topics
        ],
    )
    return [
        p.partition_error_code
        for t in answer.results_by_topic_v3_and_below
        for p in t.results_by_partition
    ]


async def end(wire: Wire, who: Who, *, commit: bool, name: str = "me") -> int:
    answer = await wire.ask(
        END_TXN,
        3,
        transactional_id=name,
        producer_id=who[0],
        producer_epoch=who[1],
        committed=commit,
    )
    return int(answer.error_code)


async def write(
    wire: Wire, who: Who, sequence: int = 0, name: str | None = "me", topic: str = "t"
) -> int:
    data = batches.build(
        [(None, b"x")],
        1000,
        producer=(*who, sequence),
        attributes=batches.TRANSACTIONAL,
    )
    m = module(PRODUCE, 9, "request")
    one = m.PartitionProduceData(index=0, records=bytes(data))
    entity = make(
        m.ProduceRequest,
        transactional_id=name,
        acks=-1,
        timeout=timedelta(seconds=5),
        topic_data=(m.TopicProduceData(name=topic, partition_data=(one,)),),
    )
    wire.send(PRODUCE, 9, encode(entity))
    _, answer = await wire.receive()
    response = decode_response(PRODUCE, 9, answer)
    return int(response.responses[0].partition_responses[0].error_code)


async def begin(wire: Wire) -> Who:
    await wire.create("t")
    made = await init(wire)
    return made.producer_id, made.producer_epoch


async def test_only_partitions_that_were_added_are_written(wire: Wire):
    who = await begin(wire)
    too_early = await write(wire, who)
    await add(wire, who, "t")
    right = await write(wire, who)
    nameless = await write(wire, who, 1, name=None)
    committed = await end(wire, who, commit=True)
    too_late = await write(wire, who, 1)

    assert (right, committed) == (0, 0)
    assert [too_early, nameless, too_late] == [Code.INVALID_TXN_STATE] * 3


async def test_a_new_owner_of_the_name_fences_the_old_one(wire: Wire):
    old = await begin(wire)
    await add(wire, old, "t")
    await write(wire, old)
    made = await init(wire)
    new = (made.producer_id, made.producer_epoch)

    assert new[0] == old[0]
    assert new[1] > old[1]
    assert await write(wire, old, 1) == Code.INVALID_PRODUCER_EPOCH
    assert await add(wire, old, "t") == [Code.PRODUCER_FENCED]
    assert await end(wire, old, commit=True) == Code.PRODUCER_FENCED
    assert (await init(wire, who=old)).error_code == Code.PRODUCER_FENCED
    assert (await init(wire, who=new)).error_code == 0


async def test_the_topic_of_groups_is_made_for_the_first_offsets(wire: Wire):
    """librdkafka asks this first, and would ask it for ever."""
    who = await begin(wire)
    answer = await wire.ask(
        ADD_OFFSETS_TO_TXN,
        3,
        transactional_id="me",
        producer_id=who[0],
        producer_epoch=who[1],
        group_id="g",
    )
    assert answer.error_code == 0
    assert await end(wire, who, commit=True) == 0


async def test_an_answer_that_was_lost_is_given_again(wire: Wire):
    """A producer asks for a new epoch twice, because it did not hear of the first."""
    who = await begin(wire)
    raised = await init(wire, who=who)
    again = await init(wire, who=who)
    new = (raised.producer_id, raised.producer_epoch)

    assert new == (who[0], who[1] + 1)
    assert (again.producer_id, again.producer_epoch) == new
    await add(wire, new, "t")
    assert (await init(wire, who=who)).error_code == Code.PRODUCER_FENCED


async def test_what_is_not_over_yet_is_asked_for_again(
    broker: Broker, wire: Wire, monkeypatch: pytest.MonkeyPatch
):
    """The markers take long: the decision stands, and the next one has to wait."""
    monkeypatch.setattr(coordinator, "_PATIENCE_S", 0.0)
    go = asyncio.Event()
    deliver = broker.transactions._markers.deliver

    async def slow(*what: Any) -> None:
        await go.wait()
        await deliver(*what)

    monkeypatch.setattr(broker.transactions._markers, "deliver", slow)
    who = await begin(wire)
    await add(wire, who, "t")
    await write(wire, who)
    decided = await end(wire, who, commit=True)
    repeated = await end(wire, who, commit=True)
    turned = await end(wire, who, commit=False)
    early = await add(wire, who, "t")
    successor = (await init(wire)).error_code
    go.set()
    await until(lambda: broker.transactions.find("me").state is State.COMPLETE_COMMIT)

    assert (decided, repeated, turned) == (0, 0, Code.INVALID_TXN_STATE)
    assert (early, successor) == (
        [Code.CONCURRENT_TRANSACTIONS],
        Code.CONCURRENT_TRANSACTIONS,
    )
    assert await add(wire, who, "t") == [0]


async def test_an_end_is_repeated_without_harm_and_not_turned_around(wire: Wire):
    who = await begin(wire)
    nothing = await end(wire, who, commit=True)
    await add(wire, who, "t")
    first = await end(wire, who, commit=True)
    again = await end(wire, who, commit=True)
    other = await end(wire, who, commit=False)

    assert nothing == Code.INVALID_TXN_STATE
    assert (first, again) == (0, 0)
    assert other == Code.INVALID_TXN_STATE


async def test_a_transaction_has_all_partitions_or_none(wire: Wire):
    who = await begin(wire)
    codes = await add(wire, who, "t", "no-such-topic")

    assert codes == [Code.OPERATION_NOT_ATTEMPTED, Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert await write(wire, who) == Code.INVALID_TXN_STATE


@pytest.mark.parametrize("ms", [0, -1, 900_001])
async def test_a_timeout_has_limits(wire: Wire, ms: int):
    assert (await init(wire, ms=ms)).error_code == Code.INVALID_TRANSACTION_TIMEOUT


async def test_somebody_elses_producer_id_is_refused(wire: Wire):
    who = await begin(wire)
    stranger = (who[0] + 7, who[1])

    assert await add(wire, stranger, "t") == [Code.INVALID_PRODUCER_ID_MAPPING]
    assert await end(wire, who, commit=True, name="nobody") == (
        Code.INVALID_PRODUCER_ID_MAPPING
    )


async def test_a_restart_finishes_what_was_decided(tmp_path: Path):
    """Stopped between the two phases: the marker is written at the next start."""
    settings = config(tmp_path / "data")
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        who = await begin(wire)
        await add(wire, who, "t")
        await write(wire, who)
        kept = broker.transactions._kept
        led, transaction = kept.known()[0]
        await kept.put(led, replace(transaction, state=State.PREPARE_COMMIT))
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        again = await end(wire, who, commit=True)
        log = broker.replicas.partitions["t", 0].log

        assert again == 0
        assert log.producers.open == {}
        assert log.end.offset == 2


async def test_an_open_transaction_is_known_after_a_restart(tmp_path: Path):
    settings = config(tmp_path / "data")
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        who = await begin(wire)
        await add(wire, who, "t")
        await write(wire, who)
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        assert await write(wire, who, 1) == 0
        assert await end(wire, who, commit=False) == 0
        assert len(broker.replicas.partitions["t", 0].log.aborted) == 1


async def test_names_that_nobody_uses_are_forgotten(tmp_path: Path):
    settings = config(tmp_path / "data", **{"transactional.id.expiration.ms": 1})
    async with Broker.open(settings) as broker, await Wire.connect(broker.port) as wire:
        await begin(wire)
        broker.transactions.find("me").updated_ms = 0
        await broker.transactions.expire()
        forgotten = broker.transactions.all()
    async with Broker.open(settings) as broker:
        assert forgotten == broker.transactions.all() == []


async def test_clients_do_not_write_the_coordinators_topic(wire: Wire):
    await begin(wire)
    answer = await wire.produce(TRANSACTIONS_TOPIC, b"x")

    assert answer.error_code == Code.INVALID_TOPIC_EXCEPTION


def test_what_is_kept_is_read_again():
    kept = Transaction(
        "me", 7, 3, 60_000, State.ONGOING, {("a", 0), ("a", 5), ("b", 1)}, 12, 10
    )

    assert read_key(write_key("me")) == "me"
    assert read_value("me", write_value(kept)) == kept
