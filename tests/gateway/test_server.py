"""Starting on a bound socket, stopping within the drain time."""

import asyncio
import signal
import socket

import httpx
import pytest
from fastapi import APIRouter

from salon.errors import StartupError
from salon.gateway.http import create_app
from salon.gateway.server import listen, serve
from tests.gateway.harness import Recorder, gateway, tcp, upgrade, websocket


async def test_open_connections_are_told_of_the_restart():
    async with gateway() as running, websocket(running) as client:
        await running.until(lambda: bool(running.opened))
        stopping = asyncio.create_task(running.server.stop())

        assert await client.close_code() == 1012
        assert await client.ended()
        await stopping


async def test_a_request_in_flight_is_finished():
    started, go = asyncio.Event(), asyncio.Event()
    api = APIRouter()

    @api.get("/api/slow")
    async def slow() -> str:
        started.set()
        await go.wait()
        return "done"

    async with (
        gateway(routers=[api]) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        answer = asyncio.create_task(client.get("/api/slow"))
        await started.wait()
        await running.server.stop()
        go.set()

        assert (await answer).json() == "done"


async def test_while_draining_new_connections_are_refused():
    async with gateway() as running, httpx.AsyncClient(base_url=running.url) as client:
        running.edge.draining = True
        ready = await client.get("/readyz")
        async with tcp(running.port) as raw:
            raw.write(upgrade("/ws"))
            await raw.head()

            assert raw.status == 503
            assert (await raw.json())["code"] == "restarting"
        xhr = await client.post("/ws/0/s/xhr")
        assert (xhr.status_code, xhr.json()["code"]) == (503, "restarting")
        assert ready.status_code == 503
        assert ready.json()["problems"] == {"server": "stopping"}


async def test_peers_that_do_nothing_do_not_keep_the_server():
    """They answer no CLOSE, finish no request, read nothing."""

    class Talker(Recorder):
        def on_open(self, channel):
            super().on_open(channel)
            channel.send(b"x" * 500_000)

    hang = asyncio.Event()
    api = APIRouter()

    @api.get("/api/hang")
    async def hanging() -> None:
        hang.set()
        await asyncio.Event().wait()

    async with gateway(routers=[api], drain=2.0) as running:
        running.edge.channels = lambda: Talker(running)
        async with (
            websocket(running, receive_buffer=4096),
            tcp(running.port) as idle,
            tcp(running.port) as request,
        ):
            idle.write(b"GET / HT")
            request.write(b"GET /api/hang HTTP/1.1\r\nHost: x\r\n\r\n")
            await hang.wait()
            await running.until(lambda: bool(running.opened))
            await running.server.stop()
            async with asyncio.timeout(30):
                await request.ended()


async def test_signals_stay_with_the_caller():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with gateway():
        during = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    assert during == before


async def test_serve_runs_until_the_event():
    async with gateway() as other:
        stop, ready = asyncio.Event(), asyncio.Event()
        sock = listen("127.0.0.1", 0)
        port = sock.getsockname()[1]
        app = create_app(other.edge, [])
        task = asyncio.create_task(serve(app, sock, other.edge, stop, ready=ready.set))
        await ready.wait()
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/healthz")
        stop.set()
        await task

        assert answer.json() == {"status": "ok"}


def test_a_taken_port_is_said_in_words():
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(StartupError, match=f"Port {port} on 127.0.0.1 is taken"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no.such.host.invalid", 0, "is not known"),
        ("203.0.113.7", 0, "not one of this machine's"),
    ],
)
def test_a_wrong_address_is_said_in_words(host: str, port: int, words: str):
    with pytest.raises(StartupError, match=words):
        listen(host, port)


async def test_accepted_sockets_have_a_bounded_send_buffer():
    """The kernel would hold up to 4 MiB for one slow reader, in nobody's RSS."""
    async with gateway() as running, websocket(running):
        await running.until(lambda: bool(running.opened))
        transport = running.opened[0].channel._wire.underlying_transport
        sock = transport.get_extra_info("socket")
        size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

        # The kernel doubles what it is told, for its own bookkeeping.
        assert size <= 2 * running.edge.limits.send_buffer
