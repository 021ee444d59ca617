"""The client's HTTP/1.1: answers in any pieces, connections that end, cookies."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from salon.client import http
from salon.client.errors import Disconnected
from salon.client.http import Connection, Cookies

pytestmark = pytest.mark.timeout(30)


@asynccontextmanager
async def server(*answers, step=None, close=False):
    """Gives these answers, one for each request; what was asked, and a connection.

    Args:
        answers: whole answers, as bytes.
        step: bytes that are written at once; None: all.
        close: end the connection after the last answer.
    """
    asked, left, tasks = [], list(answers), set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
            asked.append(head + await reader.readexactly(int(length or 0)))
            answer = left.pop(0)
            for at in range(0, len(answer), step or len(answer)):
                writer.write(answer[at : at + (step or len(answer))])
                await asyncio.sleep(0)
            if close and not left:
                break
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    base = urlsplit(f"http://127.0.0.1:{port}/ws")
    connection = Connection(
        base, [("Cookie", "a=1"), ("Origin", "http://x")], Cookies()
    )
    try:
        yield connection, asked
    finally:
        connection.close()
        listening.close()
        await asyncio.gather(*tasks, return_exceptions=True)


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
)
PLAIN = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("step", [None, 1, 7])
async def test_an_answer_may_come_in_any_pieces(step):
    async with server(CHUNKED, step=step) as (connection, asked):
        answer = await connection.ask("POST", "/ws/x?y", "ü".encode())

        assert answer.status == 200
        assert await answer.read() == b"hello world"
        [head] = asked
        assert head.startswith(b"POST /ws/x?y HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nOrigin: http://x\r\n" in head
        assert head.endswith(b"Content-Length: 2\r\n\r\n" + "ü".encode())


async def test_a_stream_is_given_on_as_it_comes():
    async with server(CHUNKED, step=1) as (connection, _):
        answer = await connection.ask("GET", "/")
        parts = [part async for part in answer.parts()]

        assert b"".join(parts) == b"hello world"
        assert len(parts) > 2


async def test_a_connection_is_used_again_and_opened_again_when_it_ended():
    async with server(PLAIN, PLAIN, PLAIN) as (connection, asked):
        for _ in range(2):
            answer = await connection.ask("GET", "/")
            assert (answer.status, await answer.read()) == (204, b"")
        first = connection._writer
        assert first is not None
        connection._reader.feed_eof()  # as when the server has kept it long enough
        answer = await connection.ask("GET", "/")

        assert answer.status == 204
        assert connection._writer is not first
        assert len(asked) == 3


async def test_what_says_close_is_closed():
    said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
    async with server(said, close=True) as (connection, _):
        assert await (await connection.ask("GET", "/")).read() == b"x"
        assert connection._writer is None


async def test_without_a_length_the_end_of_the_connection_is_the_end():
    async with server(b"HTTP/1.0 200 OK\r\n\r\nall of it", close=True) as (c, _):
        assert await (await c.ask("GET", "/")).read() == b"all of it"


async def test_cookies_of_the_server_are_sent_back_beside_ones_own():
    setting = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=n1; path=/\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with server(setting, PLAIN) as (connection, asked):
        for _ in range(2):
            await (await connection.ask("GET", "/")).read()

        assert b"\r\nCookie: a=1\r\n" in asked[0]
        assert b"\r\nCookie: a=1; JSESSIONID=n1\r\n" in asked[1]


class TestDisconnected:
    async def cut(self, said, **options):
        async with server(said, close=True, **options) as (connection, _):
            with pytest.raises(Disconnected) as caught:
                await (await connection.ask("GET", "/")).read()
            assert connection._writer is None
            return str(caught.value)

    async def test_where_nobody_is(self):
        nobody = Connection(urlsplit("http://127.0.0.1:9/"), [], Cookies())
        with pytest.raises(Disconnected) as caught:
            await nobody.ask("GET", "/")

        assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    async def test_an_answer_that_is_cut(self):
        assert "cut" in await self.cut(CHUNKED[:-8])
        assert "cut" in await self.cut(b"HTTP/1.1 200 OK\r\nContent-Le")
        assert "cut" in await self.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")

    async def test_what_is_no_http(self):
        await self.cut(b"SSH-2.0-OpenSSH_9.2\r\n")

    async def test_a_head_without_end(self):
        head = b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 20_000
        assert "head of more than" in await self.cut(head)

    async def test_a_body_without_end(self, monkeypatch):
        monkeypatch.setattr(http, "BODY_MAX", 1000)
        said = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
        assert "more than 1000 bytes" in await self.cut(said)
