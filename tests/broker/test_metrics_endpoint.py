"""/metrics, /health and /status: Kafka's names, and answers when nothing else moves."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from salon.broker.errors import SettingError
from salon.broker.protocol.versions import METADATA
from salon.broker.server import STATUS_ADDRESS, Broker
from tests.broker.conftest import config
from tests.broker.wire import Wire

ALL_TOPICS_V1 = (-1).to_bytes(4, "big", signed=True)


async def get(broker: Broker, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.http.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split(" ")[1]), body


def samples(text: str) -> dict[tuple[str, Any], float]:
    """As Prometheus itself reads the text."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_have_the_names_that_kafka_dashboards_ask_for(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    await wire.produce("t", b"a", b"b")
    await wire.fetch("t", 0)
    found = samples((await get(broker, "/metrics"))[1])
    produce = (("request", "Produce"),)

    assert found["kafka_server_brokertopicmetrics_messagesin_total", ()] == 2
    assert found["kafka_network_requestmetrics_requests_total", produce] == 1
    assert found["kafka_network_requestmetrics_totaltimems_count", produce] == 1
    assert (
        "kafka_network_requestmetrics_totaltimems",
        (("quantile", "0.99"), ("request", "Produce")),
    ) in found
    assert found["kafka_network_requestchannel_requestqueuesize", ()] == 0
    assert (
        found["kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", ()]
        == 1
    )
    assert (
        "kafka_server_delayedoperationpurgatory_purgatorysize",
        (("delayedoperation", "Fetch"),),
    ) in found


async def test_everything_is_answered_while_the_request_queue_is_full(tmp_path: Path):
    settings = {"queued.max.requests": 2}
    async with Broker.open(config(tmp_path / "data", **settings)) as broker:
        wires = [await Wire.connect(broker.port) for _ in range(6)]
        broker.network.data.pool.pause()
        for each in wires:
            each.send(METADATA, 1, ALL_TOPICS_V1)
        while not all(p.stopped for p in broker.network.data.processors):
            await asyncio.sleep(0)
        health, _ = await get(broker, "/health")
        status = json.loads((await get(broker, "/status"))[1])
        metrics = samples((await get(broker, "/metrics"))[1])
        broker.network.data.pool.resume()
        for each in wires:
            await each.receive()
            each.writer.close()

    data = status["planes"]["data"]
    assert health == 200
    assert data["queue"] == {"size": 2, "capacity": 2}
    assert all(p["stopped"] for p in data["processors"])
    assert metrics["kafka_network_requestchannel_requestqueuesize", ()] == 2


async def test_health_names_a_partition_that_takes_no_more_records(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    broker.replicas.partitions["t", 0].log.fail("the disk is gone")
    status, body = await get(broker, "/health")

    assert status == 503
    assert "the disk is gone" in json.loads(body)["offline"]["t-0"]


@pytest.fixture
async def without(tmp_path: Path) -> AsyncIterator[Broker]:
    none = {"salon.metrics.listener": ""}
    async with Broker.open(config(tmp_path / "data", **none)) as running:
        yield running


async def test_the_endpoint_can_be_left_out(without: Broker):
    assert without.http.port == 0


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/", "GET", 404), ("/metrics", "POST", 405)]
)
async def test_there_is_nothing_else(
    broker: Broker, path: str, method: str, status: int
):
    assert (await get(broker, path, method))[0] == status


async def test_an_endless_head_is_hung_up_on(broker: Broker):
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.http.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000)

    assert await reader.read() == b""
    writer.close()


async def test_the_folder_says_where_the_endpoint_is(broker: Broker):
    text = (broker.config.folder / STATUS_ADDRESS).read_text()

    assert text == f"127.0.0.1:{broker.http.port}\n"


def test_the_endpoint_is_for_this_machine(tmp_path: Path):
    with pytest.raises(SettingError, match=r"salon\.metrics\.listener"):
        config(tmp_path, **{"salon.metrics.listener": "0.0.0.0:9308"})
