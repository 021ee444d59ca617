"""A proxy of the kind that people have to live with: some requests do not get through,
and what gets through may come in any pieces.
"""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass


@asynccontextmanager
async def proxy(port, *, refuses=(), swallows=()):
    """A proxy before ``port``; gives its own port, and what was asked of it.

    Looks at the first request of each connection.

    Args:
        port: of the server.
        refuses: words; a request whose head has one of them is answered 403.
        swallows: words; such a request is taken, and nothing ever comes back.
    """
    asked, tasks, writers = [], set(), set()

    async def pipe(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        text = head.decode("latin-1").lower()
        asked.append(text.split(" ")[1])
        if any(word in text for word in refuses):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        if any(word in text for word in swallows):
            await reader.read()
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writers.add(back)
        back.write(head)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    def begin(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Ports:
    """Where clients of a server connect to instead."""

    port: int
    stomp_port: int


@asynccontextmanager
async def cut_into(network, app):
    """The ports of ``app``, or of a proxy that gives it byte by byte what clients send.

    Args:
        network: ``whole`` or ``bytes``.
    """
    if network == "whole":
        yield Ports(app.port, app.stomp_port)
        return
    async with _bytewise(app.port) as port, _bytewise(app.stomp_port) as stomp_port:
        yield Ports(port, stomp_port)


@asynccontextmanager
async def _bytewise(port):
    tasks, writers = set(), set()

    async def cut(reader, writer):
        while data := await reader.read(65536):
            for piece in _bytes_of(data):
                writer.write(piece)
                await asyncio.sleep(0)  # so that it leaves alone
        writer.close()

    async def copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writers.update((writer, back))
        await asyncio.gather(
            cut(reader, back), copy(there, writer), return_exceptions=True
        )

    def begin(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _bytes_of(data):
    """Byte by byte, but for the middle of something long: that is one body anyway."""
    head, middle, tail = data[:500], data[500:-100], data[500:][-100:]
    return (
        [bytes([b]) for b in head]
        + [middle] * bool(middle)
        + [bytes([b]) for b in tail]
    )
