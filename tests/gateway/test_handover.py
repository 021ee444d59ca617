"""The hand-over from uvicorn to picows: every trap of the two has a test here."""

import asyncio
import gc
import importlib.metadata
import json
import logging

import pytest

from salon.gateway import handover
from salon.gateway.connections import Connections
from salon.gateway.edge import EdgeLimits
from salon.gateway.handover import Handover
from tests.gateway.harness import (
    ORIGIN,
    Log,
    Recorder,
    frame,
    gateway,
    keep,
    tcp,
    text,
    upgrade,
    websocket,
)

TEXT, CLOSE, PING = 1, 8, 9


# -- the handshake -----------------------------------------------------------------


@pytest.mark.parametrize(
    "connection",
    ["Upgrade", "upgrade", "keep-alive, Upgrade", "Keep-Alive,upgrade", "UPGRADE, x"],
)
async def test_upgrade_may_stand_in_a_list(connection: str):
    """Firefox sends ``keep-alive, Upgrade``; picows alone answers 400."""
    async with gateway() as running, tcp(running.port) as client:
        client.write(upgrade("/ws", f"Connection: {connection}"))
        await client.head()
        assert client.status == 101
        client.write(text(b"hello"))

        assert await client.frame() == (TEXT, b"hello")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("v12.stomp", "v12.stomp"),
        ("v10.stomp, v11.stomp, v12.stomp", "v12.stomp"),
        ("v10.stomp,v11.stomp", "v11.stomp"),
        ("v10.stomp", "v10.stomp"),
        ("mqtt, v11.stomp", "v11.stomp"),
        ("mqtt", None),
        (None, None),
    ],
)
async def test_the_best_offered_subprotocol_is_chosen(
    offered: str | None, chosen: str | None
):
    lines = [f"Sec-WebSocket-Protocol: {offered}"] if offered else []
    async with gateway() as running, websocket(running, "/ws", *lines) as client:
        await running.until(lambda: bool(running.opened))

        assert client.headers.get("sec-websocket-protocol") == chosen
        assert running.opened[0].channel.handshake.subprotocol == chosen


async def test_subprotocols_may_come_in_several_headers():
    lines = ["Sec-WebSocket-Protocol: v10.stomp", "Sec-WebSocket-Protocol: v12.stomp"]
    async with gateway() as running, websocket(running, "/ws", *lines) as client:
        assert client.headers["sec-websocket-protocol"] == "v12.stomp"


async def test_the_handler_sees_the_handshake():
    lines = [
        f"Origin: {ORIGIN}",
        "Cookie: salon_session=abc; a=b=c; salon_session=second",
        "User-Agent: test",
    ]
    async with gateway() as running, websocket(running, "/ws/websocket?x=1", *lines):
        await running.until(lambda: bool(running.opened))
        handshake = running.opened[0].channel.handshake

        assert handshake.path == "/ws/websocket"
        assert handshake.cookies == {"salon_session": "abc", "a": "b=c"}
        assert handshake.headers["user-agent"] == "test"
        assert (handshake.remote, handshake.transport) == ("127.0.0.1", "websocket")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ws", 101),
        ("/ws/", 101),
        ("/ws/websocket", 101),
        ("/ws/000/abc/websocket", 101),
        ("/ws?token=1", 101),
        ("/ws/0.0/abc/websocket", 404),
        ("/ws//abc/websocket", 404),
        ("/ws/000/abc/def/websocket", 404),
        ("/ws/000/abc/xhr", 404),
        ("/wsx", 404),
        ("/", 404),
        ("/api/v1/me", 404),
    ],
)
async def test_only_the_endpoints_are_websockets(path: str, status: int):
    async with gateway() as running, tcp(running.port) as client:
        client.write(upgrade(path))
        await client.head()

        assert client.status == status
        if status == 404:
            assert (await client.json())["code"] == "not_found"


