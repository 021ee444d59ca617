"""``salon run`` as a stranger meets it: starts, refuses in words, ends, goes on."""

import json
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tests.program import ROOT, Program, another_person, first_person

pytestmark = pytest.mark.e2e


@pytest.fixture
def program(tmp_path):
    with Program(tmp_path / "data") as running:
        yield running


def refused(*args):
    done = subprocess.run(
        [sys.executable, "-m", "salon", "run", *args],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    return done.returncode, done.stderr.strip()


def test_a_fresh_folder_becomes_a_server_with_a_setup_link(program):
    about = httpx.get(f"{program.url}/api/v1/server").json()

    assert program.said["setup"].startswith(f"{program.url}/setup#token=")
    assert about["setup_needed"] is True
    assert httpx.get(f"{program.url}/readyz").status_code == 200


def test_two_people_talk_and_a_restart_keeps_everything(tmp_path):
    program = Program(tmp_path / "data").start()
    try:
        ann = first_person(program)
        bob = another_person(program, ann)
        here = ann.direct(bob)
        ann.say(here, "hello")
        bob.say(here, "hello yourself")

        assert program.stop() == 0
        program.start()
        bob.say(here, "and again")
        texts = [e["body"].get("text") for e in ann.events(here)]
        numbers = [e["seq"] for e in ann.events(here)]
        ann.close()
        bob.close()
    finally:
        program.end()

    assert texts == [None, "hello", "hello yourself", "and again"]
    assert numbers == [1, 2, 3, 4]
    assert program.said["setup"] is None


def test_a_server_that_was_killed_goes_on_where_it_stopped(tmp_path):
    program = Program(tmp_path / "data").start()
    try:
        ann = first_person(program)
        bob = another_person(program, ann)
        here = ann.direct(bob)
        for n in range(20):
            ann.say(here, f"m{n}", key=f"k{n}")
        program.kill()
        program.start()
        again = ann.say(here, "m19", key="k19")
        last = bob.say(here, "still here")
        seen = bob.events(here)
        ann.close()
        bob.close()
    finally:
        program.end()

    assert again["duplicate"] is True
    assert last["seq"] == 22
    assert [e["seq"] for e in seen] == list(range(1, 23))


def test_a_broker_that_was_killed_comes_back_and_loses_nothing(tmp_path):
    program = Program(tmp_path / "data").start()
    try:
        ann = first_person(program)
        bob = another_person(program, ann)
        here = ann.direct(bob)
        ann.say(here, "before")
        import os

        os.kill(program.said["children"]["broker"], signal.SIGKILL)
        ann.say(here, "after", key="k")
        seen = bob.events(here)
        ann.close()
        bob.close()
    finally:
        program.end()

    assert [e["body"].get("text") for e in seen] == [None, "before", "after"]


def test_ctrl_c_ends_it_with_zero(tmp_path):
    program = Program(tmp_path / "data").start()
    program.process.send_signal(signal.SIGINT)

    assert program.process.wait(10) == 0
    program.process.stdout.close()


def test_a_taken_port_gets_one_sentence_and_78(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = refused("--port", str(port), "--data", str(tmp_path / "d"))

    assert status == 78
    assert f"Port {port}" in said
    assert "\n" not in said


def test_a_second_server_on_the_folder_gets_one_sentence_and_78(program):
    status, said = refused("--port", "0", "--data", str(program.data))

    assert status == 78
    assert f"process {program.said['pid']}" in said
    assert "\n" not in said


def test_an_unwritable_folder_gets_one_sentence_and_78(tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, said = refused("--port", "0", "--data", str(tmp_path / "file" / "data"))

    assert status == 78
    assert "cannot be written" in said
    assert "\n" not in said


def test_bad_requests_get_words(program):
    ann = first_person(program)
    bob = another_person(program, ann)
    cat = another_person(program, ann, "cat", "Cat")
    here = ann.direct(bob)
    path = f"/api/v1/conversations/{here}/messages"
    cases = {
        "foreign": cat.http.post(path, json={"text": "hi"}),
        "empty": ann.http.post(path, json={"text": "  "}),
        "long": ann.http.post(path, json={"text": "x" * 9000}),
        "huge": ann.http.post(path, json={"text": "x" * 2_000_000}),
        "type": ann.http.post(path, json={"text": 7}),
        "id": ann.http.get("/api/v1/conversations/abc/events"),
        "nobody": httpx.get(f"{program.url}/api/v1/sync"),
        "nowhere": ann.http.get("/api/v1/nowhere"),
        "no prompt": ann.http.post(
            "/api/v1/pictures", json={"conversation": here, "prompt": " "}
        ),
        "1 MB prompt": ann.http.post(
            "/api/v1/pictures", json={"conversation": here, "prompt": "x" * 1_000_000}
        ),
    }
    for person in (ann, bob, cat):
        person.close()
    statuses = {name: answer.status_code for name, answer in cases.items()}

    assert statuses == {
        "foreign": 404,
        "empty": 400,
        "long": 413,
        "huge": 413,
        "type": 422,
        "id": 400,
        "nobody": 401,
        "nowhere": 404,
        "no prompt": 400,
        "1 MB prompt": 413,
    }
    for answer in cases.values():
        said = json.loads(answer.content)
        assert said["code"]
        assert said["message"]


def test_stomp_over_plain_tcp_where_a_port_is_given(tmp_path):
    from tests.engines import free_port

    port = free_port()
    with Program(tmp_path / "data", env={"SALON_STOMP_PORT": str(port)}) as program:
        ann = first_person(program)
        with socket.create_connection(("127.0.0.1", port), 10) as tcp:
            tcp.sendall(
                b"CONNECT\naccept-version:1.2\nhost:salon\npasscode:%b\n\n\0"
                % ann.token.encode()
            )
            answer = tcp.recv(4096)
        ann.close()

    assert answer.startswith(b"CONNECTED\nversion:1.2\n")
    assert b"user-name:%b" % ann.id.encode() in answer
