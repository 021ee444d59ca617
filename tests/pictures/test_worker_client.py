"""The worker's HTTP against a server that says what a test wants."""

import contextlib
import json
import socket
import threading
import urllib.parse

import pytest

from salon.errors import StartupError
from salon.pictures.worker_client import (
    CallRefused,
    Drawn,
    JobDropped,
    Server,
    ServerAway,
    Work,
)

WORK = Work("5", 1, "fox", "", 7, 12, 1.8, 30)


class Scripted:
    """Answers each request with the next of ``answers``; None hangs up.

    A new connection is accepted after each hang-up.
    """

    def __init__(self, *answers):
        self.requests = []
        self.connections = 0
        self._answers = iter(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                with connection, connection.makefile("rb") as lines:
                    while self._answer(connection, lines):
                        pass

    def _answer(self, connection, lines):
        head = []
        while (line := lines.readline()) not in (b"\r\n", b""):
            head.append(line.decode().strip())
        if not head:
            return False
        sizes = [h.split(": ")[1] for h in head if h.lower().startswith("content-len")]
        body = lines.read(int(sizes[0])) if sizes else b""
        self.requests.append((head, body))
        answer = next(self._answers, None)
        if answer is None:
            return False
        status, said = answer
        connection.sendall(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(said)}\r\n\r\n".encode()
            + said
        )
        return True

    def close(self):
        self._socket.close()


@pytest.fixture
def scripted():
    with contextlib.ExitStack() as stack:

        def make(*answers):
            server = Scripted(*answers)
            stack.callback(server.close)
            client = Server(server.url, lambda: "secret", "w1")
            stack.callback(client.close)
            return server, client

        yield make


LEASED = (
    b'{"job":"5","attempt":1,"prompt":"fox","negative":"","seed":7,"steps":12,'
    b'"guidance":1.8,"lease_s":30,"something new":1}'
)


def test_a_lease_is_read_and_new_fields_are_ignored(scripted):
    server, client = scripted((200, LEASED))

    assert client.lease(0) == WORK
    head, body = server.requests[0]
    assert head[0] == "POST /api/v1/worker/lease HTTP/1.1"
    assert "Authorization: Bearer secret" in head
    assert body == b'{"worker": "w1", "wait_s": 0, "fills_in": true}'


def test_what_is_left_to_the_model_is_none(scripted):
    own = LEASED.replace(b'"steps":12', b'"steps":null').replace(b"1.8", b"null")
    work = scripted((200, own))[1].lease(0)

    assert (work.steps, work.guidance) == (None, None)


def test_a_result_says_what_is_known_of_the_picture(scripted):
    server, client = scripted((204, b""), (204, b""))
    client.result(WORK, Drawn(b"png", "m"), 1)
    note = {"code": "prompt_cut", "message": "обр", "params": {"room": 77}}
    client.result(WORK, Drawn(b"png", "m", "wand & hat", 25, 0.0, (note, note)), 1)

    plain, whole = (head[0].split()[1] for head, _ in server.requests)
    assert plain.endswith("/jobs/5/result?attempt=1&model=m&elapsed_ms=1")
    said = urllib.parse.parse_qs(urllib.parse.urlsplit(whole).query)
    assert (said["drawn_as"], said["steps"]) == (["wand & hat"], ["25"])
    assert said["guidance"] == ["0.0"]
    assert [json.loads(text) for text in said["note"]] == [note, note]
    assert [body for _, body in server.requests] == [b"png", b"png"]


def test_no_work_is_none(scripted):
    assert scripted((204, b""))[1].lease(0) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, JobDropped),
        (409, JobDropped),
        (400, CallRefused),
        (401, CallRefused),
        (413, CallRefused),
        (422, CallRefused),
        (408, ServerAway),
        (429, ServerAway),
        (500, ServerAway),
        (503, ServerAway),
    ],
)
def test_answers_mean_drop_give_up_or_try_again(scripted, status, kind):
    for said in (b'{"code": "c", "message": "m"}', b"<html>", b"[]", b""):
        with pytest.raises(kind):
            scripted((status, said))[1].result(WORK, Drawn(b"png", "m"), 1)


def test_a_kept_connection_that_was_closed_meanwhile_is_made_again(scripted):
    server, client = scripted((204, b""), None, (204, b""))
    assert client.lease(0) is None
    assert client.lease(0) is None

    assert server.connections == 2
    assert len(server.requests) == 3


def test_a_server_that_is_not_there_is_away():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    client = Server(f"http://127.0.0.1:{port}", lambda: "t", "w1")

    with pytest.raises(ServerAway):
        client.lease(0)


def test_a_token_that_cannot_be_read_now_is_tried_again(scripted):
    server, _ = scripted()

    def unreadable():
        raise FileNotFoundError("gone")

    with pytest.raises(ServerAway):
        Server(server.url, unreadable, "w1").lease(0)


@pytest.mark.parametrize("url", ["salon.test", "ftp://salon.test", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(StartupError):
        Server(url, lambda: "t", "w1")


def test_a_path_before_the_api_is_kept(scripted):
    server, _ = scripted((204, b""))
    client = Server(server.url + "/salon/", lambda: "t", "w1")
    client.lease(0)
    client.close()

    assert server.requests[0][0][0] == "POST /salon/api/v1/worker/lease HTTP/1.1"
