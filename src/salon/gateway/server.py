"""Runs the gateway on a bound socket, inside a loop that somebody else runs.

uvicorn's own ``run`` wants to own the process: signals, loop, sockets. Here the caller
owns them; it starts ``serve`` as a task and calls ``stop``.

Stopping (at most ``drain`` seconds): no new connections, channels are closed with
1012, requests in flight are finished, the rest is cut.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from salon.errors import StartupError
from salon.gateway.connections import RESTART
from salon.gateway.edge import Edge
from salon.gateway.handover import GatewayConfig, Handover
from salon.gateway.http11 import Http11

DRAIN = 5.0
"""Seconds from ``stop`` until ``serve`` returns, at most."""


def listen(host: str, port: int, *, backlog: int = 2048) -> socket.socket:
    """A listening socket on ``host:port`` (port 0: any free one).

    Raises:
        StartupError: theirs; the address is taken, not ours, or not permitted.
    """
    try:
        info = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartupError(
            f"The host {host!r} is not known: {error.strerror}."
        ) from None
    sock = socket.socket(info[0], info[1])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(info[4])
        sock.listen(backlog)
    except (OSError, OverflowError) as error:
        sock.close()
        raise StartupError(_why_not(host, port, error)) from None
    sock.setblocking(False)
    return sock


class Server:
    """The gateway of one process."""

    def __init__(
        self, app: Any, edge: Edge, sock: socket.socket, *, drain: float = DRAIN
    ) -> None:
        """Serve the ASGI ``app`` and the edge's channels on ``sock``.

        The app's lifespan is not run: whoever made its parts starts and ends them.
        """
        config = GatewayConfig(
            app,
            http=Http11,
            ws=Handover,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # ``Peers`` decides whom to believe
            server_header=False,
            timeout_keep_alive=30,
            # The channels' linger and uvicorn's own pauses come out of it, too.
            timeout_graceful_shutdown=max(1, round(drain - 1)),
        )
        config.edge = edge
        self._edge = edge
        self._sock = sock
        self._uvicorn = _Uvicorn(config)
        self._drain = drain

    @property
    def port(self) -> int:
        """The port that the socket is bound to."""
        return int(self._sock.getsockname()[1])

    async def serve(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until ``stop``; ``ready`` is called when connections are accepted."""
        self._uvicorn.ready = ready
        try:
            await self._uvicorn.serve(sockets=[self._sock])
        finally:
            self._uvicorn.cut_all()
            self._edge.wheel.stop()

    async def stop(self) -> None:
        """Drain: refuse, say goodbye, let ``serve`` return. May be called twice."""
        self._edge.draining = True
        await self._edge.connections.close_all(RESTART, "the server restarts")
        self._uvicorn.stop()


class _Uvicorn(uvicorn.Server):
    """uvicorn without a claim on signals, and with a word when it is ready."""

    ready: Callable[[], None] | None = None

    def __init__(self, config: GatewayConfig) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    def cut_all(self) -> None:
        """End what is left when the time to drain is over."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Handover | Http11):
                connection.cut()

    async def main_loop(self) -> None:
        # uvicorn wakes ten times a second to look at should_exit; an event does.
        # Once a second the Date header is renewed (on_tick with a multiple of 10).
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.ready is not None and self.started:
            self.ready()


async def serve(
    app: Any,
    sock: socket.socket,
    edge: Edge,
    stop: asyncio.Event,
    *,
    ready: Callable[[], None] | None = None,
    drain: float = DRAIN,
) -> None:
    """Serve until ``stop`` is set, then drain."""
    server = Server(app, edge, sock, drain=drain)
    running = asyncio.create_task(server.serve(ready))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await server.stop()
        await running
    finally:
        stopping.cancel()


def _why_not(host: str, port: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken. Is Salon running already? "
            "Choose another with --port."
        )
    if number == errno.EACCES:
        return f"Port {port} needs more rights: choose one above 1023 with --port."
    if number == errno.EADDRNOTAVAIL:
        return f"The address {host} is not one of this machine's: see --host."
    return f"Cannot listen on {host} port {port}: {error}."
