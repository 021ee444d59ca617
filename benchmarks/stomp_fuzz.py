"""A million broken conversations: nothing but protocol errors, in bounded memory.

    python -m benchmarks.stomp_fuzz [inputs] [seed]

Each input is a conversation of all frames with bytes changed, cut, doubled and moved,
in pieces, given to a whole connection (session, dispatcher, queues) without a network.
It must go on or end in an ERROR with a code of the protocol; nothing may be logged as
our fault, nothing may be left behind. 20,000 of them run with the tests; 1,000,000
(about three minutes of one core) by hand, before a release.
"""

import asyncio
import random
import resource
import sys
import time

from salon.clock import ManualClock
from salon.gateway.bridge import BridgeServices, BridgeSettings, StompBridge
from salon.messaging.channel import Handshake
from salon.messaging.dispatch import Dispatcher
from salon.messaging.grants import Grants, may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to, transactional
from salon.messaging.principal import Principal
from salon.messaging.queues import QueueLimits, Queues
from salon.messaging.retention import Retention, retain
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry
from salon.stomp.codec import Limits
from salon.stomp.session import SessionLimits

FRAMES = (
    b"SUBSCRIBE\nid:0\ndestination:/topic/a\nresume-from:1\nreceipt:1\n\n\0",
    b"SUBSCRIBE\nid:q\ndestination:/queue/a\nack:client\nprefetch-count:9\n\n\0",
    b"SEND\ndestination:/app/echo\nreceipt:2\n\nhello\0",
    b"SEND\ndestination:/queue/a\ncontent-length:5\n\na\0b\0c\0",
    b"SEND\ndestination:/topic/a\nx:\\c\\n\\\\\n\n\xc3\xa4\0",
    b"BEGIN\ntransaction:t\n\n\0",
    b"SEND\ndestination:/queue/b\ntransaction:t\n\nx\0",
    b"SEND\ndestination:/app/echo\ntransaction:t\n\nx\0",
    b"ACK\nid:1\nmessage-id:1\nsubscription:q\n\n\0",
    b"NACK\nid:2\nmessage-id:2\nsubscription:q\ntransaction:t\n\n\0",
    b"COMMIT\ntransaction:t\nreceipt:3\n\n\0",
    b"ABORT\ntransaction:t\n\n\0",
    b"UNSUBSCRIBE\nid:0\n\n\0",
    b"SEND\ndestination:/app/echo\n\n" + b"x" * 201 + b"\0",
    b"SEND\ndestination:/app/echo\nlong:" + b"x" * 300 + b"\n\n\0",
    b"DISCONNECT\nreceipt:4\n\n\0",
    b"\n",
    b"\r\n",
)
PIECES = (b"\0", b"\n", b"\r\n", b"\\", b":", b"content-length:9\n", b"\xff", b"", b"*")
CODES = frozenset(
    {
        "ack_unknown",
        "destination_invalid",
        "destination_refused",
        "destination_unknown",
        "invalid_prefetch",
        "malformed_frame",
        "queue_full",
        "too_large",
        "too_many_queues",
        "transaction_refused",
        "unauthorised",
        "unexpected_frame",
        "unsupported",
        "unsupported_version",
        "overload",
    }
)


class Controller:
    @message_mapping("/echo")
    @send_to("/topic/a")
    @transactional
    def echo(self, payload: bytes) -> bytes:
        return payload


class Anybody:
    async def authenticate(self, handshake, login, passcode):
        return Principal("1", "Ann", frozenset({"guest"}), "l")


class NoTimer:
    def call_later(self, delay, callback):
        return self

    def cancel(self):
        pass


class Sink:
    """A channel that keeps ERRORs only."""

    id = "c"
    handshake = Handshake("/ws")
    waiting = 0

    def __init__(self):
        self.error = None
        self.closed = None
        self.sent = 0

    def send(self, data, *, droppable=False, coalesce=None):
        self.sent += 1
        if data.startswith(b"ERROR"):
            self.error = data

    def follow(self, broadcast):
        self.send(broadcast.messages[0])
        return False

    def close(self, code, reason):
        self.closed = code

    def pause_reading(self):
        pass

    resume_reading = pause_reading


FRESH = 10
"""Inputs until the server is made anew, so that names of messages can be guessed."""


class Fuzz:
    """A server, and many broken clients one after the other."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.make_server()

    def make_server(self):
        users, registry = UserRegistry(), SubscriptionRegistry()
        self.template = MessagingTemplate(
            registry,
            users,
            queues=Queues(QueueLimits(messages=5, queues=3)),
            retention=Retention(retain("/topic/*", messages=5)),
        )
        self.users, self.registry = users, registry
        grants = Grants(
            [
                may_send("/app/**", "guest"),
                may_send("/queue/*", "guest"),
                may_send("/topic/*", "guest"),
                may_subscribe("/topic/*", "guest"),
                may_subscribe("/queue/*", "guest"),
            ]
        )
        limits = SessionLimits(frame=Limits(body=200, head=300), subscriptions=5)
        self.services = BridgeServices(
            Anybody(),
            Dispatcher([Controller()], registry, self.template, grants),
            users,
            self.template,
            NoTimer(),
            ManualClock(),
            settings=BridgeSettings(session=limits),
        )

    def input(self):
        """Pieces of a conversation in which something is wrong, probably."""
        chance = self.chance
        version = chance.choice((b"1.0", b"1.1", b"1.2", b"1.0,1.1,1.2"))
        head = b"CONNECT\naccept-version:" + version + b"\nheart-beat:0,0\n\n\0"
        data = bytearray(head + b"".join(chance.choices(FRAMES, k=6)))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(data) + 1)
            what = chance.choice((*PIECES, bytes([chance.randrange(256)])))
            data[at : at + chance.randrange(4)] = what
        cut = chance.randrange(len(data) + 1)
        return bytes(data[:cut]), bytes(data[cut:])

    async def one(self):
        """The code of the ERROR that it ended with, or None.

        Raises:
            AssertionError: it did what no input may do.
        """
        pieces = self.input()
        bridge, channel = StompBridge(self.services), Sink()
        bridge.on_open(channel)
        for piece in pieces:
            if piece:
                bridge.on_data(piece)
            while bridge._task is not None:
                await asyncio.sleep(0)
        code = None
        if channel.error is not None:
            code = channel.error.partition(b"\ncode:")[2].partition(b"\n")[0].decode()
            assert code in CODES, (code, pieces)
            assert channel.closed in {1002, 1008, 1009}, (channel.closed, pieces)
        buffered = bridge._stomp.buffered
        assert channel.closed is not None or buffered <= sum(map(len, pieces)), pieces
        bridge.on_close(1006, "")
        assert len(self.users) == 0, pieces
        assert self.registry.destinations() == [], pieces
        held = sum(held for _, held, _ in self.template.queues.sizes().values())
        assert held == 0, pieces
        return code

    async def run(self, inputs):
        """How many ended with which code."""
        outcomes = {}
        for number in range(inputs):
            if number % FRESH == 0:
                self.make_server()
            code = await self.one()
            outcomes[code] = outcomes.get(code, 0) + 1
        return outcomes


def main():
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.process_time()
    fuzz = Fuzz(seed)
    asyncio.run(fuzz.run(inputs // 10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = asyncio.run(fuzz.run(inputs - inputs // 10))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{inputs} inputs, {time.process_time() - began:.0f} CPU-s")
    print(f"peak memory after a tenth {before} KiB, at the end {after} KiB")
    for code, count in sorted(outcomes.items(), key=lambda item: -item[1]):
        print(f"{count:9}  {code or 'went on'}")


if __name__ == "__main__":
    main()
