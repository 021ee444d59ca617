"""The client where no WebSocket gets through: SockJS over HTTP, against our server."""

import asyncio

import pytest

from salon.client.client import Client
from salon.client.errors import ClientError, Disconnected, Refused
from salon.gateway.edge import SockJsOptions
from tests.client.place import Place, PlaceWithPasswords, place
from tests.client.proxy import proxy

pytestmark = pytest.mark.timeout(60)

STREAMING, POLLING = "xhr-streaming", "xhr-polling"
UPGRADE = "upgrade: websocket"


@pytest.fixture(params=[STREAMING, POLLING])
def transport(request):
    return request.param


def client(port, *transports, **options):
    if transports:
        options["transports"] = transports
    options.setdefault("login", "Ann")
    return Client(f"http://127.0.0.1:{port}/ws", **options)


async def test_it_subscribes_sends_and_hears(transport):
    async with place() as app, client(app.port, transport) as ann:
        async with await ann.subscribe("/topic/echo") as messages:
            receipt = await ann.send("/app/echo", {"a": "ü\u2028 \x00"})
            message = await anext(messages)

        assert (ann.transport, ann.user) == (transport, "guest:ann")
        assert message.json() == {"a": "ü\u2028 \x00"}
        assert receipt["size"] == str(len(message.body))


async def test_messages_keep_their_order_both_ways(transport):
    async with place() as app, client(app.port, transport) as ann:
        messages = await ann.subscribe("/topic/echo")
        await asyncio.gather(*(ann.send("/app/echo", f"{n}") for n in range(100)))
        heard = [int((await anext(messages)).body) for _ in range(100)]

        assert heard == list(range(100))


async def test_a_large_message_goes_through(transport):
    async with place() as app, client(app.port, transport) as ann:
        messages = await ann.subscribe("/topic/echo")
        await ann.send("/app/echo", "x" * 60_000)

        assert (await anext(messages)).body == b"x" * 60_000


async def test_acknowledging_and_transactions_work(transport):
    async with place() as app, client(app.port, transport) as ann:
        async with ann.transaction() as work:
            await work.send("/queue/jobs", "1")
            await work.send("/queue/jobs", "2")
        jobs = await ann.subscribe("/queue/jobs", ack="client-individual")
        await (await anext(jobs)).ack()
        await (await anext(jobs)).nack()

        assert (await anext(jobs)).redelivered


async def test_what_is_no_text_is_refused_in_words(transport):
    async with place() as app, client(app.port, transport) as ann:
        with pytest.raises(ClientError, match="carries text only"):
            await ann.send("/app/echo", b"\xff")
        assert (await ann.send("/app/echo", b"x"))["size"] == "1"


async def test_a_refused_connect_says_why_and_tries_nothing_else():
    async with place() as app, proxy(app.port) as (port, asked):
        with pytest.raises(Refused, match="unauthorised"):
            await client(port, STREAMING, POLLING, login=None).__aenter__()

        assert not any(path.endswith("/xhr") for path in asked)


