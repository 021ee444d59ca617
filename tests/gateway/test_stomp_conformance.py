r"""STOMP 1.0, 1.1 and 1.2, point by point, and however the network cuts it.

The points are those of the specification's checklist (C1 to C31). A *conversation* says
what a client sends and what it must hear. Each runs over a real TCP socket, whole and
byte by byte, and, on a connection in memory, cut in two at every single position.

What has no bytes to cut is proven elsewhere: heart-beats on time (C15, C16:
``test_bridge.py``, ``test_session.py``), redelivery to *other* consumers (C22:
``test_bridge_acknowledging.py``), subprotocols, text and binary (C31:
``test_handover.py``, ``test_framing.py``).
"""

import asyncio
from dataclasses import dataclass

import pytest

from salon.errors import Refusal
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to
from salon.messaging.message import ReceiptHeaders
from salon.messaging.principal import Principal
from salon.stomp.codec import Decoder, Limits
from salon.stomp.frames import SERVER_COMMANDS, Version
from tests.client.place import Place, place
from tests.messaging.world import World, principal
from tests.wire import bytes_of, pieces

GRANTS = (
    may_send("/app/**", "guest", "user"),
    may_send("/topic/*", "guest", "user"),
    may_send("/queue/*", "guest", "user"),
    may_subscribe("/topic/*", "guest", "user"),
    may_subscribe("/queue/*", "guest", "user"),
)


class Controller:
    @message_mapping("/say")
    @send_to("/topic/said")
    async def say(self, payload: bytes, receipt: ReceiptHeaders) -> bytes:
        receipt["size"] = str(len(payload))
        return payload

    @message_mapping("/refuse")
    async def refuse(self) -> None:
        raise Refusal("muted", "You are muted.")


class Anybody:
    """The login is the name; passcode ``wrong`` is refused."""

    async def authenticate(self, handshake, login, passcode):
        if passcode == "wrong":
            raise Refusal("unauthorised", "Log in first.", status=401)
        name = login or "ann"
        return Principal(name, name, frozenset({"guest"}), name)


class Server(Place):
    controllers = (Controller(),)
    grants = GRANTS

    def authenticator(self):
        return Anybody()


# ------------------------------------------------------------ conversations


@dataclass
class Says:
    """A frame that must come: a command, headers that it must have, its body.

    A value ``*`` is any; ``None`` in ``headers`` means that there is no such header.
    """

    command: str
    headers: dict
    body: bytes | None = None

    def check(self, frame):
        assert frame.command == self.command, frame
        for name, value in self.headers.items():
            found = frame.get(name)
            assert found == value or (value == "*" and found is not None), frame
        if self.body is not None:
            assert frame.body == self.body, frame


def says(line, body=None, **more):
    """``says("RECEIPT receipt-id:1")``."""
    command, *headers = line.split(" ")
    pairs = dict(header.split(":", 1) for header in headers)
    return Says(command, {**pairs, **more}, body)


@dataclass
class Conversation:
    """Steps of (what is sent, what must be heard before the next is sent).

    ``(bytes | ACK of the last message, [Says…])``; ``ends``: whether the server closes.
    """

    name: str
    version: str
    steps: list
    ends: bool = False

    def __str__(self):
        return f"{self.name} ({self.version})".replace(" ", "_")


def connect(version="1.2", more=""):
    accept = f"accept-version:{version}\n" if version else ""
    return f"CONNECT\n{accept}login:ann\n{more}\n\0".encode()


def opened(version="1.2"):
    expected = "1.0" if version is None else version
    return connect(version), [says(f"CONNECTED version:{expected}")]


def talk(name, *steps, version="1.2", ends=False):
    """A conversation that begins with CONNECT."""
    return Conversation(name, version, [opened(version), *steps], ends)


def first(name, sent, heard, version="1.2", *, ends=False):
    """A conversation of one step, that begins with anything."""
    return Conversation(name, version, [(sent, heard)], ends)


def fails(name, sent, code, version="1.2", **headers):
    """What is broken gets ERROR, and the connection ends."""
    said = [says(f"ERROR code:{code}", **{"message": "*", **headers})]
    return talk(name, (sent, said), version=version, ends=True)


def sub(destination, id_="0", more=""):
    return f"SUBSCRIBE\nid:{id_}\ndestination:{destination}\n{more}receipt:s\n\n\0".encode()


SUBSCRIBED = says("RECEIPT receipt-id:s")
SAID = sub("/topic/said"), [SUBSCRIBED]
JOBS = sub("/queue/jobs", more="ack:client-individual\n"), [SUBSCRIBED]


