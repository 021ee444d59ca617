"""Requests that are nearly right: every API, a few bytes changed, thousands of times.

A wrong request may be refused or end its connection. It may not meet an exception that
nobody thought of, and the broker serves everybody else as before.
"""

import asyncio
import contextlib
import random
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.static.primitive import Records

from salon.broker.log import batch as batches
from salon.broker.protocol.versions import APIS
from salon.broker.server import Broker
from tests.broker.wire import Wire, encode, module, values

_REQUESTS = 3000
_BYTES = (0, 1, 0x7F, 0x80, 0xFF)

st.register_type_strategy(
    Records, st.just(bytes(batches.build([(b"k", b"v")], 1))) | st.binary(max_size=80)
)


def examples(key: int, version: int) -> list[bytes]:
    """Right requests, made by kio's own types."""
    cls: Any = getattr(module(key, version, "request"), f"{APIS[key].name}Request")
    found: list[bytes] = []

    @settings(
        max_examples=6,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.from_type(cls))
    def collect(entity: Any) -> None:
        with contextlib.suppress(Exception):  # beyond what the format can say
            found.append(encode(entity))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return found


def spoiled(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([0, 0, 1, 2, 4])):
        if changed:
            at = chance.randrange(len(changed))
            changed[at] = chance.choice([*_BYTES, chance.randrange(256)])
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)


async def test_requests_that_are_nearly_right_meet_no_surprise(
    broker: Broker, wire: Wire, caplog: pytest.LogCaptureFixture
):
    chance = random.Random(5)
    samples = [
        (key, version, data)
        for key, api in APIS.items()
        for version in {api.lowest, api.highest}
        for data in examples(key, version)
    ]
    await wire.create("t")
    for _ in range(_REQUESTS // 10):
        async with await Wire.connect(broker.port) as rude:
            for _ in range(10):
                key, version, data = chance.choice(samples)
                rude.send(key, version, spoiled(data, chance))
            rude.writer.write_eof()
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(0.2):  # some of them ask to wait
                    await rude.reader.read()
    surprises = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]

    assert surprises == []
    assert (await wire.produce("t", b"fine")).error_code == 0
    assert values((await wire.fetch("t", 0)).records)[-1] == b"fine"
