"""/metrics, /health and /status: Kafka's names, and answers when nothing else moves."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from salon.broker import topic_metrics
from salon.broker.errors import SettingError
from salon.broker.metrics import Metrics
from salon.broker.protocol.versions import DELETE_TOPICS, METADATA
from salon.broker.rates import Blocked, Since
from salon.broker.server import STATUS_ADDRESS, Broker
from salon.broker.topic_metrics import TopicMetrics
from tests.broker.conftest import config
from tests.broker.wire import Wire

SECOND = timedelta(seconds=1)
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
    version = (*produce, ("version", "9"))

    assert found["kafka_server_brokertopicmetrics_messagesin_total", ()] == 2
    assert found["kafka_network_requestmetrics_requests_total", version] == 1
    assert found["kafka_network_requestmetrics_requestbytes_sum", produce] > 100
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


async def test_each_topic_has_its_own_counters_and_loses_them_when_it_goes(
    broker: Broker, wire: Wire
):
    for topic in ("one", "two"):
        await wire.create(topic)
    await wire.produce("one", b"a", b"b")
    await wire.produce("one", b"a", data=b"no batch")
    await wire.fetch("one", 0)
    await wire.fetch("two", 99)
    found = samples((await get(broker, "/metrics"))[1])
    status = json.loads((await get(broker, "/status"))[1])
    await wire.ask(DELETE_TOPICS, 5, topic_names=("one",), timeout=SECOND)
    later = samples((await get(broker, "/metrics"))[1])

    def of(name: str, topic: str) -> float:
        return found[f"kafka_server_brokertopicmetrics_{name}", (("topic", topic),)]

    assert of("messagesin_total", "one") == 2
    assert of("totalproducerequests_total", "one") == 2
    assert of("failedproducerequests_total", "one") == 1
    assert of("bytesout_total", "one") == of("bytesin_total", "one") > 0
    assert of("failedfetchrequests_total", "two") == 1
    assert of("messagesin_total", "two") == 0
    assert status["topics"]["one"]["MessagesInPerSec"] == 2
    assert not [tags for _, tags in later if ("topic", "one") in tags]
    assert [tags for _, tags in later if ("topic", "two") in tags]


async def test_topics_beyond_a_thousand_count_in_the_totals_only(monkeypatch):
    monkeypatch.setattr(topic_metrics, "MOST_TOPICS", 2)
    metrics = Metrics()
    topics = TopicMetrics(metrics)
    for i in range(5):
        topics.of(f"t{i}").messages_in.mark()

    names = {name for name, _ in metrics.counts()}
    assert "MessagesInPerSec,topic=t1" in names
    assert "MessagesInPerSec,topic=t2" not in names
    assert topics.of("t0").messages_in.count == 1


async def test_the_network_side_says_how_idle_and_how_blocked_it_is(
    broker: Broker, wire: Wire
):
    await wire.create("t")
    found = samples((await get(broker, "/metrics"))[1])
    listener = ("listener", "PLAINTEXT")

    for number in "012":
        tags = (("networkprocessor", number),)
        assert 0 <= found["kafka_network_processor_idle_percent", tags] <= 1
    assert (
        0
        <= found["kafka_network_socketserver_networkprocessoravgidle_percent", ()]
        <= 1
    )
    blocked = found["kafka_network_acceptor_acceptorblocked_percent", (listener,)]
    assert blocked == 0
    assert found["kafka_network_socketserver_memorypoolused", ()] == 0
    assert (
        "kafka_server_socket_server_metrics_connection_accept_rate",
        (listener,),
    ) in found
    connections = [
        value
        for (name, tags), value in found.items()
        if name.endswith("connection_count") and listener in tags
    ]
    assert sum(connections) == broker.network.quotas.total == 1


def test_a_rate_is_what_came_since_a_look_at_least_a_second_ago():
    now, count = [0.0], [0]
    rate = Since(lambda: count[0], lambda: now[0])
    now[0], count[0] = 0.5, 10
    early = rate()
    now[0], count[0] = 2.0, 40
    first = rate()
    now[0], count[0] = 4.0, 40
    rate()
    now[0] = 6.0

    assert (early, first, rate()) == (20, 20, 0)


def test_what_stands_still_is_counted_while_it_does():
    now = [0.0]
    blocked = Blocked(lambda: now[0])
    blocked.begin()
    now[0] = 2.0
    running = blocked.seconds()
    blocked.begin()
    now[0] = 3.0
    blocked.end()
    now[0] = 9.0

    assert (running, blocked.seconds()) == (2, 3)


async def test_acknowledgements_that_never_came_are_counted(tmp_path: Path):
    """``DelayedProduceMetrics``, in all and by partition."""
    async with (
        Broker.open(config(tmp_path / "data")) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        await wire.create("t")
        partition = broker.replicas.partitions["t", 0]
        partition.flusher.request = lambda: None  # the disk takes its time
        answer = await wire.produce("t", b"a", timeout_ms=20)
        found = samples((await get(broker, "/metrics"))[1])
        del partition.flusher.request

    tags = (("partition", "0"), ("topic", "t"))
    assert answer.error_code == 7  # REQUEST_TIMED_OUT
    assert found["kafka_server_delayedproducemetrics_expires_total", ()] == 1
    assert found["kafka_server_delayedproducemetrics_expires_total", tags] == 1


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
