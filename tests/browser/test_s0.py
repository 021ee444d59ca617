"""A front end written for S0, in a real browser, on ``salon classic`` as it is."""

import json
import os
import subprocess
import sys

import pytest

from tests import engines
from tests.interop.stomp.test_stomp_js import clients  # noqa: F401 - a fixture
from tests.program import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def classic():
    """The program, with the pages that are written for the original."""
    engines.require("chromium")
    engines.require("node")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "salon", "classic", "--port", "0"),
            *("--identity-from-headers", "--pages", "tests/browser/s0"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = process.stdout.readline()
        yield line.split(": ", 1)[1].strip().rstrip("/")
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def said(kind, content, sender):
    """The body as the original writes it: this order, nulls kept, no escapes."""
    message = {"type": kind, "content": content, "sender": sender}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def test_public_room_private_and_push_work_unmodified(classic):
    done = subprocess.run(
        [engines.node(), "tests/browser/s0.mjs"],
        cwd=ROOT,
        env={**os.environ, "BASE_URL": classic, "CHROMIUM": engines.chromium()},
        capture_output=True,
        text=True,
        timeout=110,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    pages = report["pages"]

    assert report["ok"], json.dumps(report, indent=1, ensure_ascii=False)
    assert report["errors"] == []
    assert report["offOrigin"] == []
    assert report["pushed"] == 204
    public = [raw for destination, raw, _ in pages["public"]]
    assert public == [
        said("JOIN", None, "Ann B:S"),
        said("JOIN", None, "二"),
        said("CHAT", "grüße 😀 <b>&amp;</b> \\n {}", "Ann B:S"),
        said("CHAT", "x" * 20_000, "二"),
        said("CHAT", "hi", "nobody"),
        said("LEAVE", None, "Cat"),
    ]
    room = "/topic/chat/a b\\cü"  # a colon: stomp.js 2.3.3 undoes no escapes
    assert [line[:2] for line in pages["bob"]] == [
        [room, said("JOIN", None, "Bob")],
        [room, said("JOIN", None, "Cat")],
        [room, said("CHAT", "only here", "Bob")],
    ]
    assert [line[2] for line in pages["cat"]] == ["Cat joined", "Bob: only here"]
    assert [line[2] for line in pages["elsewhere"]] == ["Dan joined"]
    assert [line[:2] for line in pages["fay"]] == [
        ["/user/chat/Fay", said("JOIN", None, "Fay")],
        ["/topic/chatToUser/Fay", said("CHAT", "psst", "Eve")],
    ]
    assert [line[2] for line in pages["eve"]] == ["Eve joined"]
    assert pages["left"][1] == said("LEAVE", None, "二")
    assert report["transports"] == {
        "Ann B:S": "websocket",
        "二": "websocket",
        "Bob": "xhr_streaming",
        "Cat": "xhr_streaming",
        "Dan": "websocket",
        "Eve": "websocket",
        "Fay": "websocket",
    }
