"""Framing: any split of the bytes gives the same frames, one at a time."""

import struct
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from salon.broker.connection import Connection
from salon.broker.memory_pool import MemoryPool


class Socket:
    def setsockopt(self, *_: int) -> None:
        pass


class Transport:
    """Remembers what was asked of it. ``room`` bytes are taken at once."""

    def __init__(self) -> None:
        self.reading = True
        self.closed = False
        self.written: list[bytes] = []
        self.connection: Connection | None = None
        self.slow = False

    def get_extra_info(self, _: str) -> Socket:
        return Socket()

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert high == low == 0, "sent means: all of it"

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.slow:
            assert self.connection is not None
            self.connection.pause_writing()

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    abort = close


class Owner:
    """A processor that keeps what it is given."""

    def __init__(
        self, request_max_bytes: int = 1 << 30, memory: MemoryPool | None = None
    ) -> None:
        self.scratch = memoryview(bytearray(64))
        self.endpoint = SimpleNamespace(
            request_max_bytes=request_max_bytes, memory=memory, tls=None
        )
        self.stopped = False
        self.frames: list[bytes] = []
        self.rejected: list[str] = []
        self.done = 0

    def connected(self, connection: Connection) -> None: ...

    def disconnected(self, connection: Connection) -> None: ...

    def receive(self, connection: Connection, frame: memoryview) -> None:
        assert connection.muted, "muted before anybody sees the request"
        self.frames.append(bytes(frame))

    def sent(self, connection: Connection) -> None:
        self.done += 1

    def reject(self, connection: Connection, reason: str) -> None:
        self.rejected.append(reason)
        connection.abort()


def connect(owner: Owner) -> tuple[Connection, Transport]:
    connection = Connection(cast("Any", owner), "id", "host")
    transport = Transport()
    transport.connection = connection
    connection.connection_made(cast("Any", transport))
    return connection, transport


def deliver(connection: Connection, transport: Transport, data: bytes) -> bytes:
    """What the kernel does: fill the buffer it is given, while reading is on."""
    while data and transport.reading and not transport.closed:
        buffer = connection.get_buffer(-1)
        n = min(len(buffer), len(data))
        buffer[:n] = data[:n]
        connection.buffer_updated(n)
        data = data[n:]
    return data


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(b)) + b for b in bodies)


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=8),
    cuts=st.lists(st.integers(1, 200), max_size=30),
    answered=st.lists(st.booleans(), max_size=30),
)
def test_any_split_of_the_bytes_gives_the_same_frames(
    bodies: list[bytes], cuts: list[int], answered: list[bool]
):
    owner = Owner()
    connection, transport = connect(owner)
    stream = framed(*bodies)
    kernel = b""
    steps = zip(cuts, [*answered, *[True] * len(cuts)], strict=False)
    for cut, answer in [*steps, *[(len(stream), True)] * (len(bodies) + 1)]:
        kernel, stream = kernel + stream[:cut], stream[cut:]
        kernel = deliver(connection, transport, kernel)
        if connection.muted and answer:
            connection.unmute()
    while connection.muted:
        connection.unmute()
        kernel = deliver(connection, transport, kernel)

    assert owner.frames == bodies


def test_a_second_request_waits_until_the_first_is_answered():
    owner = Owner()
    connection, transport = connect(owner)
    left = deliver(connection, transport, framed(b"one", b"two", b"three"))

    assert owner.frames == [b"one"]
    connection.unmute()
    assert owner.frames == [b"one", b"two"]
    connection.unmute()
    assert owner.frames == [b"one", b"two", b"three"]
    assert left == b""


def test_a_muted_client_that_goes_on_sending_is_left_to_the_kernel():
    """At most one scratch buffer is read ahead; the rest waits in the socket."""
    owner = Owner()
    connection, transport = connect(owner)
    left = deliver(connection, transport, framed(b"one") + framed(b"x" * 5000))

    assert not transport.reading
    assert len(left) >= 5000 - 2 * len(owner.scratch)
    connection.unmute()
    assert transport.reading
    deliver(connection, transport, left)
    assert owner.frames[1] == b"x" * 5000


def test_a_frame_above_the_limit_is_refused_before_it_is_read():
    owner = Owner(request_max_bytes=100)
    connection, transport = connect(owner)
    deliver(connection, transport, struct.pack(">i", 101))

    assert transport.closed
    assert "socket.request.max.bytes=100" in owner.rejected[0]


def test_a_length_that_is_claimed_is_not_memory_that_is_taken():
    """A thousand connections that claim 1 GB each must not be 1 TB."""
    owner = Owner()
    connection, transport = connect(owner)
    deliver(connection, transport, struct.pack(">i", 1 << 29) + b"x" * 10)

    assert connection._frame is not None
    assert len(connection._frame) < 2 << 20


def test_nonsense_lengths_are_refused():
    for size in (0, -1, -(2**31)):
        owner = Owner()
        connection, transport = connect(owner)
        deliver(connection, transport, struct.pack(">i", size))

        assert transport.closed


def test_nothing_is_read_while_the_request_queue_is_full():
    owner = Owner()
    connection, transport = connect(owner)
    owner.stopped = True
    connection.stop()
    assert not transport.reading
    connection.unmute()
    assert not transport.reading
    owner.stopped = False
    connection.resume()

    assert transport.reading


def test_sent_means_that_the_kernel_has_all_of_it():
    owner = Owner()
    connection, transport = connect(owner)
    assert connection.send([b"a", b"b"], 2)
    transport.slow = True
    assert not connection.send([b"c"], 1)
    assert owner.done == 0
    connection.resume_writing()

    assert owner.done == 1
    assert transport.written == [b"ab", b"c"]


def test_a_frame_waits_until_there_is_memory_for_it():
    memory = MemoryPool(100)
    owner = Owner(memory=memory)
    first, first_transport = connect(owner)
    second, second_transport = connect(owner)
    deliver(first, first_transport, framed(b"x" * 100))
    left = deliver(second, second_transport, framed(b"y" * 300))

    assert owner.frames == [b"x" * 100]
    assert not second_transport.reading
    memory.release(100)
    deliver(second, second_transport, left)
    assert owner.frames == [b"x" * 100, b"y" * 300]
    assert memory.used == 300


def test_the_memory_of_a_frame_that_never_comes_whole_is_given_back():
    memory = MemoryPool(100)
    connection, transport = connect(Owner(memory=memory))
    deliver(connection, transport, framed(b"x" * 80)[:70])
    assert memory.used == 80
    connection.connection_lost(None)

    assert memory.used == 0


def test_a_connection_that_ends_while_it_waits_for_memory_does_not_take_it():
    memory = MemoryPool(100)
    owner = Owner(memory=memory)
    deliver(*connect(owner), framed(b"x" * 100))
    gone, transport = connect(owner)
    deliver(gone, transport, framed(b"y" * 10))
    gone.connection_lost(None)
    memory.release(100)

    assert memory.used == 0
    assert owner.frames == [b"x" * 100]
