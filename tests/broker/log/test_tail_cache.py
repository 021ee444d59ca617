"""The tail cache answers as the file would, and stays within its bytes."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from salon.broker.log import batch as batches
from salon.broker.log.tail_cache import TailCache


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    capacity=st.integers(100, 3000),
    max_bytes=st.integers(0, 2000),
    data=st.data(),
)
def test_what_it_returns_is_what_was_appended(sizes, capacity, max_bytes, data):
    cache = TailCache(capacity)
    appended = []
    offset = 0
    for size in sizes:
        buffer = batches.build([(None, b"x" * size)] * 2, 1)
        batches.assign(buffer, offset, 0)
        cache.add(buffer, batches.parse(buffer))
        appended.append((offset, bytes(buffer)))
        offset += 2
    asked = data.draw(st.integers(0, offset - 1))
    limit = data.draw(st.integers(0, offset // 2)) * 2
    found = cache.read(asked, limit, max_bytes, at_least_one=True)

    assert cache.size <= capacity
    if found is not None:
        parts, size = found
        expected = [b for o, b in appended if o + 1 >= asked and o + 1 < limit]
        assert [bytes(p) for p in parts] == expected[: len(parts)]
        assert size == sum(map(len, parts))
        assert size <= max_bytes or len(parts) == 1
        assert parts or not expected


def test_the_newest_batch_is_there_and_a_dropped_one_is_not():
    cache = TailCache(1000)
    for offset in range(50):
        buffer = batches.build([(None, b"x" * 100)], 1)
        batches.assign(buffer, offset, 0)
        cache.add(buffer, batches.parse(buffer))

    assert cache.read(49, 50, 10_000, at_least_one=True) is not None
    assert cache.read(0, 50, 10_000, at_least_one=True) is None


def test_a_small_batch_does_not_keep_its_large_frame_alive():
    """A request for many partitions is one buffer: a view would hold all of it."""
    frame = memoryview(bytearray(100_000))
    batch = batches.build([(None, b"x")], 1)
    frame[: len(batch)] = batch
    part = frame[: len(batch)]
    cache = TailCache(1000)
    cache.add(part, batches.parse(part))
    kept = cache.read(0, 1, 1000, at_least_one=True)

    assert kept is not None
    assert isinstance(kept[0][0], bytes)


def test_small_batches_cost_no_more_than_the_capacity():
    """Views and lists count: ten thousand batches of seventy bytes are not 700 kB."""
    capacity = 200_000
    cache = TailCache(capacity)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for offset in range(20_000):
            frame = memoryview(bytearray(batches.build([(None, b"")], 1)))
            batches.assign(frame, offset, 0)
            cache.add(frame, batches.parse(frame))
            del frame
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert cache.size <= capacity
    assert after - before < 1.5 * capacity
