"""The client against our own server, on real sockets."""

import asyncio

import pytest

from salon.client.client import Client
from salon.client.errors import Disconnected, Refused, TooSlow
from tests.client.place import place

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["ws", "tcp"])
def url_of(request):
    return lambda app: getattr(app, request.param)


async def test_it_connects_subscribes_sends_and_hears(url_of):
    async with place() as app, Client(url_of(app), login="Ann") as ann:
        async with await ann.subscribe("/topic/echo") as messages:
            receipt = await ann.send("/app/echo", {"a": "ü"})
            message = await anext(messages)

        assert ann.user.startswith("guest:")
        assert message.json() == {"a": "ü"}
        assert message["destination"] == "/topic/echo"
        assert receipt["size"] == str(len(message.body))
        assert await ann.send("/app/echo", b"\0\xff\n") is not None


async def test_a_subscription_that_is_left_gets_no_more():
    async with place() as app, Client(app.ws, login="Ann") as ann:
        messages = await ann.subscribe("/topic/echo")
        await messages.unsubscribe()
        await ann.send("/app/echo", b"x")

        assert [m async for m in messages] == []
        assert app.subscriptions.destinations() == []


async def test_an_answered_subscription_gives_its_answer():
    async with place() as app, Client(app.ws, login="Ann") as ann:
        state = await ann.subscribe("/app/state")

        assert (await anext(state)).json() == {"n": 1}


async def test_messages_of_a_queue_are_acknowledged(url_of):
    async with place() as app, Client(url_of(app), login="Ann") as ann:
        for i in range(3):
            await ann.send("/queue/jobs", f"{i}")
        jobs = await ann.subscribe("/queue/jobs", ack="client-individual")
        first, second, _ = [await anext(jobs) for _ in range(3)]
        await first.ack()
        await second.nack()
        again = await anext(jobs)

        assert (again.body, again.redelivered) == (b"1", True)
        assert app.template.queues.sizes() == {"/queue/jobs": (0, 2, 1)}


async def test_what_a_lost_client_held_goes_to_another():
    async with place() as app, Client(app.ws, login="Bob") as bob:
        async with Client(app.ws, login="Ann") as ann:
            jobs = await ann.subscribe("/queue/jobs", ack="client")
            await bob.send("/queue/jobs", b"x")
            await anext(jobs)
            theirs = await bob.subscribe("/queue/jobs", ack="client")

        assert (await anext(theirs)).redelivered


async def test_a_transaction_is_all_or_nothing(url_of):
    async with place() as app, Client(url_of(app), login="Ann") as ann:
        await ann.send("/queue/in", b"x")
        jobs = await ann.subscribe("/queue/in", ack="client-individual")
        job = await anext(jobs)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with ann.transaction() as work:
                await work.send("/queue/out", b"1")
                await work.ack(job)
                raise ZeroDivisionError
        assert app.template.queues.sizes() == {"/queue/in": (0, 1, 1)}
        async with ann.transaction() as work:
            await work.send("/queue/out", b"1")
            await work.ack(job)

        assert app.template.queues.sizes() == {
            "/queue/in": (0, 0, 1),
            "/queue/out": (1, 0, 0),
        }


class TestErrors:
    async def test_a_refused_connect_says_why(self, url_of):
        async with place() as app:
            with pytest.raises(Refused, match="unauthorised"):
                await Client(url_of(app)).__aenter__()

    async def test_nobody_there_is_disconnected(self):
        with pytest.raises(Disconnected):
            await Client("ws://127.0.0.1:9/ws").__aenter__()

    async def test_a_refused_frame_fails_with_its_error(self):
        async with place() as app, Client(app.ws, login="Ann") as ann:
            with pytest.raises(Refused) as caught:
                await ann.send("/app/refuse")

            assert caught.value.code == "no"

    async def test_a_refusal_on_the_error_queue_lets_the_send_run_out_of_time(self):
        async with place() as app, Client(app.ws, login="Ann", timeout=0.3) as ann:
            errors = await ann.subscribe("/user/queue/errors")
            with pytest.raises(TimeoutError):
                await ann.send("/app/refuse")

            assert (await anext(errors)).json()["code"] == "no"

    async def test_a_receipt_that_was_under_way_is_lost_with_the_connection(self):
        async with place() as app, Client(app.ws, login="Ann") as ann:
            sending = asyncio.create_task(ann.send("/app/slow"))
            await asyncio.sleep(0.05)
            for session in app.users:
                session.channel.close(1012, "restart")
            with pytest.raises(Disconnected) as caught:
                await sending

            assert caught.value.code == 1012

    async def test_who_is_closed_for_policy_stays_away(self):
        async with place() as app, Client(app.ws, login="Ann") as ann:
            messages = await ann.subscribe("/topic/echo")
            for session in app.users:
                session.channel.close(1008, "logged out")
            with pytest.raises(Disconnected) as caught:
                await anext(messages)
            with pytest.raises(Disconnected):
                await ann.send("/app/echo")

            assert (caught.value.code, ann.connections) == (1008, 1)

    async def test_who_does_not_read_is_told_so(self):
        async with place() as app, Client(app.ws, login="Ann") as ann:
            messages = await ann.subscribe("/topic/echo", buffer=2)
            for i in range(4):
                await ann.send("/app/echo", f"{i}")
            assert [(await anext(messages)).body for _ in range(2)] == [b"0", b"1"]
            with pytest.raises(TooSlow):
                await anext(messages)


class TestComingBack:
    async def test_it_resumes_where_it_was(self, url_of):
        async with place() as app, Client(url_of(app), login="Ann") as ann:
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

    async def test_it_resumes_also_where_it_had_heard_nothing(self):
        async with place() as app, Client(app.ws, login="Ann") as ann:
            news = await ann.subscribe("/topic/news")
            for session in app.users:
                session.channel.close(1012, "restart")
            app.template.send("/topic/news", b"1")

            assert (await anext(news)).body == b"1"

    async def test_a_gap_is_counted(self):
        async with place() as app, Client(app.ws, login="Ann") as ann:
            news = await ann.subscribe("/topic/news")
            for session in app.users:
                session.channel.close(1012, "restart")
            for i in range(5):
                app.template.send("/topic/news", f"{i}".encode())
            heard = [(await anext(news)).body for _ in range(3)]
            while not news.gaps:
                await asyncio.sleep(0.01)

            assert heard == [b"2", b"3", b"4"]

    async def test_it_finds_a_server_that_was_away(self):
        async with place() as first:
            port = first.port
            client = Client(first.ws, login="Ann", timeout=30)
            await client.__aenter__()
            messages = await client.subscribe("/topic/echo")
        async with place(port):
            receipt = await client.send("/app/echo", b"again")
            assert receipt["size"] == "5"
            assert (await anext(messages)).body == b"again"
            await client.close()

    async def test_without_reconnect_it_stays_away(self):
        async with (
            place() as app,
            Client(app.ws, login="Ann", reconnect=False) as ann,
        ):
            messages = await ann.subscribe("/topic/echo")
            for session in app.users:
                session.channel.close(1012, "restart")
            with pytest.raises(Disconnected):
                await anext(messages)
            with pytest.raises(Disconnected):
                await ann.send("/app/echo")


async def test_heart_beats_go_both_ways(url_of):
    async with (
        place() as app,
        Client(url_of(app), login="Ann", heart_beat=1000) as ann,
    ):
        await asyncio.sleep(3.3)

        assert ann.connections == 1
        await ann.send("/app/echo")
