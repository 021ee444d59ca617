"""Whoever logs out is out: on every live connection of that login, and only there."""

import contextlib
import json
import threading

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from salon.stomp.codec import Decoder, encode
from salon.stomp.frames import SERVER_COMMANDS, Frame, Version
from tests.program import Person, Program, another_person, first_person

pytestmark = pytest.mark.e2e

REVOKED_WITHIN_S = 2.0
"""The promise (ASVS 7.4); the wait below only bounds a hang."""

HANG_S = 20.0


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    with Program(tmp_path_factory.mktemp("revocation") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def ann(program):
    person = first_person(program)
    yield person
    person.close()


@pytest.fixture(scope="module")
def bob(program, ann):
    person = another_person(program, ann)
    yield person
    person.close()


class Socket:
    """A STOMP connection of a test: what was heard, and how it ended."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire
        self.frames: list[Frame] = []
        self.decoder = Decoder(commands=SERVER_COMMANDS)

    def put(self, command: str, body: bytes = b"", **headers: str) -> None:
        frame = Frame(command, tuple(headers.items()), body)
        self.wire.send(encode(frame, Version.V12), text=True)

    def until(self, command: str) -> Frame:
        while True:
            data = self.wire.recv(timeout=HANG_S, decode=False)
            for frame in self.decoder.feed(data):
                self.frames.append(frame)
                if frame.command == command:
                    return frame

    def until_closed(self) -> int | None:
        """The code it was closed with; messages on the way are kept."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                data = self.wire.recv(timeout=HANG_S, decode=False)
                self.frames += self.decoder.feed(data)
        return self.wire.close_code


@contextlib.contextmanager
def socket(program: Program, *, cookie: str = "", **headers: str):
    url = program.url.replace("http", "ws", 1) + "/ws"
    extra = {"Cookie": f"salon_session={cookie}"} if cookie else {}
    with connect(
        url,
        origin=program.url,
        subprotocols=["v12.stomp"],
        additional_headers=extra,
        close_timeout=1,
    ) as wire:
        made = Socket(wire)
        made.put("CONNECT", **{"accept-version": "1.2", "host": "salon", **headers})
        yield made


def listening(made: Socket) -> None:
    made.until("CONNECTED")
    made.decoder.version = Version.V12
    made.put("SUBSCRIBE", id="e", destination="/user/queue/events", receipt="r")
    made.until("RECEIPT")


def log_in(program: Program, handle: str) -> httpx.Client:
    client = httpx.Client(base_url=program.url, headers={"Origin": program.url})
    body = {"handle": handle, "password": f"{handle} has a long password"}
    client.post("/api/v1/login", json=body).raise_for_status()
    return client


@pytest.mark.parametrize("way", ["cookie", "passcode"])
def test_logout_closes_the_live_connections_of_that_login_only(
    program: Program, ann: Person, bob: Person, way: str
) -> None:
    here = ann.direct(bob)
    leaving, staying = log_in(program, "bob"), log_in(program, "bob")
    tokens = [client.cookies["salon_session"] for client in (leaving, staying)]
    with (
        socket(program, **{way: tokens[0]}) as gone,
        socket(program, **{way: tokens[1]}) as there,
    ):
        listening(gone)
        listening(there)
        closed = threading.Event()
        reader = threading.Thread(target=lambda: (gone.until_closed(), closed.set()))
        reader.start()
        leaving.post("/api/v1/logout").raise_for_status()
        in_time = closed.wait(REVOKED_WITHIN_S) or closed.wait(HANG_S)
        reader.join(HANG_S)
        ann.say(here, f"only for those who stayed ({way})")
        heard = json.loads(there.until("MESSAGE").body)

        assert in_time
        assert gone.wire.close_code == 1008
        assert [frame.command for frame in gone.frames].count("MESSAGE") == 0
        assert heard["body"]["text"].startswith("only for those")
    leaving.close()
    staying.close()


def test_a_token_of_an_ended_login_connects_nobody(program: Program, bob: Person):
    client = log_in(program, "bob")
    token = client.cookies["salon_session"]
    client.post("/api/v1/logout").raise_for_status()
    client.close()
    with socket(program, passcode=token) as made:
        error = made.until("ERROR")
        code = made.until_closed()

    assert b"Log in" in error.body or "Log in" in (error.get("message") or "")
    assert code == 1008


def test_a_guest_has_a_name_of_their_own_while_connected(program: Program, ann: Person):
    with socket(program, login="Zoë") as first:
        connected = first.until("CONNECTED")
        with socket(program, login="ZOË") as second:
            refused = second.until("ERROR")
        with socket(program, login="Ann") as third:
            taken = third.until("ERROR")

    assert connected.get("user-name") == "guest:zoë"
    for error in (refused, taken):
        assert "choose another name" in (error.get("message") or error.body.decode())


def test_a_guest_hears_and_reaches_nothing_of_the_conversations(
    program: Program, ann: Person, bob: Person
):
    here = ann.direct(bob)
    with socket(program, login="Mallory") as guest:
        guest.until("CONNECTED")
        guest.decoder.version = Version.V12
        body = {"conversation": here, "client_id": "x1", "text": "let me in"}
        guest.put("SEND", json.dumps(body).encode(), destination="/app/chat.send")
        error = guest.until("ERROR")
    texts = [event["body"].get("text") for event in ann.events(here)]

    assert error.get("code")
    assert "let me in" not in texts
