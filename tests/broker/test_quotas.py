"""Connection quotas and idle expiry: who waits, who is closed, who is left alone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from salon.broker.protocol.versions import API_VERSIONS, METADATA
from salon.broker.quotas import ConnectionQuotas, QuotaLimits, parse_overrides
from salon.broker.server import Broker
from tests.broker.conftest import config
from tests.broker.wire import Wire

ALL_TOPICS_V1 = (-1).to_bytes(4, "big", signed=True)
UNLIMITED = QuotaLimits(10**9, 10**9, {}, 10**9, {}, "")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def quotas(clock: Clock | None = None, **limits: Any) -> ConnectionQuotas:
    return ConnectionQuotas(
        UNLIMITED._replace(**limits), clock or Clock(), lambda: None
    )


def test_one_address_gets_its_share_and_an_override_another():
    limited = quotas(per_ip=2, per_ip_overrides={"192.0.2.9": 3})

    assert [limited.admit("L", "192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [limited.admit("L", "192.0.2.9") for _ in range(4)] == [True] * 3 + [False]
    limited.release("L", "192.0.2.1")
    assert limited.admit("L", "192.0.2.1")


def test_who_waits_for_a_slot_is_told_when_a_connection_ends():
    limited = quotas(total=1)
    told: list[str] = []
    limited.admit("L", "a")
    assert not limited.has_slot("L")
    limited.when_slot(lambda: told.append("free"))
    limited.release("L", "a")

    assert told == ["free"]
    assert limited.has_slot("L")


def test_the_limit_of_a_listener_is_its_own():
    limited = quotas(listeners={("A", "max.connections"): 1})
    limited.admit("A", "x")

    assert not limited.has_slot("A")
    assert limited.has_slot("B")


def test_the_protected_listener_goes_over_the_limit_and_somebody_else_makes_room():
    closed: list[bool] = []
    limits = UNLIMITED._replace(total=1, protected="CONTROL")
    limited = ConnectionQuotas(limits, Clock(), lambda: closed.append(True))
    limited.admit("DATA", "x")
    assert not limited.has_slot("DATA")
    assert limited.has_slot("CONTROL")
    limited.admit("CONTROL", "x")

    assert closed == [True]


def test_connections_above_the_rate_wait_their_turn():
    clock = Clock()
    limited = quotas(clock, rate=4)
    at_once = [limited.delay("L") for _ in range(4)]
    later = [limited.delay("L") for _ in range(2)]
    clock.now += 10
    rested = limited.delay("L")

    assert at_once == [0.0] * 4
    assert later == pytest.approx([0.25, 0.5])
    assert rested == 0.0


def test_overrides_take_addresses_of_both_families():
    assert parse_overrides("192.0.2.1:5, [2001:db8::1]:7") == {
        "192.0.2.1": 5,
        "2001:db8::1": 7,
    }


async def test_one_too_many_from_an_address_is_accepted_and_closed(tmp_path: Path):
    limit = {"max.connections.per.ip": 1}
    async with Broker.open(config(tmp_path / "data", **limit)) as broker:
        async with await Wire.connect(broker.port) as first:
            first.send(METADATA, 1, ALL_TOPICS_V1)
            await first.receive()
            async with await Wire.connect(broker.port) as second:
                assert await second.reader.read() == b""
        while broker.network.quotas.total:
            await asyncio.sleep(0)
        async with await Wire.connect(broker.port) as third:
            third.send(METADATA, 1, ALL_TOPICS_V1)
            await third.receive()


async def test_at_max_connections_the_next_waits_until_one_has_gone(tmp_path: Path):
    limit = {"max.connections": 1}
    async with Broker.open(config(tmp_path / "data", **limit)) as broker:
        first = await Wire.connect(broker.port)
        first.send(METADATA, 1, ALL_TOPICS_V1)
        await first.receive()
        async with await Wire.connect(broker.port) as second:
            second.send(METADATA, 1, ALL_TOPICS_V1)
            for _ in range(50):
                await asyncio.sleep(0)
            assert broker.network.quotas.total == 1
            first.writer.close()
            await second.receive()


async def test_a_silent_connection_is_closed_and_a_waiting_one_is_not(tmp_path: Path):
    idle = {"connections.max.idle.ms": 500}
    async with Broker.open(config(tmp_path / "data", **idle)) as broker:
        async with (
            await Wire.connect(broker.port) as silent,
            await Wire.connect(broker.port) as waiting,
        ):
            await waiting.create("t")
            waiting.send_fetch("t", 0, wait_ms=1500)
            await waiting.writer.drain()
            assert await silent.reader.read() == b""
            await waiting.receive()
        assert broker.metrics.meter("ExpiredConnectionsKilledCount").count >= 1


async def test_the_memory_of_requests_is_given_back_when_they_are_answered(
    tmp_path: Path,
):
    limit = {"socket.request.max.bytes": 20_000, "queued.max.request.bytes": 20_000}
    async with Broker.open(config(tmp_path / "data", **limit)) as broker:
        wires = [await Wire.connect(broker.port) for _ in range(6)]
        await wires[0].create("t")
        broker.network.data.pool.pause()
        for each in wires:
            each.send_produce("t", b"x" * 15_000)
        while broker.metrics.snapshot()["MemoryPoolAvailable"]:
            await asyncio.sleep(0)
        queued = len(broker.network.data.channel)
        broker.network.data.pool.resume()
        for each in wires:
            await each.receive()
            each.writer.close()

        assert queued <= 2
        assert broker.metrics.snapshot()["MemoryPoolUsed"] == 0


async def test_a_frame_above_the_limit_costs_no_memory(tmp_path: Path):
    async with (
        Broker.open(config(tmp_path / "data")) as broker,
        await Wire.connect(broker.port) as wire,
    ):
        wire.writer.write((2**31 - 1).to_bytes(4, "big") + b"x" * 100)
        assert await wire.reader.read() == b""
        async with await Wire.connect(broker.port) as other:
            other.send(API_VERSIONS, 0, b"")
            await other.receive()
