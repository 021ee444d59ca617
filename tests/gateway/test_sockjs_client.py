"""The SockJS client of the pages, under Node, against every transport that we have."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.gateway.harness import Recorder, gateway

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "web" / "node_modules"


def _node() -> str:
    """Node, of the system or of the wheel in our environment; else skip or fail."""
    beside = Path(sys.executable).parent / "node"
    node = shutil.which("node") or (str(beside) if beside.exists() else None)
    if node is not None and (MODULES / "sockjs-client").is_dir():
        return node
    if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
        pytest.fail("sockjs-client is required: make web", pytrace=False)
    pytest.skip("needs Node and web/node_modules (make web)")


def echo_until_close(handler: Recorder, data: bytes) -> None:
    assert handler.channel is not None
    if data == b"close":
        handler.channel.close(4001, "as you wish")
    else:
        handler.channel.send(data)


@pytest.mark.parametrize("transport", ["websocket", "xhr-streaming", "xhr-polling"])
async def test_sockjs_client_opens_echoes_and_closes(transport: str):
    node = _node()
    async with gateway(on_data=echo_until_close) as running:
        process = await asyncio.create_subprocess_exec(
            node,
            HERE / "sockjs_client.cjs",
            running.url + "/ws",
            transport,
            stdout=asyncio.subprocess.PIPE,
            env={"NODE_PATH": str(MODULES)},
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        said = [json.loads(line) for line in output.splitlines()]

        assert said == [
            {"open": transport},
            *[{"same": True}] * 5,
            {"close": 4001, "reason": "as you wish"},
        ]
        await running.until(lambda: running.opened[0].closed is not None)
        assert running.opened[0].closed == (4001, "as you wish")
