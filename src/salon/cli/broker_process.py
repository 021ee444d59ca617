"""The broker as a child process: ``python -m salon.cli.broker_process``.

What ``salon broker`` runs, behind an argument parser that loads in a moment: ``salon
run`` waits for it at every start, and typer costs a quarter of that.
"""

import argparse
import asyncio
import ctypes
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from salon.broker.config import BrokerConfig
from salon.broker.errors import SettingError
from salon.errors import StartupError

EX_CONFIG = 78
"""sysexits.h: something in the configuration is wrong."""
_PR_SET_PDEATHSIG = 1
_GARBAGE_AT = 10_000
"""Objects made and not yet freed before Python looks for cycles among them. With its
own 700 the requests under way at one time are reason enough to look, again and again."""
_SWITCH_INTERVAL_S = 0.0005
"""A thread that comes back from fdatasync waits this long for the loop at most, and the
loop for a thread that loads modules: Python's own 5 ms would be seen in every p99."""


def run(
    data: Path,
    listen: str,
    settings: Sequence[str],
    *,
    ready_json: bool,
    parent_watch: bool,
) -> int:
    """Serve until SIGTERM, SIGINT or the parent's end.

    Args:
        data: the folder that holds everything.
        listen: host:port; port 0 takes any free one.
        settings: ``name=value`` under Kafka's names.
        ready_json: print one line of JSON when clients may connect.
        parent_watch: end when standard input closes or the parent dies.

    Returns:
        The exit code: 0, or 78 with one sentence on standard error.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if parent_watch:
        _die_with_parent()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        config = _config(data, listen, settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config, ready_json, parent_watch))
    except StartupError as error:
        print(f"salon broker: {error}", file=sys.stderr)
        return EX_CONFIG
    return 0


def _config(data: Path, listen: str, settings: Sequence[str]) -> BrokerConfig:
    values: dict[str, str | None] = {"log.dirs": str(data), "listeners": listen}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"--set {text!r}: it looks like num.io.threads=8")
        values[name] = value
    return BrokerConfig.from_settings(values)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import Loop
    except ImportError:  # no wheel for this platform
        return None
    return Loop


async def _serve(config: BrokerConfig, ready_json: bool, parent_watch: bool) -> None:
    from salon.broker.server import Broker

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Broker.open(config) as broker:
        gc.freeze()  # what is there now stays
        gc.set_threshold(_GARBAGE_AT)
        if ready_json:
            ready = {
                "ready": True,
                "host": broker.host,
                "port": broker.port,
                "listeners": broker.ports,
                "cluster_id": broker.cluster_id,
            }
            print(json.dumps(ready), flush=True)
        else:
            print(f"salon broker: {broker.host}:{broker.port}", file=sys.stderr)
        if parent_watch:
            loop.add_reader(sys.stdin.fileno(), _watch_stdin, stop)
        await stop.wait()
        if parent_watch:
            loop.remove_reader(sys.stdin.fileno())


def _watch_stdin(stop: asyncio.Event) -> None:
    """Standard input is a pipe whose other end the parent holds."""
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies (Linux; others have stdin)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of the child process."""
    parser = argparse.ArgumentParser(prog="salon broker", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/broker"))
    parser.add_argument("--listen", default="127.0.0.1:9092")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--ready-json", action="store_true")
    parser.add_argument("--parent-watch", action="store_true")
    args = parser.parse_args(argv)
    return run(
        args.data,
        args.listen,
        args.settings,
        ready_json=args.ready_json,
        parent_watch=args.parent_watch,
    )


if __name__ == "__main__":
    sys.exit(main())