def send(destination="/app/say", body="x", more=""):
    return f"SEND\ndestination:{destination}\n{more}\n{body}\0".encode()


ALL = ("1.0", "1.1", "1.2")
LATER = ("1.1", "1.2")


def in_each(versions, make):
    return [make(version) for version in versions]


CONVERSATIONS = [
    # C1: ends of lines
    talk(
        "C1 CRLF ends header lines",
        SAID,
        (
            b"SEND\r\ndestination:/app/say\r\nreceipt:1\r\n\r\nx\0",
            [says("MESSAGE", b"x"), says("RECEIPT receipt-id:1")],
        ),
    ),
    fails(
        "C1 CR is part of a command",
        b"SEND\r\ndestination:/app/say\n\n\0",
        "malformed_frame",
        "1.1",
    ),
    # C2
    *in_each(
        ALL,
        lambda version: talk(
            "C2 any number of EOLs between frames",
            (b"\n\n\n" + sub("/topic/said"), [SUBSCRIBED]),
            (b"\n" + send() + b"\n\n" + send(), [says("MESSAGE"), says("MESSAGE")]),
            version=version,
        ),
    ),
    # C3: escapes
    talk(
        "C3 escapes are undone and done again",
        (sub("/topic/a"), [SUBSCRIBED]),
        (
            send("/topic/a", more="n:a\\cb\\\\c\\nd\\re\n"),
            [says("MESSAGE", n="a:b\\c\nd\re")],
        ),
    ),
    *in_each(
        LATER,
        lambda version: fails(
            "C3 another escape is fatal",
            send(more="n:a\\tb\n"),
            "malformed_frame",
            version,
        ),
    ),
    fails(
        "C3 1.1 has no escape for CR", send(more="n:\\r\n"), "malformed_frame", "1.1"
    ),
    talk(
        "C3 1.0 has no escapes",
        (sub("/topic/a"), [SUBSCRIBED]),
        (send("/topic/a", more="n:a\\cb\n"), [says("MESSAGE", n="a\\cb")]),
        version="1.0",
    ),
    # C4, C5
    *in_each(
        LATER,
        lambda version: talk(
            "C4 nothing is trimmed",
            (sub("/topic/a"), [SUBSCRIBED]),
            (
                send("/topic/a", more="n: a \n m :b\ne:\n"),
                [says("MESSAGE", **{"n": " a ", " m ": "b", "e": ""})],
            ),
            version=version,
        ),
    ),
    talk(
        "C4 a raw colon is part of a value",
        (sub("/topic/a"), [SUBSCRIBED]),
        (send("/topic/a", more="n:a:b\n"), [says("MESSAGE", n="a:b")]),
    ),
    *in_each(
        ALL,
        lambda version: talk(
            "C5 of a repeated header the first counts",
            (sub("/topic/a"), [SUBSCRIBED]),
            (
                send("/topic/a", more="destination:/topic/b\nn:1\nn:2\n"),
                [says("MESSAGE destination:/topic/a n:1")],
            ),
            version=version,
        ),
    ),
    # C6, C7: bodies
    *in_each(
        ALL,
        lambda version: talk(
            "C6 content-length reads over NUL",
            SAID,
            (
                send(body="a\0b", more="content-length:3\n"),
                [says("MESSAGE content-length:3", b"a\0b")],
            ),
            version=version,
        ),
    ),
    *in_each(
        ALL,
        lambda version: fails(
            "C6 NUL must follow",
            send(body="abcd", more="content-length:3\n"),
            "malformed_frame",
            version,
        ),
    ),
    fails(
        "C6 a length is a number", send(more="content-length:-1\n"), "malformed_frame"
    ),
    *in_each(
        ALL,
        lambda version: talk(
            "C7 without a length NUL ends the body",
            SAID,
            (send(body="grün"), [says("MESSAGE content-length:5", "grün".encode())]),
            (send(body=""), [says("MESSAGE", b"")]),
            version=version,
        ),
    ),
    # C8, C9
    *in_each(
        LATER,
        lambda version: fails(
            "C8 no body but in SEND",
            b"SUBSCRIBE\nid:0\ndestination:/topic/a\n\nbody\0",
            "malformed_frame",
            version,
        ),
    ),
    *in_each(
        LATER,
        lambda version: fails(
            "C9 headers are UTF-8",
            b"SEND\ndestination:/app/say\nn:\xff\n\n\0",
            "malformed_frame",
            version,
        ),
    ),
    # C10, C11, C12, C13: coming in
    first(
        "C10 STOMP is CONNECT",
        b"STOMP\naccept-version:1.2\nhost:h\n\n\0",
        [says("CONNECTED")],
    ),
    first(
        "C10 nothing before CONNECT",
        send(),
        [says("ERROR code:unexpected_frame")],
        ends=True,
    ),
    fails("C10 no second CONNECT", connect(), "unexpected_frame"),
    first(
        "C11 the highest version that both speak",
        connect("1.0,1.1,1.2,9.9"),
        [says("CONNECTED version:1.2")],
    ),
    first(
        "C11 none said is 1.0", connect(None), [says("CONNECTED version:1.0")], "1.0"
    ),
    first(
        "C11 none in common",
        connect("3.0"),
        [says("ERROR code:unsupported_version version:1.2,1.1,1.0")],
        ends=True,
    ),
    first("C12 host is taken", connect(more="host:any\n"), [says("CONNECTED")]),
    first(
        "C13 a wrong passcode",
        connect(more="passcode:wrong\n"),
        [says("ERROR code:unauthorised", message="Log in first.")],
        ends=True,
    ),
    # C14, C15
    first(
        "C14 C15 CONNECTED says all",
        connect(more="heart-beat:5000,5000\n"),
        [
            says(
                "CONNECTED version:1.2 heart-beat:5000,5000 user-name:ann",
                session="*",
                server="*",
            )
        ],
    ),
    *(
        first(
            f"C15 heart-beat {bad}",
            connect(more=f"heart-beat:{bad}\n"),
            [says("ERROR code:malformed_frame")],
            ends=True,
        )
        for bad in ("a,b", "1", "-1,0", "1,2,3")
    ),
    # C17: SEND
    *in_each(
        ALL,
        lambda version: fails(
            "C17 SEND needs a destination", b"SEND\n\nx\0", "malformed_frame", version
        ),
    ),
    *in_each(
        ALL,
        lambda version: talk(
            "C17 order",
            (sub("/topic/a"), [SUBSCRIBED]),
            (
                b"".join(send("/topic/a", str(n), f"n:{n}\n") for n in range(5)),
                [says(f"MESSAGE n:{n}", str(n).encode()) for n in range(5)],
            ),
            version=version,
        ),
    ),
    # C18: SUBSCRIBE
    *in_each(
        LATER,
        lambda version: fails(
            "C18 an id is needed",
            b"SUBSCRIBE\ndestination:/topic/a\n\n\0",
            "malformed_frame",
            version,
        ),
    ),
    talk(
        "C18 1.0 needs no id",
        (b"SUBSCRIBE\ndestination:/topic/a\nreceipt:s\n\n\0", [SUBSCRIBED]),
        (send("/topic/a"), [says("MESSAGE destination:/topic/a", subscription=None)]),
        version="1.0",
    ),
    *in_each(
        LATER,
        lambda version: talk(
            "C18 an id twice",
            (sub("/topic/a"), [SUBSCRIBED]),
            (
                sub("/topic/b"),
                [says("ERROR code:unexpected_frame receipt-id:s")],
            ),
            version=version,
            ends=True,
        ),
    ),
    # C19, C20, C21: acknowledging
    fails(
        "C19 an unknown mode",
        sub("/topic/a", more="ack:sometimes\n"),
        "malformed_frame",
        **{"receipt-id": "s"},
    ),
    talk(
        "C19 client is cumulative",
        (sub("/queue/jobs", more="ack:client\n"), [SUBSCRIBED]),
        (
            send("/queue/jobs", "1") + send("/queue/jobs", "2"),
            [says("MESSAGE", b"1", ack="*"), says("MESSAGE", b"2", ack="*")],
        ),
        ("ACK\nid:{ack}\nreceipt:a\n\n\0", [says("RECEIPT receipt-id:a")]),
        ("ACK\nid:{ack}\n\n\0", [says("ERROR code:ack_unknown")]),
        ends=True,
    ),
    talk(
        "C20 what MESSAGE says",
        (sub("/topic/a", "mine"), [SUBSCRIBED]),
        (
            send("/topic/a"),
            [
                says(
                    "MESSAGE destination:/topic/a subscription:mine",
                    ack=None,
                    **{"message-id": "*"},
                )
            ],
        ),
    ),
    talk(
        "C21 1.2 acknowledges by id",
        JOBS,
        (send("/queue/jobs"), [says("MESSAGE", ack="*")]),
        ("ACK\nid:{ack}\nreceipt:a\n\n\0", [says("RECEIPT receipt-id:a")]),
    ),
    talk(
        "C21 1.1 acknowledges by message-id and subscription",
        JOBS,
        (send("/queue/jobs"), [says("MESSAGE subscription:0", **{"message-id": "*"})]),
        (
            "ACK\nsubscription:0\nmessage-id:{message-id}\nreceipt:a\n\n\0",
            [says("RECEIPT receipt-id:a")],
        ),
        version="1.1",
    ),
    talk(
        "C21 1.0 acknowledges by message-id",
        (sub("/queue/jobs", more="ack:client\n"), [SUBSCRIBED]),
        (send("/queue/jobs"), [says("MESSAGE", **{"message-id": "*"})]),
        (
            "ACK\nmessage-id:{message-id}\nreceipt:a\n\n\0",
            [says("RECEIPT receipt-id:a")],
        ),
        version="1.0",
    ),
    fails(
        "C21 1.0 has no NACK", b"NACK\nmessage-id:1\n\n\0", "unexpected_frame", "1.0"
    ),
    fails("C21 an id that is none", b"ACK\nid:7\n\n\0", "ack_unknown"),
    # C22
    talk(
        "C22 what is not wanted comes again",
        JOBS,
        (send("/queue/jobs"), [says("MESSAGE", b"x", redelivered=None)]),
        (
            "NACK\nid:{ack}\nreceipt:n\n\n\0",
            [says("MESSAGE redelivered:true", b"x"), says("RECEIPT receipt-id:n")],
        ),
    ),
    # C23
    *in_each(
        ALL,
        lambda version: talk(
            "C23 after UNSUBSCRIBE comes nothing",
            SAID,
            (b"UNSUBSCRIBE\nid:0\nreceipt:u\n\n\0", [says("RECEIPT receipt-id:u")]),
            (send(more="receipt:1\n"), [says("RECEIPT receipt-id:1")]),
            version=version,
        ),
    ),
    fails("C23 an unknown id", b"UNSUBSCRIBE\nid:7\n\n\0", "unexpected_frame"),
    # C24
    *in_each(
        ALL,
        lambda version: talk(
            "C24 COMMIT does all",
            (sub("/topic/a"), [SUBSCRIBED]),
            (
                b"BEGIN\ntransaction:t\n\n\0"
                + send("/topic/a", "1", "transaction:t\n")
                + send("/topic/a", "0")
                + send("/topic/a", "2", "transaction:t\n")
                + b"COMMIT\ntransaction:t\nreceipt:c\n\n\0",
                [
                    *(says("MESSAGE", body) for body in (b"0", b"1", b"2")),
                    says("RECEIPT receipt-id:c"),
                ],
            ),
            version=version,
        ),
    ),
    talk(
        "C24 ABORT forgets all",
        (sub("/topic/a"), [SUBSCRIBED]),
        (
            b"BEGIN\ntransaction:t\n\n\0"
            + send("/topic/a", "1", "transaction:t\n")
            + b"ABORT\ntransaction:t\nreceipt:a\n\n\0"
            + send("/topic/a", "2"),
            [says("RECEIPT receipt-id:a"), says("MESSAGE", b"2")],
        ),
    ),
    *(
        fails(f"C24 {what}", sent, code)
        for what, sent, code in (
            (
                "an unknown transaction",
                b"COMMIT\ntransaction:t\n\n\0",
                "unexpected_frame",
            ),
            ("a transaction has a name", b"BEGIN\n\n\0", "malformed_frame"),
            ("begun twice", 2 * b"BEGIN\ntransaction:t\n\n\0", "unexpected_frame"),
            ("SEND in none", send(more="transaction:t\n"), "unexpected_frame"),
        )
    ),
    # C25, C26, C27
    *in_each(
        ALL,
        lambda version: talk(
            "C25 receipts of all frames in their order",
            (
                sub("/topic/a")
                + send(more="receipt:1\n")
                + b"BEGIN\ntransaction:t\nreceipt:2\n\n\0"
                + b"ABORT\ntransaction:t\nreceipt:3\n\n\0"
                + b"UNSUBSCRIBE\nid:0\nreceipt:4\n\n\0"
                + b"DISCONNECT\nreceipt:5\n\n\0",
                [
                    SUBSCRIBED,
                    says("RECEIPT receipt-id:1 size:1"),
                    *(says(f"RECEIPT receipt-id:{n}") for n in range(2, 6)),
                ],
            ),
            version=version,
            ends=True,
        ),
    ),
    talk(
        "C26 what stands behind DISCONNECT is not read",
        SAID,
        (b"DISCONNECT\nreceipt:d\n\n\0" + send(), [says("RECEIPT receipt-id:d")]),
        ends=True,
    ),
    talk(
        "C27 ERROR says which frame and why",
        (
            send("/app/nowhere", more="receipt:9\n"),
            [
                says(
                    "ERROR code:destination_unknown receipt-id:9",
                    message="*",
                    **{"content-type": "application/json", "content-length": "*"},
                )
            ],
        ),
        ends=True,
    ),
    # C28, C29, C30
    fails("C28 too many headers", send(more="n:1\n" * 200), "too_large"),
    fails("C29 commands are case-sensitive", b"send\n\n\0", "malformed_frame"),
    fails("C29 an unknown command", b"HELLO\n\n\0", "malformed_frame"),
    fails(
        "C29 headers are case-sensitive",
        b"SEND\nDestination:/app/say\n\nx\0",
        "malformed_frame",
    ),
    talk(
        "C30 content-type goes along",
        (sub("/topic/a"), [SUBSCRIBED]),
        (
            send("/topic/a", more="content-type:text/html;charset=utf-8\n"),
            [says("MESSAGE content-type:text/html;charset=utf-8")],
        ),
    ),
]

