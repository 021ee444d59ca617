"""RFC 6455 over real sockets: messages, faults, closing."""

import asyncio

import pytest

from salon.gateway.edge import EdgeLimits
from salon.gateway.websocket import Assembler, WebSocketError
from tests.gateway.harness import Recorder, frame, gateway, keep, text, websocket

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


async def test_a_text_message_comes_back():
    async with gateway() as running, websocket(running) as client:
        client.write(text("grüße 你好".encode()))

        assert await client.frame() == (TEXT, "grüße 你好".encode())


async def test_a_peer_is_answered_in_the_type_that_it_speaks():
    """stomp.js sends frames as binary where it is told to."""
    async with gateway() as running, websocket(running) as client:
        for opcode in [BINARY, TEXT, BINARY]:
            client.write(frame(opcode, b"same"))
            assert await client.frame() == (opcode, b"same")


async def test_what_is_not_utf8_goes_out_as_binary():
    async with gateway() as running, websocket(running) as client:
        await running.until(lambda: bool(running.opened))
        running.opened[0].channel.send(b"\xff\x00")

        assert await client.frame() == (BINARY, b"\xff\x00")


async def test_fragments_are_put_together_with_control_frames_between_them():
    async with gateway() as running, websocket(running) as client:
        client.write(text(b"one ", fin=False))
        client.write(frame(PING, b"?"))
        client.write(frame(CONTINUATION, b"two ", fin=False))
        client.write(frame(CONTINUATION, b"", fin=False))
        client.write(frame(CONTINUATION, b"three"))

        assert await client.frame() == (PONG, b"?")
        assert await client.frame() == (TEXT, b"one two three")


async def test_a_character_may_be_cut_between_fragments():
    async with gateway() as running, websocket(running) as client:
        word = "你".encode()
        client.write(text(word[:1], fin=False) + frame(CONTINUATION, word[1:]))

        assert await client.frame() == (TEXT, word)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(text(b"\xff\xfe"), 1007, id="text that is not UTF-8"),
        pytest.param(
            text(b"\xe4\xbd", fin=False) + frame(CONTINUATION, b"a"),
            1007,
            id="fragments that are not UTF-8 together",
        ),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continuation, no start"),
        pytest.param(
            text(b"a", fin=False) + text(b"b"), 1002, id="message inside a message"
        ),
        pytest.param(text(b"x", rsv=4), 1002, id="RSV1 without an extension"),
        pytest.param(text(b"x", rsv=2), 1002, id="RSV2 without an extension"),
        pytest.param(text(b"x", rsv=1), 1002, id="RSV3 without an extension"),
        pytest.param(frame(0x3), 1002, id="reserved opcode"),
        pytest.param(frame(0xB), 1002, id="reserved control opcode"),
        pytest.param(text(b"x", masked=False), 1002, id="unmasked frame"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="fragmented PING"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="PING too long"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="CLOSE with half a code"),
        pytest.param(frame(CLOSE, (1005).to_bytes(2)), 1002, id="CLOSE 1005"),
        pytest.param(frame(CLOSE, (0).to_bytes(2)), 1002, id="CLOSE 0"),
        pytest.param(frame(CLOSE, (1004).to_bytes(2)), 1002, id="CLOSE 1004"),
        pytest.param(frame(CLOSE, (1006).to_bytes(2)), 1002, id="CLOSE 1006"),
        pytest.param(frame(CLOSE, b"", rsv=4), 1002, id="CLOSE with RSV1"),
        pytest.param(frame(CLOSE, (2999).to_bytes(2)), 1002, id="CLOSE 2999"),
        pytest.param(
            frame(CLOSE, (1000).to_bytes(2) + b"\xff"), 1007, id="CLOSE reason"
        ),
        pytest.param(text(b"x" * 1025), 1009, id="too big in one frame"),
        pytest.param(
            text(b"x" * 1000, fin=False) + frame(CONTINUATION, b"x" * 25),
            1009,
            id="too big in fragments",
        ),
    ],
)
async def test_a_fault_closes_with_its_code(sent: bytes, code: int):
    limits = EdgeLimits(message=1024)
    async with gateway(limits=limits) as running, websocket(running) as client:
        client.write(sent)

        assert await client.close_code() == code
        assert await client.ended()
        await running.until(lambda: running.opened[0].closed is not None)
        assert running.opened[0].received == []
        assert running.opened[0].closed[0] == code


