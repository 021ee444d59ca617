"""stomp.py 9 (threads), unmodified: 1.0, 1.1, 1.2 over TCP, and 1.2 over WebSocket."""

import asyncio
import queue

import pytest

import stomp
from tests.client.place import PlaceWithPasswords, place
from tests.client.proxy import cut_into

pytestmark = pytest.mark.timeout(60)

SECONDS = 20


class Heard(stomp.ConnectionListener):
    def __init__(self):
        self.kinds = {
            kind: queue.Queue() for kind in ("connected", "message", "receipt", "error")
        }

    def on_connected(self, frame):
        self.kinds["connected"].put(frame)

    def on_message(self, frame):
        self.kinds["message"].put(frame)

    def on_receipt(self, frame):
        self.kinds["receipt"].put(frame)

    def on_error(self, frame):
        self.kinds["error"].put(frame)

    def next(self, kind):
        return self.kinds[kind].get(timeout=SECONDS)


def connection(app, version):
    beats = {} if version == "1.0" else {"heartbeats": (1000, 1000)}
    if version == "websocket":
        return stomp.WSStompConnection(
            [("127.0.0.1", app.port)], ws_path="/ws", **beats
        )
    kind = {
        "1.0": stomp.StompConnection10,
        "1.1": stomp.StompConnection11,
        "1.2": stomp.StompConnection12,
    }[version]
    return kind([("127.0.0.1", app.stomp_port)], **beats)


def settle(client, version, command, frame):
    """ACK or NACK in the way of the version."""
    headers = frame.headers
    if version == "1.0":
        client.ack(headers["message-id"])
    elif version == "1.1":
        getattr(client, command)(headers["message-id"], headers["subscription"])
    else:
        getattr(client, command)(headers["ack"])


def conversation(app, version):
    """What a user of stomp.py writes; runs in a thread."""
    client = connection(app, version)
    heard = Heard()
    client.set_listener("", heard)
    client.connect("ann", "secret", wait=True)
    yield heard.next("connected").headers.get("version", "1.0")

    client.subscribe("/topic/echo", id="0", headers={"receipt": "s"})
    yield heard.next("receipt").headers["receipt-id"]
    client.send("/app/echo", "grüße", headers={"receipt": "m"})
    yield heard.next("message").body
    yield heard.next("receipt").headers["receipt-id"]
    client.unsubscribe("0")

    client.subscribe("/queue/jobs", id="1", ack="client")
    for body in "abc":
        client.send("/queue/jobs", body)
    first, second, third = (heard.next("message") for _ in range(3))
    settle(client, version, "ack", second)  # and the first: cumulative
    if version == "1.0":
        settle(client, version, "ack", third)
    else:
        settle(client, version, "nack", third)
        again = heard.next("message")
        yield again.body, again.headers["redelivered"]
        settle(client, version, "ack", again)

    name = client.begin("t")
    client.send("/queue/out", "1", headers={"transaction": name})
    client.commit(name)
    name = client.begin("u")
    client.send("/queue/never", "x", headers={"transaction": name})
    client.abort(name)
    client.disconnect("bye")
    yield heard.next("receipt").headers["receipt-id"]
    assert heard.kinds["error"].empty()
    assert first.body == "a"


@pytest.mark.parametrize(
    ("version", "network"),
    [
        *((version, "whole") for version in ("1.0", "1.1", "1.2", "websocket")),
        *((version, "bytes") for version in ("1.0", "1.1", "1.2")),
        # not websocket: it says the proxy's address as its Origin
    ],
)
async def test_every_frame_does_what_the_client_expects(version, network):
    async with place(kind=PlaceWithPasswords) as app, cut_into(network, app) as ports:
        seen = await asyncio.to_thread(lambda: list(conversation(ports, version)))
        again = [] if version == "1.0" else [("c", "true")]
        while len(app.users):
            await asyncio.sleep(0.01)

        spoken = "1.2" if version == "websocket" else version
        assert seen == [spoken, "s", "grüße", "m", *again, "bye"]
        assert app.template.queues.sizes() == {"/queue/out": (1, 0, 0)}


async def test_a_wrong_password_is_an_error():
    async with place(kind=PlaceWithPasswords) as app:

        def refused():
            client = connection(app, "1.2")
            heard = Heard()
            client.set_listener("", heard)
            with pytest.raises(stomp.exception.ConnectFailedException):
                client.connect("ann", "wrong", wait=True)
            return heard.next("error").headers["code"]

        assert await asyncio.to_thread(refused) == "unauthorised"
