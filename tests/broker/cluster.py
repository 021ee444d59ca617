"""Three brokers on the test's own loop, with short times.

Except that of a session: a broker that stops says so, and on a busy machine a shared
loop may be silent for a while.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from salon.broker.config import BrokerConfig
from salon.broker.partition import Partition
from salon.broker.server import Broker
from tests import engines

SHORT = {
    "broker.heartbeat.interval.ms": "100",
    "broker.session.timeout.ms": "20000",
    "replica.fetch.backoff.ms": "50",
    "replica.fetch.wait.max.ms": "100",
    "replica.lag.time.max.ms": "1000",
    "salon.metrics.listener": "",
}


class Follower(Partition):
    """A partition whose leader is elsewhere."""

    __slots__ = ()
    leads = False


class Nodes:
    """Brokers 1 to ``count``; the controller is on 1."""

    def __init__(self, folder: Path, count: int, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.control = engines.free_port()
        self.ports = {id_: engines.free_port() for id_ in range(1, count + 1)}
        self.running: dict[int, Broker] = {}

    def config(self, id_: int) -> BrokerConfig:
        control = self.control if id_ == 1 else 0
        return BrokerConfig.from_settings(
            {
                "log.dirs": str(self.folder / str(id_)),
                "broker.id": str(id_),
                "listeners": f"127.0.0.1:{self.ports[id_]},"
                f"CONTROL://127.0.0.1:{control},BROKERS://127.0.0.1:0",
                "listener.security.protocol.map": "CONTROL:PLAINTEXT,BROKERS:PLAINTEXT",
                "control.plane.listener.name": "CONTROL",
                "inter.broker.listener.name": "BROKERS",
                "controller.quorum.voters": f"1@127.0.0.1:{self.control}",
                "salon.cluster.id": "tests",
                **SHORT,
                **self.settings,
            }
        )

    async def start(self, id_: int) -> Broker:
        broker = self.running[id_] = Broker(self.config(id_))
        await broker.start()
        return broker

    async def stop(self, id_: int) -> None:
        await self.running.pop(id_).close()

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())


@asynccontextmanager
async def cluster(
    folder: Path, count: int = 3, **settings: Any
) -> AsyncIterator[Nodes]:
    """Brokers that know each other."""
    named = {name.replace("_", "."): str(value) for name, value in settings.items()}
    nodes = Nodes(folder, count, named)
    try:
        for id_ in nodes.ports:
            await nodes.start(id_)
        await until(
            lambda: all(
                len(b.cluster.replication.brokers) == count
                for b in nodes.running.values()
            )
        )
        yield nodes
    finally:
        for id_ in list(nodes.running):
            await nodes.stop(id_)


async def until(holds: Any, patience_s: float = 20) -> None:
    """Wait until ``holds()``; looks again and again."""
    async with asyncio.timeout(patience_s):
        while not holds():
            await asyncio.sleep(0.01)