async def test_what_stands_behind_a_close_does_not_count():
    async with gateway() as running, websocket(running) as client:
        await running.until(lambda: bool(running.opened))
        client.write(frame(CLOSE, (1000).to_bytes(2)) + frame(CLOSE) + frame(0x3))

        assert await client.close_code() == 1000
        assert await client.ended()
        await running.until(lambda: running.opened[0].closed is not None)
        assert running.opened[0].closed == (1000, "")


async def test_what_waits_goes_out_before_the_close_of_a_fault():
    def on_data(handler: Recorder, data: bytes) -> None:
        for word in [b"one", b"two"]:
            handler.channel.send(word)

    async with gateway(on_data=on_data) as running, websocket(running) as client:
        client.write(text(b"x") + text(b"y") + frame(0x3))

        said = [await client.frame() for _ in range(3)]
        assert said[:2] == [(TEXT, b"one"), (TEXT, b"two")]
        assert said[2][0] == CLOSE


async def test_a_message_of_the_greatest_size_is_taken():
    limits = EdgeLimits(message=1024)
    async with gateway(limits=limits) as running, websocket(running) as client:
        client.write(text(b"x" * 1024))
        client.write(text(b"y" * 1000, fin=False) + frame(CONTINUATION, b"y" * 24))

        assert await client.frame() == (TEXT, b"x" * 1024)
        assert await client.frame() == (TEXT, b"y" * 1024)


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_close_is_answered_with_its_own_code(code: int):
    async with gateway() as running, websocket(running) as client:
        await running.until(lambda: bool(running.opened))
        client.write(frame(CLOSE, code.to_bytes(2) + b"bye"))

        assert await client.close_code() == code
        assert await client.ended()
        await running.until(lambda: running.opened[0].closed is not None)
        assert running.opened[0].closed == (code, "bye")


async def test_close_without_a_code_is_answered():
    async with gateway() as running, websocket(running) as client:
        client.write(frame(CLOSE))

        assert await client.close_code() == 1000
        assert await client.ended()


async def test_our_close_comes_after_what_was_sent_and_its_answer_ends_it():
    def on_data(handler: Recorder, data: bytes) -> None:
        handler.channel.send(b"last")
        handler.channel.send(b"words")
        handler.channel.close(4000, "é" * 100)
        handler.channel.send(b"never")

    async with gateway(on_data=on_data) as running, websocket(running) as client:
        client.write(text(b"go") + text(b"ignored"))

        assert await client.frame() == (TEXT, b"last")
        assert await client.frame() == (TEXT, b"words")
        opcode, payload = await client.frame()
        assert opcode == CLOSE
        assert payload == (4000).to_bytes(2) + ("é" * 61).encode()
        client.write(frame(CLOSE, payload[:2]))
        assert await client.ended()
        await running.until(lambda: running.opened[0].closed is not None)
        assert running.opened[0].closed == (4000, "é" * 100)
        assert running.opened[0].received == [b"go"]


async def test_a_peer_that_does_not_answer_close_is_cut():
    """Revocation must work whatever the peer does (ASVS 7.4)."""
    limits = EdgeLimits(linger=0.2)
    async with gateway(limits=limits) as running, websocket(running) as client:
        await running.until(lambda: bool(running.opened))
        running.edge.connections.bind(
            running.opened[0].channel.id, login="l1", user="u1"
        )

        assert running.edge.connections.close_login("l1") == 1
        assert await client.close_code() == 1008
        assert await client.ended()
        await running.until(lambda: len(running.edge.connections) == 0)


