"""A cluster of broker processes to be hurt: the supervisor, who leads, ``kill -9``."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import ElectionType
from confluent_kafka.admin import AdminClient

from salon.broker.server import STATUS_ADDRESS
from salon.cli.broker_cluster import Supervisor
from salon.cli.broker_status import ask

SHORT = (
    "broker.heartbeat.interval.ms=200",
    "broker.session.timeout.ms=2000",
    "replica.fetch.backoff.ms=50",
    "replica.fetch.wait.max.ms=100",
    "replica.lag.time.max.ms=3000",
)

CONTROLLER = 1
"""The broker that hosts it."""


@contextmanager
def supervised(folder: Path, *settings: str) -> Iterator[Supervisor]:
    """Three brokers that are started again when they die."""
    made = Supervisor(folder, 3, "127.0.0.1", 0, (*SHORT, *settings))
    made.start()
    watching = threading.Thread(target=made.watch, daemon=True)
    watching.start()
    try:
        yield made
    finally:
        made.stop()
        watching.join(30)
        made.close()


def status(folder: Path) -> dict[str, Any]:
    return ask((folder / STATUS_ADDRESS).read_text().strip())["cluster"]


def leader(supervisor: Supervisor, partition: str) -> int:
    """Who leads a partition, as somebody who lives has heard; -1: nobody."""
    for broker in supervisor.brokers:
        try:
            return int(status(broker.folder)["partitions"][partition]["leader"])
        except (OSError, KeyError, ValueError):
            continue
    return -1


def all_in_sync(supervisor: Supervisor) -> bool:
    """Whether all live, and every partition has three copies of everything."""
    try:
        seen = [status(each.folder)["partitions"] for each in supervisor.brokers]
    except (OSError, KeyError, ValueError, TypeError):
        return False
    led = {name for part in seen for name, each in part.items() if each["leads"]}
    whole = all(
        len(each["isr"]) == 3
        for part in seen
        for each in part.values()
        if each["leads"]
    )
    return whole and led == set().union(*seen)


def spread(supervisor: Supervisor) -> None:
    """Have every broker lead what it led at first: who was killed leads nothing."""
    admin = AdminClient({"bootstrap.servers": supervisor.bootstrap})
    admin.elect_leaders(ElectionType.PREFERRED, None).result(30)


async def until(holds: Callable[[], bool], patience_s: float = 60.0) -> None:
    async with asyncio.timeout(patience_s):
        while not holds():
            await asyncio.sleep(0.05)


def kill(supervisor: Supervisor, broker: int) -> None:
    os.kill(supervisor.brokers[broker - 1].pid, signal.SIGKILL)


async def kill_leader(supervisor: Supervisor, partition: str) -> int:
    """``kill -9``; its number, when another broker leads.

    Nobody is elected while the controller is away: then nothing is waited for.
    """
    return await _hurt_leader(supervisor, partition, signal.SIGKILL)


async def pause_leader(supervisor: Supervisor, partition: str) -> int:
    """Let it sleep until another broker leads; it wakes and believes that it still does.

    Its number. With the controller nothing is waited for.
    """
    victim = await _hurt_leader(supervisor, partition, signal.SIGSTOP)
    os.kill(supervisor.brokers[victim - 1].pid, signal.SIGCONT)
    return victim


async def _hurt_leader(
    supervisor: Supervisor, partition: str, how: signal.Signals
) -> int:
    async with asyncio.timeout(60):
        while (victim := await asyncio.to_thread(leader, supervisor, partition)) < 0:
            await asyncio.sleep(0.05)
        os.kill(supervisor.brokers[victim - 1].pid, how)
        while victim != CONTROLLER and (
            await asyncio.to_thread(leader, supervisor, partition) in (victim, -1)
        ):
            await asyncio.sleep(0.05)
    return victim
