"""A broker on the test's own loop, on a fresh folder and any free port."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from salon.broker.config import BrokerConfig
from salon.broker.server import Broker
from tests.broker.wire import Wire


def config(folder: Path, **settings: Any) -> BrokerConfig:
    """A configuration for tests; names with underscores for Kafka's dots."""
    named = {name.replace("_", "."): str(value) for name, value in settings.items()}
    return BrokerConfig.from_settings(
        {"log.dirs": str(folder), "listeners": "127.0.0.1:0", **named}
    )


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with Broker.open(config(tmp_path / "data")) as running:
        yield running


@pytest.fixture
async def wire(broker: Broker) -> AsyncIterator[Wire]:
    async with await Wire.connect(broker.port) as connected:
        yield connected
