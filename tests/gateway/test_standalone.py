"""An application of its own: what it is made of, and how it ends."""

import asyncio
from typing import ClassVar

import pytest

from salon.client.client import Client
from salon.client.errors import Disconnected
from salon.eventlog.memory import MemoryLog
from salon.gateway.edge import SockJsOptions
from salon.gateway.server import listen
from salon.gateway.standalone import Standalone
from salon.messaging.grants import may_subscribe
from salon.messaging.remote import RemoteTemplate
from tests.client.place import place

pytestmark = pytest.mark.timeout(60)


class Bare(Standalone):
    grants = (may_subscribe("/topic/*", "guest"),)


async def test_it_is_served_on_one_port_and_on_another_only_where_asked():
    with listen("127.0.0.1", 0) as listening:
        async with Bare(listening) as app:
            assert app.stomp_port is None
            assert app.url == f"http://127.0.0.1:{app.port}"
            async with Client(f"ws://127.0.0.1:{app.port}/ws", login="Ann") as ann:
                news = await ann.subscribe("/topic/a")
                app.template.send("/topic/a", b"x")
                assert (await anext(news)).body == b"x"


async def test_leaving_it_tells_everybody_to_come_back_later():
    ways = {"ws": 1012, "tcp": 1006}
    async with place() as app:
        clients = [
            Client(getattr(app, way), login=way, reconnect=False) for way in ways
        ]
        for client in clients:
            await client.__aenter__()
        heard = [await client.subscribe("/topic/a") for client in clients]
    for messages, code in zip(heard, ways.values(), strict=True):
        with pytest.raises(Disconnected) as caught:
            await anext(messages)
        assert caught.value.code == code
    for client in clients:
        await client.close()


async def test_stopped_waits_for_the_end():
    async with place() as app:
        waiting = asyncio.create_task(app.stopped())
        await asyncio.sleep(0.05)
        assert not waiting.done()
    async with asyncio.timeout(20):
        await waiting


async def test_two_on_one_log_know_each_others_users_and_hear_from_outside():
    log = MemoryLog()
    async with (
        place(kind=Bare, log=log, node="one") as one,
        place(kind=Bare, log=log, node="two") as two,
        Client(f"ws://127.0.0.1:{one.port}/ws", login="Ann") as ann,
        Client(f"ws://127.0.0.1:{two.port}/ws", login="Bob") as bob,
    ):
        heard = [await client.subscribe("/topic/a") for client in (ann, bob)]
        await RemoteTemplate(log).convert_and_send("/topic/a", "from outside")
        for messages in heard:
            assert (await anext(messages)).body == b"from outside"
        async with asyncio.timeout(20):
            while one.user_registry.user_count < 2 or two.user_registry.user_count < 2:
                await asyncio.sleep(0.01)
            while len(_listeners(one)) < 2:
                await asyncio.sleep(0.01)

        assert _listeners(one) == {("guest:ann", "one"), ("guest:bob", "two")}
    assert one.user_registry.alone


def _listeners(app):
    found = app.user_registry.find_subscriptions(lambda s: s.destination == "/topic/a")
    return {(subscription.user, subscription.node) for subscription in found}


async def test_it_has_as_many_endpoints_as_it_says():
    class Two(Bare):
        prefix = "/stomp"
        endpoints: ClassVar = {"/old": SockJsOptions(websocket=False)}

    async with (
        place(kind=Two) as app,
        Client(f"http://127.0.0.1:{app.port}/stomp", login="Ann") as ann,
        Client(f"http://127.0.0.1:{app.port}/old", login="Bob") as bob,
    ):
        assert (ann.transport, bob.transport) == ("websocket", "xhr-streaming")