class TestComingBack:
    async def test_it_resumes_where_it_was(self, transport):
        async with (
            place(kind=PlaceWithPasswords) as app,  # nobody waits for a guest's name
            client(app.port, transport) as ann,
        ):
            news = await ann.subscribe("/topic/news")
            app.template.send("/topic/news", b"1")
            assert (await anext(news)).body == b"1"
            for session in app.users:
                session.channel.close(1012, "restart")
            app.template.send("/topic/news", b"2")
            app.template.send("/topic/news", b"3")
            heard = [(await anext(news)).body for _ in range(2)]

            assert heard == [b"2", b"3"]
            assert (ann.connections, news.gaps) == (2, 0)
            assert ann.transport == transport

    async def test_a_close_is_said_with_its_code(self, transport):
        async with place() as app, client(app.port, transport) as ann:
            messages = await ann.subscribe("/topic/echo")
            for session in app.users:
                session.channel.close(1008, "logged out")
            with pytest.raises(Disconnected) as caught:
                await anext(messages)

            assert (caught.value.code, caught.value.reason) == (1008, "logged out")

    async def test_a_stream_that_is_cut_is_noticed(self):
        async with place() as app:
            async with proxy(app.port) as (port, _):
                ann = client(port, STREAMING, reconnect=False)
                await ann.__aenter__()
                messages = await ann.subscribe("/topic/echo")
            with pytest.raises(Disconnected):
                await anext(messages)
            await ann.close()

    async def test_it_finds_a_server_that_was_away(self, transport):
        async with place() as first:
            port = first.port
            ann = client(port, transport, timeout=30)
            await ann.__aenter__()
            messages = await ann.subscribe("/topic/echo")
        async with place(port):
            await ann.send("/app/echo", b"again")
            assert (await anext(messages)).body == b"again"
            await ann.close()

    async def test_streams_end_at_their_limit_and_go_on(self):
        async with place() as app, client(app.port, STREAMING) as ann:
            messages = await ann.subscribe("/topic/echo")
            for _ in range(10):  # 128 KiB and more
                await ann.send("/app/echo", "x" * 20_000)
            heard = [len((await anext(messages)).body) for _ in range(10)]

            assert heard == [20_000] * 10
            assert ann.connections == 1


class TestFallingBack:
    async def test_websocket_is_tried_first(self):
        async with place() as app, client(app.port) as ann:
            assert ann.transport == "websocket"

    async def test_a_proxy_that_refuses_upgrades_gets_a_stream(self):
        async with (
            place() as app,
            proxy(app.port, refuses=[UPGRADE]) as (port, asked),
            client(port) as ann,
        ):
            assert ann.transport == STREAMING
            assert (await ann.send("/app/echo", "x"))["size"] == "1"
            assert asked[:2] == ["/ws/websocket", "/ws/info"]

    async def test_a_proxy_that_swallows_upgrades_gets_a_stream(self):
        async with (
            place() as app,
            proxy(app.port, swallows=[UPGRADE]) as (port, _),
            client(port, "websocket", STREAMING, timeout=4) as ann,
        ):
            assert ann.transport == STREAMING

    async def test_a_proxy_that_keeps_streams_gets_polls(self):
        async with (
            place() as app,
            proxy(app.port, swallows=["xhr_streaming"]) as (port, _),
            client(port, STREAMING, POLLING, timeout=4) as ann,
        ):
            messages = await ann.subscribe("/topic/echo")
            await ann.send("/app/echo", "x")
            assert (await anext(messages)).body == b"x"
            assert ann.transport == POLLING

    async def test_what_worked_is_tried_first_when_it_comes_back(self):
        async with (
            place(kind=PlaceWithPasswords) as app,
            proxy(app.port, refuses=[UPGRADE]) as (port, asked),
            client(port) as ann,
        ):
            await ann.subscribe("/topic/echo")
            asked.clear()
            for session in app.users:
                session.channel.close(1012, "restart")
            while ann.connections < 2:
                await asyncio.sleep(0.01)

            assert ann.transport == STREAMING
            assert "/ws/websocket" not in asked

    async def test_the_address_of_a_websocket_falls_back_too(self):
        async with (
            place() as app,
            proxy(app.port, refuses=[UPGRADE]) as (port, _),
            Client(f"ws://127.0.0.1:{port}/ws", login="Ann") as ann,
        ):
            assert ann.transport == STREAMING

    async def test_a_server_whose_websocket_is_off_gets_a_stream(self):
        class WithoutWebSocket(Place):
            sockjs = SockJsOptions(websocket=False, cookie_needed=True)

        async with place(kind=WithoutWebSocket) as app, client(app.port) as ann:
            assert ann.transport == STREAMING
            assert (await ann.send("/app/echo", "x"))["size"] == "1"

    async def test_where_nothing_gets_through_each_is_named(self):
        async with place() as app, proxy(app.port, refuses=["http/1.1"]) as (port, _):
            with pytest.raises(Disconnected) as caught:
                await client(port).__aenter__()

        assert "no SockJS at /ws (403)" in str(caught.value)

    def test_a_transport_that_is_none_is_ours_to_fix(self):
        with pytest.raises(ValueError, match="htmlfile"):
            client(1, "htmlfile")
