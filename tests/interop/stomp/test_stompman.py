"""stompman (asyncio, STOMP 1.2), unmodified, over TCP and WebSocket.

Its ACKs are awaited by nothing; what they did is read from the server's queues.
"""

import asyncio

import pytest

from tests.client.place import PlaceWithPasswords, place
from tests.client.proxy import cut_into

stompman = pytest.importorskip("stompman")

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["whole", "bytes"])
def network(request):
    return request.param


@pytest.fixture(params=["tcp", "websocket"])
async def connected(request, network):
    async with place(kind=PlaceWithPasswords) as app, cut_into(network, app) as ports:
        where = (
            {"port": ports.stomp_port}
            if request.param == "tcp"
            else {"port": ports.port, "ws_uri_path": "/ws/websocket"}
        )
        parameters = stompman.ConnectionParameters(
            host="127.0.0.1", login="ann", passcode="secret", **where
        )
        options = {}
        if request.param == "websocket":
            ws = pytest.importorskip("stompman.connection_ws")
            options["connection_class"] = ws.WebSocketConnection
        async with stompman.Client(servers=[parameters], **options) as client:
            yield app, client


def collector():
    heard = asyncio.Queue()

    async def handle(message):
        heard.put_nowait(message)

    return heard, handle


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def test_connect_subscribe_send_with_receipt_and_disconnect(connected):
    _app, client = connected
    heard, handle = collector()
    subscription = await client.subscribe(
        "/topic/echo", handle, ack="auto", on_suppressed_exception=print
    )
    await client.send("grüße: \0".encode(), "/app/echo", receipt_timeout=10)
    message = await heard.get()
    await subscription.unsubscribe()

    assert message.body == "grüße: \0".encode()


async def test_ack_and_nack(connected):
    app, client = connected
    heard, handle = collector()
    subscription = await client.subscribe_with_manual_ack(
        "/queue/jobs", handle, ack="client-individual"
    )
    for body in (b"a", b"b"):
        await client.send(body, "/queue/jobs", receipt_timeout=10)
    first, second = await heard.get(), await heard.get()
    await first.ack()
    await second.nack()
    again = await heard.get()
    await again.ack()
    await until(lambda: app.template.queues.sizes() == {"/queue/jobs": (0, 0, 1)})
    await subscription.unsubscribe()

    assert (again.body, again.headers["redelivered"]) == (b"b", "true")


async def test_transactions(connected):
    app, client = connected
    async with client.begin() as work:
        for body in (b"1", b"2"):
            await work.send(body, "/queue/out")
        assert app.template.queues.sizes() == {}
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with client.begin() as work:
            await work.send(b"x", "/queue/never")
            raise ZeroDivisionError
    await client.send(b"", "/app/echo", receipt_timeout=10)

    assert app.template.queues.sizes() == {"/queue/out": (2, 0, 0)}