SLOW = "C28"
"""Long conversations have too many positions for one run at each."""


def filled(sent, last):
    """What is sent: names in braces are headers of the last frame that came."""
    if isinstance(sent, bytes):
        return sent
    for name in ("ack", "message-id"):
        sent = sent.replace(f"{{{name}}}", last.get(name) or "" if last else "")
    return sent.encode()


def decoder(version):
    made = Decoder(Limits(body=1 << 20), commands=SERVER_COMMANDS)
    made.version = Version(version)
    return made


# ------------------------------------------------------------ over TCP


async def over_tcp(app, conversation, cut, queue):
    reader, writer = await asyncio.open_connection("127.0.0.1", app.stomp_port)
    decode, last = decoder(conversation.version), None
    try:
        async with asyncio.timeout(20):
            for sent, expected in conversation.steps:
                data = filled(sent, last).replace(b"/queue/jobs", queue)
                for piece in cut(data):
                    writer.write(piece)
                    await asyncio.sleep(0)  # the server reads before the next
                heard = []
                while len(heard) < len(expected):
                    data = await reader.read(65536)
                    assert data, f"it ended after {heard}"
                    heard += decode.feed(data)
                for frame, wanted in zip(heard, expected, strict=True):
                    wanted.check(frame)
                last = next((f for f in heard if f.command == "MESSAGE"), last)
            if conversation.ends:
                assert await reader.read() == b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("cut", [lambda data: [data], bytes_of], ids=["whole", "bytes"])
