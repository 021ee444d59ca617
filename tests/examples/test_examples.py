"""The examples do what their first lines say, as programs and as applications."""

import asyncio
import json
import re
import sys

import pytest
from examples.chat import Chat
from examples.ticker import Ticker

from salon.client.client import Client
from tests.client.place import place

pytestmark = pytest.mark.timeout(60)


def client(app, name):
    return Client(f"ws://127.0.0.1:{app.port}/ws", login=name, timeout=5)


class TestChat:
    async def test_people_talk_in_rooms(self):
        async with (
            place(kind=Chat) as app,
            client(app, "Ann") as ann,
            client(app, "Bob") as bob,
        ):
            blue = await bob.subscribe("/topic/rooms/blue")
            await bob.subscribe("/topic/rooms/red")
            await ann.send("/app/rooms/blue", {"text": "hello"})

            assert (await anext(blue)).json() == {"sender": "Ann", "text": "hello"}
            people = await bob.subscribe("/app/rooms/blue/people")
            assert (await anext(people)).json() == ["Ann"]

    async def test_who_leaves_is_not_here_any_more(self):
        async with place(kind=Chat) as app, client(app, "Bob") as bob:
            async with client(app, "Ann") as ann:
                await ann.send("/app/rooms/blue", {"text": "hello"})
            people = await bob.subscribe("/app/rooms/blue/people")

            assert (await anext(people)).json() == []

    async def test_a_shout_is_answered_to_who_shouted(self):
        async with place(kind=Chat) as app, client(app, "Ann") as ann:
            hints = await ann.subscribe("/user/queue/hints")
            await ann.send("/app/rooms/blue", {"text": "HELLO"})

            assert (await anext(hints)).body == b"Please do not shout."

    async def test_a_refusal_names_the_field(self):
        async with place(kind=Chat) as app, client(app, "Ann") as ann:
            errors = await ann.subscribe("/user/queue/errors")
            sending = asyncio.create_task(ann.send("/app/rooms/blue", {"text": ""}))
            refusal = (await anext(errors)).json()
            sending.cancel()

            assert (refusal["code"], refusal["field"]) == ("empty", "text")


class TestTicker:
    async def test_prices_come_to_who_watches(self):
        async with place(kind=Ticker) as app, client(app, "Ann") as ann:
            prices = await ann.subscribe("/topic/price.SALN")
            pushing = asyncio.create_task(app.push(0.01))
            for _ in range(5):
                assert re.fullmatch(rb"\d+\.\d\d", (await anext(prices)).body)
            pushing.cancel()

    async def test_an_order_goes_to_one_worker_that_is_free(self):
        async with (
            place(kind=Ticker) as app,
            client(app, "Ann") as ann,
            client(app, "W1") as one,
            client(app, "W2") as two,
        ):
            for worker in (one, two):
                worker.jobs = await worker.subscribe(
                    "/queue/orders", ack="client-individual"
                )
            async with ann.transaction() as basket:
                for count in (1, 2):
                    order = {"symbol": "SALN", "count": count}
                    await basket.send("/app/order.place", order)
            first, second = await anext(one.jobs), await anext(two.jobs)
            await first.nack()
            await second.ack()
            again = await anext(one.jobs)  # whose turn it is
            await again.ack()

            assert first.json() == {"symbol": "SALN", "count": 1, "buyer": "Ann"}
            assert second.json()["count"] == 2
            assert again.redelivered
            assert app.template.queues.sizes() == {"/queue/orders": (0, 0, 2)}
            assert len(app.timing.seconds) == 2


@pytest.mark.parametrize("name", ["chat", "ticker"])
async def test_an_example_runs_as_a_program(name):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.{name}", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with Client(url, login="Ann") as ann:
            assert ann.user == "guest:ann"
    finally:
        process.terminate()
        await process.wait()


async def test_two_chats_over_a_broker_and_an_announcement_from_outside(tmp_path):
    """Four processes: the broker, two servers, and one that only speaks."""
    processes = []

    async def start(*words):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        processes.append(process)
        return process

    async def line(process):
        return (await process.stdout.readline()).decode().strip()

    try:
        broker = await start(
            *("salon", "broker", "--ready-json"),
            *("--data", str(tmp_path), "--listen", "127.0.0.1:0"),
        )
        kafka = f"127.0.0.1:{json.loads(await line(broker))['port']}"
        chats = [await start("examples.chat", "0", kafka) for _ in range(2)]
        urls = [await line(chat) for chat in chats]
        async with (
            Client(urls[0], login="Ann") as ann,
            Client(urls[1], login="Bob") as bob,
        ):
            rooms = [await who.subscribe("/topic/rooms/blue") for who in (ann, bob)]
            announcing = await start("examples.announce", kafka, "blue", "hello")
            assert await announcing.wait() == 0
            for room in rooms:
                said = await anext(room)
                assert said.json() == {"sender": "house", "text": "hello"}
                assert said["priority"] == "9"
            async with asyncio.timeout(20):
                while await listeners(ann) != 2:
                    await asyncio.sleep(0.05)
    finally:
        for process in reversed(processes):
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def listeners(client):
    async with await client.subscribe("/app/rooms/blue/listeners") as answer:
        return (await anext(answer)).json()
