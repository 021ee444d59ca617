"""The control listener: answered while the data plane is full, closed to data."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from salon.broker.protocol.cold import make
from salon.broker.protocol.versions import (
    API_VERSIONS,
    CREATE_TOPICS,
    DESCRIBE_CLUSTER,
    FETCH,
    METADATA,
    PRODUCE,
)
from salon.broker.server import Broker
from salon.broker.socket_server import CONTROL_QUEUE
from tests.broker.conftest import config
from tests.broker.wire import Wire, decode_response, module

ALL_TOPICS_V1 = (-1).to_bytes(4, "big", signed=True)
SETTINGS = {
    "listeners": "PLAINTEXT://127.0.0.1:0,CONTROL://127.0.0.1:0",
    "listener.security.protocol.map": "CONTROL:PLAINTEXT",
    "control.plane.listener.name": "CONTROL",
    "queued.max.requests": 4,
}


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Broker]:
    async with Broker.open(config(tmp_path / "data", **SETTINGS)) as broker:
        yield broker


def control_port(broker: Broker) -> int:
    acceptor = broker.network.control_acceptor
    assert acceptor is not None
    return acceptor.port


async def describe(wire: Wire) -> int:
    answer = await wire.ask(
        DESCRIBE_CLUSTER, 0, include_cluster_authorized_operations=False
    )
    return int(answer.error_code)


async def test_control_is_answered_while_the_data_queue_is_full(both: Broker):
    """Not one data request moves, and every control request is answered."""
    data = [await Wire.connect(both.port) for _ in range(12)]
    both.network.data.pool.pause()
    for each in data:
        each.send(METADATA, 1, ALL_TOPICS_V1)
    while not all(p.stopped for p in both.network.data.processors):
        await asyncio.sleep(0)
    async with await Wire.connect(control_port(both)) as admin:
        codes = [await describe(admin) for _ in range(50)]
        stuck = len(both.network.data.channel)
    both.network.data.pool.resume()
    for each in data:
        await each.receive()
        each.writer.close()

    assert codes == [0] * 50
    assert stuck == SETTINGS["queued.max.requests"]


async def test_a_turn_of_the_data_plane_serves_control_before_each_request(
    both: Broker,
):
    """A whole data queue and one control request arrive before one turn."""
    data = [await Wire.connect(both.port) for _ in range(4)]
    order: list[str] = []
    handle = both._apis.handle

    def noting(request):  # type: ignore[no-untyped-def]
        order.append(request.owner.endpoint.name)
        return handle(request)

    both._apis.handle = noting  # type: ignore[method-assign]
    both.network.data.pool.pause()
    both.network.control.pool.pause()
    async with await Wire.connect(control_port(both)) as admin:
        for each in data:
            each.send(METADATA, 1, ALL_TOPICS_V1)
        while len(both.network.data.channel) < 4:
            await asyncio.sleep(0)
        admin.send(METADATA, 1, ALL_TOPICS_V1)
        while not len(both.network.control.channel):
            await asyncio.sleep(0)
        both.network.data.pool.resume()
        both.network.control.pool._paused = False
        await admin.receive()
    for each in data:
        await each.receive()
        each.writer.close()

    assert order == ["CONTROL"] + ["PLAINTEXT"] * 4


@pytest.mark.parametrize("key", [PRODUCE, FETCH])
async def test_the_control_listener_refuses_data(both: Broker, key: int):
    async with await Wire.connect(control_port(both)) as wire:
        if key == PRODUCE:
            wire.send_produce("t", b"x")
        else:
            wire.send_fetch("t", 0)
        assert await wire.reader.read() == b""


async def test_the_control_listener_says_which_apis_it_serves(both: Broker):
    async with await Wire.connect(control_port(both)) as wire:
        wire.send(API_VERSIONS, 0, b"")
        _, data = await wire.receive()
    keys = {api.api_key for api in decode_response(API_VERSIONS, 0, data).api_keys}

    assert keys.isdisjoint({PRODUCE, FETCH})
    assert {METADATA, CREATE_TOPICS, DESCRIBE_CLUSTER} <= keys


async def test_each_listener_tells_its_own_address(both: Broker):
    ports = {}
    for name, port in (("data", both.port), ("control", control_port(both))):
        async with await Wire.connect(port) as wire:
            ports[name] = (await wire.create("t")).brokers[0].port

    assert ports == {"data": both.port, "control": control_port(both)}


async def test_a_topic_is_made_through_the_control_listener(both: Broker):
    m = module(CREATE_TOPICS, 7, "request")
    topic = make(
        m.CreatableTopic,
        name="made",
        num_partitions=2,
        replication_factor=-1,
        assignments=(),
        configs=(),
    )
    async with await Wire.connect(control_port(both)) as wire:
        answer = await wire.ask(CREATE_TOPICS, 7, topics=[topic], validate_only=False)

    assert answer.topics[0].error_code == 0
    made = both.topics.get("made")
    assert made is not None
    assert made.partitions == 2


async def test_the_control_plane_has_kafkas_sizes_and_metrics(both: Broker):
    names = both.metrics.snapshot()

    assert both.network.control.channel.capacity == CONTROL_QUEUE == 20
    assert len(both.network.control.processors) == 1
    assert both.network.control.pool.size == 1
    assert {
        "ControlPlaneRequestQueueSize",
        "ControlPlaneRequestHandlerAvgIdlePercent",
    } <= set(names)