@pytest.mark.parametrize(
    ("lines", "drop", "status"),
    [
        (["Sec-WebSocket-Version: 12"], (), 426),
        ([], ("sec-websocket-version",), 426),
        (["Sec-WebSocket-Key: short"], (), 400),
        (["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAAAAAA"], (), 400),
        (["Sec-WebSocket-Key: \xe4\xe4"], (), 400),
        ([], ("sec-websocket-key",), 400),
        (["Origin: http://salon.test", "Origin: http://evil.org"], (), 400),
    ],
)
async def test_a_wrong_handshake_is_answered_and_leaves_no_trace(
    lines: list[str], drop: tuple[str, ...], status: int
):
    """picows calls the listener factory before it validates: it must do nothing."""
    async with gateway() as running, tcp(running.port) as client:
        client.write(upgrade("/ws", *lines, drop=drop))
        await client.head()

        assert client.status == status
        assert (await client.json())["code"] == "bad_request"
        assert await client.ended()
        assert running.opened == []
        assert len(running.edge.connections) == 0
        if status == 426:
            assert client.headers["sec-websocket-version"] == "13"


async def test_an_upgrade_is_a_get():
    async with gateway() as running, tcp(running.port) as client:
        client.write(upgrade("/ws").replace(b"GET ", b"POST "))
        await client.head()

        assert (client.status, client.headers["allow"]) == (405, "GET")
        assert await client.ended()


async def test_a_failure_of_ours_tells_nothing(monkeypatch: pytest.MonkeyPatch):
    """picows alone answers 500 with the exception's text as the body."""
    log = Log()
    monkeypatch.setattr(handover, "log", log)
    async with gateway() as running, tcp(running.port) as client:

        def broken(*args: object) -> None:
            raise RuntimeError("/secret/path")

        running.edge.admit = broken
        client.write(upgrade("/ws"))
        await client.head()
        body = await client.json()

        assert client.status == 500
        assert body == {"code": "internal", "message": "The server made a mistake."}
        assert str(log.failures[0]) == "/secret/path"


async def test_bytes_behind_the_handshake_are_not_lost():
    """uvicorn drops what follows the upgrade in the same segment."""
    async with gateway() as running, tcp(running.port) as client:
        client.write(upgrade("/ws") + text(b"early") + text(b"bird"))
        await client.head()

        assert await client.frame() == (TEXT, b"early")
        assert await client.frame() == (TEXT, b"bird")


async def test_an_upgrade_may_follow_a_finished_request():
    async with gateway() as running, tcp(running.port) as client:
        client.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.head()
        await client.body()
        client.write(upgrade("/ws") + text(b"hello"))
        await client.head()

        assert client.status == 101
        assert await client.frame() == (TEXT, b"hello")


async def test_an_upgrade_to_something_else_is_plain_http():
    async with gateway() as running, tcp(running.port) as client:
        client.write(
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: h2c\r\n\r\n"
        )
        await client.head()

        assert client.status == 200


async def test_a_handshake_in_single_bytes_is_taken():
    async with gateway() as running, tcp(running.port) as client:
        for byte in upgrade("/ws") + text(b"slow"):
            client.write(bytes([byte]))
            await asyncio.sleep(0)
        await client.head()

        assert await client.frame() == (TEXT, b"slow")


# -- limits ------------------------------------------------------------------------


async def test_one_address_gets_so_many_connections_and_room_comes_back():
    async with (
        gateway(connections=Connections(per_address=2)) as running,
        websocket(running) as first,
        websocket(running),
    ):
        async with tcp(running.port) as third:
            third.write(upgrade("/ws"))
            await third.head()

            assert third.status == 429
            assert third.headers["retry-after"] == "10"
            assert (await third.json())["params"] == {"limit": 2}
        first.write(frame(CLOSE, (1000).to_bytes(2)))
        await running.until(lambda: len(running.edge.connections) == 1)
        async with websocket(running):
            await running.until(lambda: len(running.edge.connections) == 2)


