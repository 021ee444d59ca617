"""The four SockJS transports over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from salon.gateway.edge import EdgeLimits
from salon.gateway.outbox import Budget
from tests.gateway.harness import (
    Gateway,
    RawClient,
    Recorder,
    frame,
    gateway,
    keep,
    tcp,
    text,
    websocket,
)

TEXT, CLOSE = 1, 8
SESSION = "/ws/000/session1"


@asynccontextmanager
async def client_of(running: Gateway, **options) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url, timeout=30, **options) as client:
        yield client


@pytest.fixture
async def running():
    async with gateway() as running:
        yield running


@pytest.fixture
async def client(running: Gateway):
    async with client_of(running) as client:
        yield client


# -- greeting and info -----------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws", "/ws/"])
async def test_the_greeting(client: httpx.AsyncClient, path: str):
    answer = await client.get(path)

    assert answer.text == "Welcome to SockJS!\n"
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert "set-cookie" not in answer.headers


async def test_info_is_new_each_time(client: httpx.AsyncClient):
    one, other = await client.get("/ws/info"), await client.get("/ws/info")

    assert one.json()["websocket"] is True
    assert one.json()["cookie_needed"] is False
    assert one.json()["entropy"] != other.json()["entropy"]
    assert "no-store" in one.headers["cache-control"]


async def test_options_say_which_method(client: httpx.AsyncClient):
    info = await client.options("/ws/info")
    xhr = await client.options(
        SESSION + "/xhr", headers={"access-control-request-headers": "x-a, x-b"}
    )

    assert info.status_code == xhr.status_code == 204
    assert info.headers["access-control-allow-methods"] == "OPTIONS, GET"
    assert xhr.headers["access-control-allow-methods"] == "OPTIONS, POST"
    assert xhr.headers["access-control-allow-headers"] == "x-a, x-b"
    assert int(xhr.headers["access-control-max-age"]) >= 1_000_000


async def test_other_methods_are_405_with_allow(client: httpx.AsyncClient):
    for method, path in [
        ("POST", "/ws/websocket"),
        ("POST", SESSION + "/websocket"),
        ("GET", SESSION + "/xhr"),
        ("PUT", SESSION + "/xhr_send"),
        ("DELETE", "/ws/info"),
    ]:
        answer = await client.request(method, path)

        assert (answer.status_code, answer.content) == (405, b"")
        assert answer.headers["allow"] in {"OPTIONS, GET", "OPTIONS, POST"}


async def test_a_websocket_address_without_an_upgrade(client: httpx.AsyncClient):
    for path in ["/ws/websocket", SESSION + "/websocket"]:
        answer = await client.get(path)

        assert answer.status_code == 400
        assert answer.text == "Not a valid websocket request"


@pytest.mark.parametrize(
    "path",
    [
        "/ws/x",
        "/ws//",
        "/ws/a/b/jsonp",
        "/ws/a/b/jsonp_send",
        "/ws/iframe.html",
        "/ws/a.b/c/xhr",
        "/ws/a/b/c/xhr",
    ],
)
async def test_everything_else_is_404(client: httpx.AsyncClient, path: str):
    """JSONP and the page for iframes are off until they are asked for."""
    assert (await client.get(path)).status_code == 404
    assert (await client.post(path)).status_code == 404


# -- xhr polling -------------------------------------------------------------------


async def test_polling_echoes(running: Gateway, client: httpx.AsyncClient):
    opened = await client.post(SESSION + "/xhr")
    sent = await client.post(SESSION + "/xhr_send", content='["a", "grüße"]')
    got = await client.post(SESSION + "/xhr")

    assert opened.content == b"o\n"
    assert opened.headers["content-type"] == "application/javascript; charset=UTF-8"
    assert "no-store" in opened.headers["cache-control"]
    assert (sent.status_code, sent.content) == (204, b"")
    assert sent.headers["content-type"] == "text/plain; charset=UTF-8"
    assert got.content == 'a["a","grüße"]\n'.encode()
    assert running.opened[0].channel.handshake.transport == "xhr"


async def test_a_poll_waits_for_a_message(running: Gateway, client: httpx.AsyncClient):
    await client.post(SESSION + "/xhr")
    poll = asyncio.create_task(client.post(SESSION + "/xhr"))
    await running.until(lambda: running.opened[0].channel._session.attached)
    running.opened[0].channel.send(b"news")

    assert (await poll).content == b'a["news"]\n'


async def test_the_server_id_is_ignored(client: httpx.AsyncClient):
    await client.post("/ws/000/same/xhr")
    await client.post("/ws/999/same/xhr_send", content='["x"]')

    assert (await client.post("/ws/abc/same/xhr")).content == b'a["x"]\n'


@pytest.mark.parametrize(
    ("payload", "status", "body"),
    [
        (b"", 500, b"Payload expected."),
        (b'["x', 500, b"Broken JSON encoding."),
        (b"{}", 500, b"Broken JSON encoding."),
        (b'"x"', 500, b"Broken JSON encoding."),
        (b"[1]", 500, b"Broken JSON encoding."),
        (b"[]", 204, b""),
    ],
)
async def test_what_xhr_send_answers(
    client: httpx.AsyncClient, payload: bytes, status: int, body: bytes
):
    await client.post(SESSION + "/xhr")
    answer = await client.post(SESSION + "/xhr_send", content=payload)

    assert (answer.status_code, answer.content) == (status, body)
    again = await client.post(SESSION + "/xhr_send", content='["still open"]')
    assert again.status_code == 204


async def test_xhr_send_takes_any_content_type(client: httpx.AsyncClient):
    await client.post(SESSION + "/xhr")
    for kind in ["text/plain", "application/xml", "T", ""]:
        answer = await client.post(
            SESSION + "/xhr_send", content='["x"]', headers={"content-type": kind}
        )
        assert answer.status_code == 204


async def test_xhr_send_to_nobody_is_404(client: httpx.AsyncClient):
    answer = await client.post("/ws/000/nobody/xhr_send", content='["x"]')

    assert answer.status_code == 404


async def test_xhr_send_has_a_limit(running: Gateway, client: httpx.AsyncClient):
    await client.post(SESSION + "/xhr")
    big = json.dumps(["x" * running.edge.limits.message])
    answer = await client.post(SESSION + "/xhr_send", content=big)

    assert answer.status_code == 413
    assert answer.json()["params"] == {"limit": running.edge.limits.message}


async def test_a_second_receiver_is_turned_away(
    running: Gateway, client: httpx.AsyncClient
):
    await client.post(SESSION + "/xhr")
    poll = asyncio.create_task(client.post(SESSION + "/xhr"))
    channel = running.opened[0].channel
    await running.until(lambda: channel._session.attached)

    second = await client.post(SESSION + "/xhr")
    assert second.content == b'c[2010,"Another connection still open"]\n'

    channel.send(b"first still served")
    assert (await poll).content == b'a["first still served"]\n'


async def test_a_closed_session_says_so_until_it_is_forgotten(
    running: Gateway, client: httpx.AsyncClient
):
    await client.post(SESSION + "/xhr")
    handler = running.opened[0]
    handler.channel.send(b"last")
    handler.channel.close(3000, "Go away!")
    handler.channel.send(b"never")

    assert (await client.post(SESSION + "/xhr")).content == b'a["last"]\n'
    for _ in range(2):
        answer = await client.post(SESSION + "/xhr")
        assert answer.content == b'c[3000,"Go away!"]\n'
    send = await client.post(SESSION + "/xhr_send", content='["x"]')
    assert send.status_code == 404
    await running.until(lambda: handler.closed is not None)
    assert handler.closed == (3000, "Go away!")
    assert len(running.edge.connections) == 0


async def test_a_session_without_a_receiver_ends_after_the_delay(
    running: Gateway, client: httpx.AsyncClient
):
    await client.post(SESSION + "/xhr")
    handler = running.opened[0]
    handler.channel._session._disconnect_delay = 0.2
    handler.channel._look_later()
    await running.until(lambda: handler.closed is not None)

    assert handler.closed == (1006, "no receiver came")
    assert (await client.post(SESSION + "/xhr")).content == b"o\n"
    assert len(running.opened) == 2


async def test_an_aborted_poll_ends_the_session(
    running: Gateway, client: httpx.AsyncClient
):
    await client.post(SESSION + "/xhr")
    handler = running.opened[0]
    async with tcp(running.port) as raw:
        raw.write(b"POST %b/xhr HTTP/1.1\r\nHost: x\r\n" % SESSION.encode())
        raw.write(b"Content-Length: 0\r\n\r\n")
        await running.until(lambda: handler.channel._session.attached)
    await running.until(lambda: handler.closed is not None)

    answer = await client.post(SESSION + "/xhr")
    assert answer.content == b'c[1002,"Connection interrupted"]\n'


async def test_reading_can_be_paused(running: Gateway, client: httpx.AsyncClient):
    running.on_data = keep
    await client.post(SESSION + "/xhr")
    handler = running.opened[0]
    handler.channel.pause_reading()
    first = asyncio.create_task(client.post(SESSION + "/xhr_send", content='["1"]'))
    await running.until(lambda: handler.channel._senders == 1)
    second = asyncio.create_task(client.post(SESSION + "/xhr_send", content='["2"]'))
    await running.until(lambda: handler.channel._senders == 2)
    assert handler.received == []

    handler.channel.resume_reading()
    assert (await first).status_code == (await second).status_code == 204
    assert handler.received == [b"1", b"2"]


# -- whose session it is -------------------------------------------------------------


async def test_a_session_belongs_to_the_cookie_that_opened_it(running: Gateway):
    cookie = {"cookie": "salon_session=ann"}
    for stranger in [{"cookie": "salon_session=bob"}, {"cookie": "x=ann"}, {}]:
        session = f"/ws/000/s{len(running.opened)}"
        async with client_of(running) as client:
            await client.post(session + "/xhr", headers=cookie)
            send = await client.post(
                session + "/xhr_send", content='["spoof"]', headers=stranger
            )
            poll = await client.post(session + "/xhr", headers=stranger)
            own = await client.post(
                session + "/xhr_send", content='["mine"]', headers=cookie
            )

            assert send.status_code == poll.status_code == 404
            assert own.status_code == 204
            assert running.opened[-1].received == [b"mine"]


async def test_without_a_cookie_a_session_belongs_to_the_address():
    async with gateway(trusted=("127.0.0.1",)) as running, client_of(running) as client:
        ann, bob = {"x-forwarded-for": "9.9.9.1"}, {"x-forwarded-for": "9.9.9.2"}
        await client.post(SESSION + "/xhr", headers=ann)
        send = await client.post(SESSION + "/xhr_send", content='["x"]', headers=bob)

        assert send.status_code == 404
        assert running.opened[0].channel.handshake.remote == "9.9.9.1"


async def test_revoking_a_login_ends_its_stream(running: Gateway):
    async with tcp(running.port) as raw:
        await stream(raw)
        channel = running.opened[0].channel
        running.edge.connections.bind(channel.id, login="l", user="u")
        running.edge.connections.close_login("l")

        assert await chunk(raw) == b'c[1008,"logged out"]\n'
        assert await chunk(raw) == b""
        await running.until(lambda: running.opened[0].closed is not None)


# -- xhr streaming -------------------------------------------------------------------


async def stream(raw: RawClient) -> None:
    """Open a stream; read its head, its prelude and the greeting."""
    raw.write(b"POST %b/xhr_streaming HTTP/1.1\r\nHost: x\r\n" % SESSION.encode())
    raw.write(b"Content-Length: 0\r\n\r\n")
    await raw.head()
    assert raw.status == 200
    assert raw.headers["transfer-encoding"] == "chunked"
    assert raw.headers["content-type"] == "application/javascript; charset=UTF-8"
    assert await chunk(raw) == b"h" * 2048 + b"\n"
    assert await chunk(raw) == b"o\n"


async def chunk(raw: RawClient) -> bytes:
    async with asyncio.timeout(30):
        size = int(await raw.reader.readline(), 16)
        data = await raw.reader.readexactly(size)
        await raw.reader.readline()
        return data


async def test_a_stream_has_a_prelude_and_then_frames(
    running: Gateway, client: httpx.AsyncClient
):
    async with tcp(running.port) as raw:
        await stream(raw)
        for word in ["one", "two"]:
            await client.post(SESSION + "/xhr_send", content=json.dumps([word]))
            assert await chunk(raw) == b'a["%b"]\n' % word.encode()


async def test_a_stream_ends_after_the_limit_and_the_next_goes_on():
    limits = EdgeLimits(response=4096)
    async with gateway(limits=limits) as running, tcp(running.port) as raw:
        await stream(raw)
        channel = running.opened[0].channel
        channel.send(b"x" * 5000)
        assert len(await chunk(raw)) == 5000 + 6
        assert await chunk(raw) == b""

        channel.send(b"between")
        raw.write(b"POST %b/xhr_streaming HTTP/1.1\r\nHost: x\r\n" % SESSION.encode())
        raw.write(b"Content-Length: 0\r\n\r\n")
        await raw.head()
        assert await chunk(raw) == b"h" * 2048 + b"\n"
        assert await chunk(raw) == b'a["between"]\n'


async def test_a_stream_that_is_cut_ends_the_session(
    running: Gateway, client: httpx.AsyncClient
):
    async with tcp(running.port) as raw:
        await stream(raw)
    await running.until(lambda: running.opened[0].closed is not None)

    answer = await client.post(SESSION + "/xhr")
    assert answer.content == b'c[1002,"Connection interrupted"]\n'


async def test_a_silent_stream_gets_heartbeats(running: Gateway):
    async with tcp(running.port) as raw:
        await stream(raw)
        session = running.opened[0].channel
        session._session._heartbeat_delay = 0.1
        session._look_later()

        assert await chunk(raw) == b"h\n"


async def test_a_stream_whose_reader_reads_nothing_is_reset():
    limits = EdgeLimits(linger=0.1, response=1 << 30)
    budget = Budget(soft=10_000, hard=100_000)
    async with (
        gateway(limits=limits, budget=budget) as running,
        tcp(running.port, receive_buffer=4096) as raw,
    ):
        raw.write(b"POST %b/xhr_streaming HTTP/1.1\r\nHost: x\r\n" % b"/ws/0/s")
        raw.write(b"Content-Length: 0\r\n\r\n")
        await running.until(lambda: bool(running.opened))
        handler = running.opened[0]
        async with asyncio.timeout(30):
            while handler.closed is None:
                handler.channel.send(b"x" * 9000)
                await asyncio.sleep(0)

        assert handler.closed[0] == 4408
        await running.until(
            lambda: not running.server._uvicorn.server_state.connections
        )


# -- websocket -----------------------------------------------------------------------


async def test_the_websocket_transport_speaks_frames(running: Gateway):
    async with websocket(running, SESSION + "/websocket") as client:
        assert await client.frame() == (TEXT, b"o")
        client.write(text(b""))
        client.write(text(b"[]"))
        client.write(text(b'["a","b"]'))
        client.write(text(b'"bare"'))
        await running.until(lambda: len(running.opened[0].received) == 3)

        assert running.opened[0].received == [b"a", b"b", b"bare"]
        got = b""
        while got.count(b'"') < 6:
            got += (await client.frame())[1]
        assert got.replace(b"]a[", b",") == b'a["a","b","bare"]'


async def test_broken_framing_closes_the_websocket(running: Gateway):
    async with websocket(running, SESSION + "/websocket") as client:
        await client.frame()
        client.write(text(b'["x'))

        assert await client.frame() == (TEXT, b'c[3000,"Broken framing."]')
        assert await client.close_code() == 3000
        await running.until(lambda: running.opened[0].closed is not None)


async def test_a_websocket_session_id_can_be_used_again(running: Gateway):
    for _ in range(2):
        async with websocket(running, SESSION + "/websocket") as client:
            assert await client.frame() == (TEXT, b"o")


async def test_close_is_a_frame_and_then_a_close(running: Gateway):
    def on_data(handler: Recorder, data: bytes) -> None:
        handler.channel.close(3000, "Go away!")

    running.on_data = on_data
    async with websocket(running, SESSION + "/websocket") as client:
        await client.frame()
        client.write(text(b'["x"]'))

        assert await client.frame() == (TEXT, b'c[3000,"Go away!"]')
        opcode, payload = await client.frame()
        assert (opcode, payload) == (CLOSE, (3000).to_bytes(2) + b"Go away!")
        client.write(frame(CLOSE, payload[:2]))
        assert await client.ended()


async def test_an_idle_sockjs_websocket_gets_heartbeats():
    async with (
        gateway(limits=EdgeLimits(heartbeat=0.1)) as running,
        websocket(running, SESSION + "/websocket") as client,
    ):
        assert await client.frame() == (TEXT, b"o")
        assert await client.frame() == (TEXT, b"h")


async def test_the_raw_websocket_has_no_framing(running: Gateway):
    async with websocket(running, "/ws/websocket") as client:
        client.write(text(b"plain"))

        assert await client.frame() == (TEXT, b"plain")


# -- the end -------------------------------------------------------------------------


async def test_a_restart_is_said_on_every_transport():
    async with (
        gateway() as running,
        tcp(running.port) as raw,
        websocket(running, "/ws/0/w/websocket") as ws,
    ):
        await ws.frame()
        await stream(raw)
        stopping = asyncio.create_task(running.server.stop())

        assert await chunk(raw) == b'c[1012,"the server restarts"]\n'
        assert await ws.frame() == (TEXT, b'c[1012,"the server restarts"]')
        assert await ws.close_code() == 1012
        await stopping
