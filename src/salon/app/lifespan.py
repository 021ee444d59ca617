"""A server's life: claim the folder, start the parts, serve, drain, end.

The order matters. What can be refused in words (folder, port) comes first. The broker
starts as a child before we import the web framework, so that both start at once.
At the end it goes backwards: the connections are told and closed, then the owner
stops, then the log takes what is queued, then the children end.
"""

import asyncio
import contextlib
import gc
import json
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from salon.app import folder
from salon.app.children import Child
from salon.app.settings import Settings, node_name

DRAIN_S = 4.5
"""All of the end; then the process goes, done or not (the promise is 5 s)."""

GARBAGE_AT = 10_000
"""Objects made and not yet freed before Python looks for cycles among them. With its
own 700, every 15th message under load paid for a look; our cycles are rare."""

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that wants the GIL lets the one that has it go on. SQLite gives it
up in each statement; with Python's 5 ms a transaction beside a busy event loop (bursts
of 3 ms) took 11 ms at p50 and 38 at p99, with this 7 and 19."""


@dataclass(frozen=True)
class Running:
    """What a started server says of itself."""

    url: str
    setup: str | None
    pid: int
    children: dict[str, int | None]
    seconds: float


def main(
    settings: Settings, *, announce: Callable[[Running], None], open_browser: bool
) -> None:
    """Run a server until SIGINT or SIGTERM.

    Raises:
        StartupError: theirs; port, folder or setting.
    """
    began = time.monotonic()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.disable()  # until ready: a start makes what stays
    lock = folder.claim(settings.data)
    listening = folder.listen(settings.host, settings.port)
    try:
        _loop(_life(settings, listening, began, announce, open_browser))
    finally:
        listening.close()
        lock.close()


def _loop(life: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # pragma: no cover - Windows
        asyncio.run(life)
    else:
        uvloop.run(life)


async def _life(
    settings: Settings,
    listening: socket.socket,
    began: float,
    announce: Callable[[Running], None],
    open_browser: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    broker = None if settings.kafka else _broker(settings)
    starting = asyncio.create_task(broker.start()) if broker else None
    await asyncio.sleep(0)  # let the child start before the long imports

    from salon.app import logs, wiring

    logs.configure(settings.log_level)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = settings.public_url.rstrip("/") or f"http://{shown}:{port}"
    salon = await wiring.assemble(settings, node_name(settings), url)
    try:
        if starting is not None:
            ready = await starting
            bootstrap = f"{ready['host']}:{ready['port']}"
            assert broker is not None
            broker.keep_port(ready["port"])
        else:
            bootstrap = settings.kafka
        async with asyncio.timeout(60):
            setup = await salon.start(bootstrap, listening)
        worker = salon.worker
        running = Running(
            url=url,
            setup=f"{url}/setup#token={setup}" if setup else None,
            pid=_pid(),
            children={
                child.name: child.pid for child in (broker, worker) if child is not None
            },
            seconds=time.monotonic() - began,
        )
        _collect_only_what_comes()
        announce(running)
        if open_browser:
            webbrowser.open(running.setup or running.url)
        await _until(stop, salon.failed)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await salon.stop()
                if broker is not None:
                    await broker.stop()


def _collect_only_what_comes() -> None:
    """Take what the start made (160,000 objects) out of the garbage collector's sight.

    Under load it walked over them once a second, which stopped every connection for
    100 ms; with the small collections that was a fifth of the server's CPU.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_AT)
    gc.enable()


async def _until(stop: asyncio.Event, failed: "asyncio.Future[None]") -> None:
    """Return on a signal; raise what a part of the server failed with."""
    stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {stopping, failed}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if failed.done():
        failed.result()


class _Broker(Child):
    """The embedded broker; started again, it takes the port it had."""

    def __init__(self, settings: Settings) -> None:
        self._port = 0
        super().__init__(
            "broker",
            lambda: (
                "broker",
                "--data",
                str(settings.data / "log"),
                "--listen",
                f"127.0.0.1:{self._port}",
                "--ready-json",
                "--parent-watch",
            ),
            announces=True,
        )

    def keep_port(self, port: int) -> None:
        self._port = port


def _broker(settings: Settings) -> _Broker:
    return _Broker(settings)


def _pid() -> int:
    import os

    return os.getpid()


def announce_people(running: Running) -> None:
    """Where it is, and what to do next."""
    out = sys.stdout.write
    out(f"\n  Salon is ready: {running.url}   ({running.seconds:.1f} s)\n")
    if running.setup:
        out(f"\n  Make the first account with this one-time link:\n  {running.setup}\n")
    out("\n  Ctrl-C ends it.\n\n")
    sys.stdout.flush()


def announce_json(running: Running) -> None:
    """One line for machines."""
    sys.stdout.write(
        json.dumps(
            {
                "ready": True,
                "url": running.url,
                "setup": running.setup,
                "pid": running.pid,
                "children": running.children,
                "seconds": round(running.seconds, 3),
            }
        )
        + "\n"
    )
    sys.stdout.flush()