async def test_the_server_has_room_for_so_many():
    async with (
        gateway(connections=Connections(total=1)) as running,
        websocket(running),
        tcp(running.port) as second,
    ):
        second.write(upgrade("/ws"))
        await second.head()

        assert second.status == 503
        assert (await second.json())["code"] == "overloaded"


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy():
    line = "X-Forwarded-For: 6.6.6.6, 9.9.9.9"
    async with gateway() as plain, websocket(plain, "/ws", line):
        await plain.until(lambda: bool(plain.opened))
        assert plain.opened[0].channel.handshake.remote == "127.0.0.1"
    async with (
        gateway(trusted=("127.0.0.0/8",)) as proxied,
        websocket(proxied, "/ws", line),
    ):
        await proxied.until(lambda: bool(proxied.opened))
        assert proxied.opened[0].channel.handshake.remote == "9.9.9.9"


async def test_a_length_that_is_too_big_is_refused_before_it_is_read():
    """A length is never believed before it is checked (CVE-2026-2454)."""
    async with gateway() as running, websocket(running) as client:
        client.write(b"\x81\xff" + (1 << 40).to_bytes(8) + b"\0\0\0\0")

        assert await client.close_code() == 1009


async def test_the_read_buffer_starts_small_and_stays_bounded():
    """picows' buffer doubles on demand and never shrinks."""
    limits = EdgeLimits(message=10_000)
    async with gateway(limits=limits) as running, websocket(running) as client:
        await running.until(lambda: bool(running.opened))
        protocol = _protocols()[-1]
        assert len(protocol.get_buffer(-1)) <= 2048

        client.write(text(b"x" * 10_000))
        await client.frame()

        assert len(protocol.get_buffer(-1)) <= 4 * 10_000


def _protocols() -> list[Handover]:
    return [item for item in gc.get_objects() if type(item) is Handover]


# -- what a connection costs ---------------------------------------------------------


async def test_a_connection_has_no_task_and_no_logger_of_its_own():
    async with gateway() as running:
        tasks = len(asyncio.all_tasks())
        loggers = _picows_loggers()
        async with websocket(running), websocket(running), websocket(running):
            await running.until(lambda: len(running.opened) == 3)

            assert len(asyncio.all_tasks()) == tasks
            assert _picows_loggers() == loggers


def _picows_loggers():
    """Other tests of this process may have made picows clients, which have one each."""
    return {
        id(item)
        for item in gc.get_objects()
        if type(item) is logging.Logger and "picows" in item.name
    }


def test_the_constructor_is_pinned():
    """Fifteen positional arguments that no documentation promises."""
    assert importlib.metadata.version("picows").startswith("2.3.")


# -- the first tick ------------------------------------------------------------------


async def test_a_large_first_message_pauses_the_right_protocol():
    """While the handshake runs the transport still belongs to uvicorn's protocol."""

    class Eager(Recorder):
        def on_open(self, channel):
            super().on_open(channel)
            for _ in range(9):
                channel.send(b"x" * 100_000)

    async with gateway(on_data=keep) as running:
        running.edge.channels = lambda: Eager(running)
        async with websocket(running, receive_buffer=4096) as client:
            await running.until(lambda: bool(running.opened))
            outbox = running.opened[0].channel._outbox

            assert outbox._paused
            assert len(outbox) > running.edge.budget.soft
            for _ in range(9):
                assert await client.frame() == (TEXT, b"x" * 100_000)
            await running.until(lambda: len(outbox) == 0)


async def test_mixed_ways_of_writing_keep_the_order():
    """picows' send and the transport's write: a picows change could break it."""
    async with (
        gateway(on_data=keep) as running,
        websocket(running, receive_buffer=4096) as client,
    ):
        await running.until(lambda: bool(running.opened))
        channel = running.opened[0].channel
        pad = b"-" * 2000
        for number in range(200):
            if number % 2:
                channel._wire.send(TEXT, b"%d" % number + pad)
            else:
                channel._send_all([b"%d" % number + pad])
        got = [(await client.frame())[1] for _ in range(200)]

        assert got == [b"%d" % number + pad for number in range(200)]


async def test_the_errors_of_a_refused_page_are_json():
    async with gateway() as running, tcp(running.port) as client:
        client.write(upgrade("/ws", "Origin: http://evil.org"))
        await client.head()

        assert client.headers["content-type"] == "application/json"
        assert json.loads(await client.body())["code"] == "origin_refused"
