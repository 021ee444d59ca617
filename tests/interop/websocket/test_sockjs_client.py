"""The SockJS client of the pages, newest and of 2017, on every transport.

Under Node those that need no page; in Chromium all of them, from a page of ours and
from a page of another origin that is in the list. Pages talk as they do in earnest:
with their own policies, cookies and form posts.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from salon.gateway.edge import SockJsOptions
from salon.gateway.origins import Origins
from tests import engines
from tests.gateway.harness import Gateway, Recorder, gateway

HERE = Path(__file__).parent
WEB = HERE.parent.parent.parent / "web" / "node_modules"
MODULES = {"1.6.1": WEB, "1.1.4": HERE / "node" / "node_modules"}

under_node = ["websocket", "xhr-streaming", "xhr-polling", "eventsource"]
own_page = [*under_node, "htmlfile", "jsonp-polling"]
other_page = [
    *under_node,
    "jsonp-polling",
    "iframe-eventsource",
    "iframe-htmlfile",
    "iframe-xhr-polling",
]


def _node(version: str) -> str:
    """Node, of the system or of the wheel in our environment; else skip or fail."""
    beside = Path(sys.executable).parent / "node"
    node = shutil.which("node") or (str(beside) if beside.exists() else None)
    if node is not None and (MODULES[version] / "sockjs-client").is_dir():
        return node
    why = f"needs Node and {MODULES[version]} (make engines, make web)"
    if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def echo_until_close(handler: Recorder, data: bytes) -> None:
    assert handler.channel is not None
    if data == b"close":
        handler.channel.close(4001, "as you wish")
    else:
        handler.channel.send(data)


async def _run(node: str, modules: Path, *arguments: str) -> list[dict]:
    process = await asyncio.create_subprocess_exec(
        node,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={"NODE_PATH": str(modules), "CHROMIUM": engines.chromium(), **_HOME},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 100)
    return [json.loads(line) for line in output.splitlines()]


_HOME = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}


def _story(transport: str) -> list[dict]:
    return [
        {"open": transport},
        *[{"same": True}] * 5,
        {"close": 4001, "reason": "as you wish"},
    ]


@pytest.mark.parametrize("version", MODULES)
@pytest.mark.parametrize("transport", under_node)
async def test_under_node_it_opens_echoes_and_closes(version: str, transport: str):
    node = _node(version)
    async with gateway(on_data=echo_until_close) as running:
        said = await _run(
            node,
            MODULES[version],
            str(HERE / "sockjs_client.cjs"),
            running.url + "/ws",
            transport,
        )

        assert said == _story(transport)
        await running.until(lambda: running.opened[0].closed is not None)
        assert running.opened[0].closed == (4001, "as you wish")


@asynccontextmanager
async def _pages(version: str, folder: Path) -> AsyncIterator[tuple[Gateway, str]]:
    """A gateway that serves the client, and the origin of a page elsewhere."""
    client = MODULES[version] / "sockjs-client" / "dist" / "sockjs.min.js"
    files = {"/sockjs.js": client.read_bytes(), "/": b"<!doctype html><title>x</title>"}
    (folder / "sockjs.js").write_bytes(files["/sockjs.js"])
    (folder / "index.html").write_bytes(files["/"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        head = await reader.readuntil(b"\r\n\r\n")
        body = files.get(head.split(b" ")[1].decode(), b"")
        kind = b"text/javascript" if body is files["/sockjs.js"] else b"text/html"
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (kind, len(body), body)
        )
        writer.close()

    options = SockJsOptions(jsonp=True, iframe="/sockjs.js")
    elsewhere = await asyncio.start_server(answer, "127.0.0.1", 0)
    other = f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}"
    async with (
        elsewhere,
        gateway(
            on_data=echo_until_close, webapp=folder, edge={"sockjs": options}
        ) as running,
    ):
        running.edge.origins = Origins([running.url, other])
        yield running, other


@pytest.mark.browser
@pytest.mark.parametrize("version", MODULES)
@pytest.mark.parametrize("page", ["own", "other"])
async def test_in_a_browser_it_speaks_every_transport(
    version: str, page: str, tmp_path: Path
):
    engines.require("chromium")
    node = _node(version)
    transports = own_page if page == "own" else other_page
    async with _pages(version, tmp_path) as (running, other):
        said = await _run(
            node,
            WEB,
            str(HERE / "sockjs_browser.cjs"),
            running.url if page == "own" else other,
            running.url + "/ws",
            *transports,
        )

    stories = {story["transport"]: story["said"] for story in said}
    for transport in transports:
        assert stories[transport] == _story(transport), transport
