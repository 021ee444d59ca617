"""@stomp/stompjs and stompjs 2.3.3 under Node, unmodified, on every way in."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests import engines
from tests.client.place import place
from tests.client.proxy import cut_into

NODE = Path(__file__).parent / "node"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def clients():
    engines.require("node")
    if not (NODE / "node_modules" / "ws").is_dir():
        why = "needs `npm ci` in tests/interop/stomp/node (make engines)"
        if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


async def talk(app, library, transport):
    process = await asyncio.create_subprocess_exec(
        "node",
        "talk.cjs",
        library,
        transport,
        str(app.port),
        str(app.stomp_port),
        cwd=NODE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode, json.loads(out)


@pytest.mark.parametrize(
    ("library", "transport"),
    [
        ("stompjs7", "websocket"),
        ("stompjs7", "sockjs"),
        ("stompjs7", "sockjs114-xhr-streaming"),
        ("stompjs2", "websocket"),
        ("stompjs2", "sockjs114-websocket"),
        ("stompjs2", "sockjs114-xhr-polling"),
        ("stompjs2", "tcp"),
    ],
)
@pytest.mark.parametrize("network", ["whole", "bytes"])
async def test_every_frame_does_what_the_client_expects(library, transport, network):
    async with place() as app, cut_into(network, app) as ports:
        code, seen = await talk(ports, library, transport)
        await gone(app)

        assert seen == {
            "version": "1.2" if library == "stompjs7" else "1.1",
            "heartBeat": "1000,1000",
            "echo": "grüße: 1",
            "size": str(len("grüße: 1".encode())),
            "long": True,
            "jobs": ["a", "b", "b", "true"],
        }
        assert code == 0
        assert app.template.queues.sizes() == {"/queue/out": (2, 0, 0)}


async def gone(app):
    """Whoever left without a word (xhr) is gone when the server has noticed."""
    for session in list(app.users):
        session.channel.close(1000, "the test is over")
    while len(app.users):
        await asyncio.sleep(0.02)
