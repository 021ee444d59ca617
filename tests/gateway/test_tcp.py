"""Plain TCP: bytes in any pieces, ends that say why, readers that do not read."""

import asyncio
import socket
from contextlib import asynccontextmanager

from salon.clock import SystemClock
from salon.gateway.connections import Connections
from salon.gateway.edge import Edge, EdgeLimits
from salon.gateway.origins import Origins
from salon.gateway.outbox import Budget
from salon.gateway.server import listen
from salon.gateway.tcp import TcpServer
from tests.gateway.harness import Gateway, Recorder, echo, keep

SECONDS = 20


@asynccontextmanager
async def running(on_data=echo, **edge):
    place = Gateway(on_data)
    place.edge = Edge(
        channels=lambda: Recorder(place),
        origins=Origins(["http://salon.test"]),
        clock=SystemClock(),
        **edge,
    )
    server = TcpServer(place.edge, listen("127.0.0.1", 0))
    await server.start()
    place.port = server.port
    try:
        yield place
    finally:
        server.stop()
        await place.edge.connections.close_all(1012, "the server restarts")
        async with asyncio.timeout(SECONDS):
            while len(place.edge.connections):
                await asyncio.sleep(0.01)
        place.edge.wheel.stop()


async def connect(place):
    return await asyncio.open_connection("127.0.0.1", place.port)


async def test_bytes_go_to_the_handler_and_come_back():
    async with running() as place:
        reader, writer = await connect(place)
        for piece in (b"SE", b"ND\n", b"\n\0" + bytes(range(256))):
            writer.write(piece)
            assert await reader.readexactly(len(piece)) == piece
        [handler] = place.opened
        assert b"".join(handler.received)[:6] == b"SEND\n\n"
        assert handler.channel.handshake.transport == "tcp"
        assert handler.channel.handshake.remote == "127.0.0.1"
        writer.close()
        async with asyncio.timeout(SECONDS):
            await handler.gone.wait()

        assert handler.closed[0] == 1005
        assert len(place.edge.connections) == 0


async def test_what_is_queued_arrives_before_the_end_though_the_peer_still_sends():
    """The ERROR that ends a connection must not be lost to a reset."""

    def refuse(handler, data):
        handler.channel.send(b"first")
        handler.channel.send(b"second")
        handler.channel.close(1002, "enough")
        handler.channel.send(b"never")

    async with running(refuse, limits=EdgeLimits(linger=0.5)) as place:
        reader, writer = await connect(place)
        writer.write(b"x" * 10)
        await writer.drain()
        heard = b""
        async with asyncio.timeout(SECONDS):
            while chunk := await reader.read(100):
                heard += chunk
                writer.write(b"y" * 100_000)
        assert heard == b"firstsecond"
        writer.close()
        [handler] = place.opened
        async with asyncio.timeout(SECONDS):
            await handler.gone.wait()

        assert handler.closed == (1002, "enough")
        assert handler.received == [b"x" * 10]


async def test_a_peer_that_does_not_end_its_half_is_reset():
    async with running(
        lambda handler, _: handler.channel.close(1000, "bye"),
        limits=EdgeLimits(linger=0.2),
    ) as place:
        _reader, writer = await connect(place)
        writer.write(b"x")
        await place.until(lambda: place.opened)
        async with asyncio.timeout(SECONDS):
            await place.opened[0].gone.wait()
        writer.close()

        assert place.opened[0].closed == (1000, "bye")


async def test_reading_can_be_paused():
    async with running(keep) as place:
        _reader, writer = await connect(place)
        writer.write(b"a")
        await place.until(lambda: place.opened and place.opened[0].received)
        [handler] = place.opened
        handler.channel.pause_reading()
        writer.write(b"b")
        await writer.drain()
        await asyncio.sleep(0.1)
        assert handler.received == [b"a"]
        handler.channel.resume_reading()
        await place.until(lambda: len(handler.received) == 2)
        writer.close()


async def test_a_reader_that_does_not_read_is_cut():
    async with running(keep, budget=Budget(soft=10_000, hard=50_000)) as place:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", place.port))
        await place.until(lambda: bool(place.opened))
        [handler] = place.opened
        for _ in range(100):
            handler.channel.send(b"x" * 10_000)
            await asyncio.sleep(0)
        async with asyncio.timeout(SECONDS):
            await handler.gone.wait()
        sock.close()

        assert handler.closed[0] == 4408
        assert handler.channel.waiting == 0


async def test_without_room_the_peer_is_told_in_its_own_words():
    async with running(connections=Connections(per_address=1)) as place:
        _, one = await connect(place)
        await place.until(lambda: bool(place.opened))
        reader, two = await connect(place)
        async with asyncio.timeout(SECONDS):
            heard = await reader.read()
        for writer in (one, two):
            writer.close()

        assert heard.startswith(b"ERROR\n")
        assert b"code:too_many_connections\n" in heard
        assert len(place.opened) == 1


async def test_connections_end_with_their_login_as_all_others_do():
    async with running(keep) as place:
        reader, writer = await connect(place)
        await place.until(lambda: bool(place.opened))
        place.edge.connections.bind(place.opened[0].channel.id, login="l", user="u")
        place.edge.connections.close_login("l")
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b""
        writer.close()
        async with asyncio.timeout(SECONDS):
            await place.opened[0].gone.wait()

        assert place.opened[0].closed[0] == 1008


async def test_a_handler_that_fails_ends_its_own_connection_only():
    def failing(handler, data):
        if data == b"bad":
            raise ZeroDivisionError
        echo(handler, data)

    async with running(failing) as place:
        good, good_writer = await connect(place)
        bad, bad_writer = await connect(place)
        bad_writer.write(b"bad")
        async with asyncio.timeout(SECONDS):
            assert await bad.read() == b""
        good_writer.write(b"x")
        assert await good.readexactly(1) == b"x"
        for writer in (good_writer, bad_writer):
            writer.close()