async def test_over_tcp(cut):
    """One server for all: each conversation has a connection of its own."""
    async with place(kind=Server) as app:
        for number, conversation in enumerate(CONVERSATIONS):
            await over_tcp(app, conversation, cut, b"/queue/jobs-%d" % number)


# ------------------------------------------------------------ at every position


async def settle():
    for _ in range(12):
        await asyncio.sleep(0)


class InMemory(World):
    def bridge(self):
        return super().bridge(UserAnybody())


class UserAnybody(Anybody):
    async def authenticate(self, handshake, login, passcode):
        await super().authenticate(handshake, login, passcode)
        return principal(login or "ann")


async def in_memory(conversation, at):
    """Run it with one cut, before byte ``at`` of all that is sent."""
    bridge, channel = InMemory([Controller()], GRANTS).bridge()
    channel.version = Version(conversation.version)
    last, before = None, 0
    for sent, expected in conversation.steps:
        data = filled(sent, last)
        here = at - before
        for piece in (data[:here], data[here:]) if 0 < here < len(data) else (data,):
            bridge.on_data(piece)
            await settle()
        before += len(data)
        heard = channel.frames()
        assert len(heard) == len(expected), heard
        for frame, wanted in zip(heard, expected, strict=True):
            wanted.check(frame)
        last = next((f for f in heard if f.command == "MESSAGE"), last)
    assert (channel.closed is not None) == conversation.ends
    return before


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
async def test_cut_at_every_position(conversation):
    length = await in_memory(conversation, 0)
    step = 7 if SLOW in conversation.name else 1
    for at in range(1, length, step):
        await in_memory(conversation, at)


def test_every_point_that_has_bytes_has_a_conversation():
    proven = {
        word for each in CONVERSATIONS for word in each.name.split() if word[0] == "C"
    }
    elsewhere = {"C16", "C31"}

    assert {f"C{n}" for n in range(1, 32)} - elsewhere <= proven


def test_all_cuts_are_made():
    assert list(pieces(b"abc")) == [[b"a", b"bc"], [b"ab", b"c"]]
    assert bytes_of(b"abc") == [b"a", b"b", b"c"]
