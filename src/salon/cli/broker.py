"""``salon broker``: the embedded Kafka as a process of its own."""

import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from salon.broker.config import BrokerConfig
from salon.broker.errors import SettingError
from salon.errors import StartupError

EX_CONFIG = 78
_PR_SET_PDEATHSIG = 1


def broker(
    data: Annotated[Path, typer.Option(help="Folder that holds everything.")] = Path(
        "data/broker"
    ),
    listen: Annotated[
        str, typer.Option(help="Address to listen on; port 0 takes any free one.")
    ] = "127.0.0.1:9092",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting under Kafka's name: key=value."),
    ] = None,
    ready_json: Annotated[
        bool, typer.Option(help="Print one line of JSON when clients may connect.")
    ] = False,
    parent_watch: Annotated[
        bool, typer.Option(help="End when standard input closes.")
    ] = False,
) -> None:
    """Run a single-machine Kafka that unmodified Kafka clients can use."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if parent_watch:
        _die_with_parent()
    try:
        config = _config(data, listen, settings or [])
        _run(config, ready_json=ready_json, parent_watch=parent_watch)
    except StartupError as error:
        print(f"salon broker: {error}", file=sys.stderr)
        raise typer.Exit(EX_CONFIG) from None


def _config(data: Path, listen: str, settings: list[str]) -> BrokerConfig:
    values: dict[str, str | None] = {"log.dirs": str(data), "listeners": listen}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"--set {text!r}: it looks like num.io.threads=8")
        values[name] = value
    return BrokerConfig.from_settings(values)


def _run(config: BrokerConfig, *, ready_json: bool, parent_watch: bool) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(config, ready_json=ready_json, parent_watch=parent_watch))
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, ready_json=ready_json, parent_watch=parent_watch))


async def _serve(config: BrokerConfig, *, ready_json: bool, parent_watch: bool) -> None:
    from salon.broker.server import Broker

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Broker.open(config) as running:
        if ready_json:
            ready = {"ready": True, "host": running.host, "port": running.port}
            print(json.dumps(ready), flush=True)
        else:
            print(f"salon broker: {running.host}:{running.port}", file=sys.stderr)
        if parent_watch:
            loop.add_reader(sys.stdin.fileno(), _watch_stdin, stop)
        await stop.wait()
        if parent_watch:
            loop.remove_reader(sys.stdin.fileno())


def _watch_stdin(stop: asyncio.Event) -> None:
    """Standard input is the parent's end of a pipe: when it closes, so do we."""
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies (Linux; others have stdin)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    typer.run(broker)