async def test_a_lost_connection_is_reported_once():
    async with gateway() as running:
        async with websocket(running) as client:
            await running.until(lambda: bool(running.opened))
            client.writer.transport.abort()
        await running.until(lambda: running.opened[0].closed is not None)

        assert running.opened[0].closed == (1006, "")
        assert len(running.edge.connections) == 0
        assert running.edge.connections.from_address("127.0.0.1") == 0


async def test_an_idle_connection_is_pinged():
    limits = EdgeLimits(heartbeat=0.1)
    async with gateway(limits=limits) as running, websocket(running) as client:
        assert (await client.frame())[0] == PING
        assert (await client.frame())[0] == PING


async def test_reading_pauses_between_two_messages_of_one_segment():
    async with gateway(on_data=keep) as running, websocket(running) as client:

        def pause(handler: Recorder, data: bytes) -> None:
            handler.channel.pause_reading()

        running.on_data = pause
        client.write(text(b"1") + text(b"2") + text(b"3"))
        await running.until(lambda: bool(running.opened and running.opened[0].received))
        handler = running.opened[0]
        assert handler.received == [b"1"]

        handler.channel.resume_reading()
        assert handler.received == [b"1", b"2"]

        running.on_data = keep
        handler.channel.resume_reading()
        assert handler.received == [b"1", b"2", b"3"]
        client.write(text(b"4"))
        await running.until(lambda: len(handler.received) == 4)


async def test_resuming_inside_a_message_does_not_nest_the_next():
    depth, deepest = 0, 0

    def on_data(handler: Recorder, data: bytes) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        handler.channel.pause_reading()
        handler.channel.resume_reading()
        depth -= 1

    async with gateway(on_data=on_data) as running, websocket(running) as client:
        client.write(b"".join(text(b"%d" % n) for n in range(5)))
        await running.until(lambda: len(running.opened[0].received) == 5)

        assert deepest == 1


async def test_a_handler_that_fails_ends_its_own_connection_only():
    def on_data(handler: Recorder, data: bytes) -> None:
        if data == b"fail":
            raise RuntimeError("secret detail")
        handler.channel.send(data)

    async with (
        gateway(on_data=on_data) as running,
        websocket(running) as one,
        websocket(running) as other,
    ):
        one.write(text(b"fail"))
        opcode, payload = await one.frame()
        other.write(text(b"still here"))

        assert (opcode, payload[:2]) == (CLOSE, (1011).to_bytes(2))
        assert b"secret" not in payload
        assert await other.frame() == (TEXT, b"still here")


def test_empty_fragments_keep_no_memory():
    """Two bytes of the peer's must not cost us an object each."""
    assembler = Assembler(10)
    assembler.feed(TEXT, False, b"a")
    for _ in range(1000):
        assembler.feed(CONTINUATION, False, b"")

    assert len(assembler._parts) == 1
    assert assembler.feed(CONTINUATION, True, b"b") == b"ab"


def test_the_assembler_starts_anew_after_a_message():
    assembler = Assembler(10)
    for _ in range(3):
        assembler.feed(TEXT, False, b"12345")
        assert assembler.feed(CONTINUATION, True, b"67890") == b"1234567890"
    with pytest.raises(WebSocketError):
        assembler.feed(CONTINUATION, True, b"")


async def test_pings_of_a_peer_that_reads_nothing_are_not_answered_for_ever():
    async with (
        gateway() as running,
        websocket(running, receive_buffer=4096) as client,
    ):
        await running.until(lambda: bool(running.opened))
        for _ in range(200):
            client.write(frame(PING, b"x" * 125) * 500)
            await asyncio.sleep(0)
        channel = running.opened[0].channel
        client.write(frame(CLOSE, (1000).to_bytes(2)))
        await running.until(lambda: running.opened[0].closed is not None)

        assert len(channel._outbox) <= 2 * running.edge.budget.soft
