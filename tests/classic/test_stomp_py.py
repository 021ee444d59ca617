"""An official client, unmodified: stomp.py over WebSocket."""

import asyncio
import json
import queue

import stomp
from tests.classic.running import classic

SECONDS = 20


class Heard(stomp.ConnectionListener):
    """Every frame, in a queue by its kind."""

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


def conversation(port):
    """What a user of stomp.py writes; runs in a thread."""
    client = stomp.WSStompConnection(
        [("127.0.0.1", port)], ws_path="/ws", heartbeats=(1000, 1000)
    )
    heard = Heard()
    client.set_listener("", heard)
    client.connect(username="An: n", wait=True)
    client.subscribe("/topic/public", id="sub-1", headers={"receipt": "s"})
    yield heard.next("connected").headers["version"]
    yield heard.next("receipt").headers["receipt-id"]
    client.send(
        "/app/chat.sendMessage",
        json.dumps({"type": "CHAT", "content": "\0ü"}),
        headers={"receipt": "m"},
    )
    yield json.loads(heard.next("message").body)
    yield heard.next("receipt").headers["receipt-id"]
    client.unsubscribe("sub-1", headers={"receipt": "u"})
    yield heard.next("receipt").headers["receipt-id"]
    client.begin("t1")
    client.commit("t1", headers={"receipt": "c"})
    yield heard.next("receipt").headers["receipt-id"]
    client.ack("1")
    yield heard.next("error").headers["code"]


async def test_stomp_py_connects_subscribes_sends_and_hears_of_errors():
    async with classic() as port:
        assert await asyncio.to_thread(lambda: list(conversation(port))) == [
            "1.2",
            "s",
            {"type": "CHAT", "content": "\0ü", "sender": "An: n"},
            "m",
            "u",
            "c",
            "ack_unknown",
        ]
