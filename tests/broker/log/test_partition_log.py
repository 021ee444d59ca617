"""A partition's log: appended, read, rolled, and opened again whatever happened."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salon.broker.config import TopicConfig
from salon.broker.errors import ApiError, Code, StorageError
from salon.broker.log import batch as batches
from salon.broker.log.partition_log import PartitionLog

SMALL = TopicConfig(segment_bytes=1024, index_interval_bytes=150)


def append(log: PartitionLog, *values: bytes, timestamp: int = 1000) -> int:
    data = batches.build([(None, value) for value in values], timestamp)
    return log.append(data, batches.check(data, 1 << 20)).base_offset


def flush(log: PartitionLog) -> None:
    ticket = log.begin_flush()
    ticket.run()
    log.end_flush(ticket)


def values(log: PartitionLog, start: int = 0) -> list[bytes]:
    """Every value from ``start``, read as a consumer does: fetch by fetch."""
    found: list[bytes] = []
    offset = start
    while offset < log.end.offset:
        part = log.read(offset, 500, log.end, at_least_one=True)
        data = memoryview(b"".join(part.parts))
        if not data:
            break
        while len(data) >= batches.HEADER_SIZE:
            batch = batches.parse(data)
            if batch.size > len(data):
                break
            found += [
                record.value or b""
                for record in batches.records(data[: batch.size], batch)
                if record.offset >= offset
            ]
            offset = batch.last_offset + 1
            data = data[batch.size :]
    return found


def fill(folder: Path, count: int = 30, cache: int = 1 << 20) -> PartitionLog:
    log = PartitionLog(folder, SMALL, cache_bytes=cache)
    for i in range(count):
        append(log, b"%04d-a" % i, b"%04d-b" % i, timestamp=1000 + i)
    return log


def expected(count: int) -> list[bytes]:
    return [b"%04d-%c" % (i, c) for i in range(count) for c in b"ab"]


@pytest.mark.parametrize("cache", [0, 700, 1 << 20], ids=["file", "both", "memory"])
def test_every_record_is_read_from_every_offset(tmp_path: Path, cache: int):
    log = fill(tmp_path / "t-0", cache=cache)

    assert len(log.segments) >= 3
    for start in range(60):
        assert values(log, start) == expected(30)[start:]


def test_nothing_at_or_beyond_the_limit_is_read(tmp_path: Path):
    log = fill(tmp_path / "t-0", 2)
    limit = log.end
    append(log, b"hidden")

    assert len(log.read(0, 10_000, limit, at_least_one=True).parts) >= 1
    assert log.read(4, 10_000, limit, at_least_one=True).size == 0
    data = b"".join(log.read(0, 10_000, limit, at_least_one=True).parts)
    assert b"hidden" not in data


def test_an_offset_outside_is_out_of_range(tmp_path: Path):
    log = fill(tmp_path / "t-0", 2)

    for offset in (-1, 5):
        with pytest.raises(ApiError) as caught:
            log.read(offset, 100, log.end, at_least_one=True)
        assert caught.value.code is Code.OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize("cache", [0, 1 << 20], ids=["file", "memory"])
def test_a_batch_larger_than_asked_for_comes_whole_or_not_at_all(
    tmp_path: Path, cache: int
):
    """A consumer that gets a part of a batch, or nothing, for ever asks again."""
    log = PartitionLog(tmp_path / "t-0", SMALL, cache_bytes=cache)
    append(log, b"x" * 400)
    whole = log.read(0, 10, log.end, at_least_one=True)
    nothing = log.read(0, 10, log.end, at_least_one=False)

    assert whole.size == log.end.position
    assert nothing.size == 0


@pytest.mark.parametrize("clean", [True, False])
def test_an_opened_log_goes_on_where_it_ended(tmp_path: Path, clean: bool):
    log = fill(tmp_path / "t-0")
    flush(log)
    log.close()
    again = PartitionLog(tmp_path / "t-0", SMALL, clean=clean)

    assert values(again) == expected(30)
    assert append(again, b"next") == 60
    assert again.failure is None


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_log_cut_at_any_byte_keeps_every_batch_before_the_cut(tmp_path: Path, data):
    """What a killed process leaves: whole batches and at most a part of one."""
    folder = tmp_path / "t-0"
    shutil.rmtree(folder, ignore_errors=True)
    log = fill(folder, 12)
    ends = [
        (segment, position + batch.size, batch.last_offset + 1)
        for segment in log.segments
        for position, batch in segment.scan(0)
    ]
    active = log.active
    log.close()
    cut = data.draw(st.integers(0, active.size))
    os.truncate(active.path, cut)
    (folder / "flushed-offset").unlink()
    again = PartitionLog(folder, SMALL)
    survivors = max(
        (
            end
            for segment, position, end in ends
            if segment is not active or position <= cut
        ),
        default=0,
    )

    assert again.end.offset == survivors
    assert values(again) == expected(12)[:survivors]
    assert again.failure is None
    assert append(again, b"next") == survivors
    again.close()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_bytes_changed_beyond_the_flushed_offset_are_a_torn_tail(tmp_path: Path, data):
    """A power cut may leave anything there, later batches without earlier ones."""
    folder = tmp_path / "t-0"
    shutil.rmtree(folder, ignore_errors=True)
    log = PartitionLog(folder, TopicConfig())
    for i in range(5):
        append(log, b"%04d-a" % i, b"%04d-b" % i)
    flush(log)
    safe = log.end
    for i in range(5, 10):
        append(log, b"%04d-a" % i, b"%04d-b" % i)
    size = log.active.size
    log.close()
    at = data.draw(st.integers(safe.position + 16, size - 1))
    with log.active.path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))
    again = PartitionLog(folder, TopicConfig())
    found = values(again)

    assert again.failure is None
    assert found[:10] == expected(5), "what was flushed is all there"
    assert found == expected(10)[: len(found)]
    again.close()


def test_damage_before_the_flushed_offset_is_reported_and_cuts_nothing(tmp_path: Path):
    """Cutting there would throw away acknowledged records that lie behind it."""
    log = PartitionLog(tmp_path / "t-0", TopicConfig())
    positions = []
    for i in range(10):
        positions.append(log.end.position)
        append(log, b"%04d-a" % i, b"%04d-b" % i)
    flush(log)
    path = log.active.path
    log.close()
    before = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(positions[4] + 70)
        file.write(b"\xff\xff")
    again = PartitionLog(tmp_path / "t-0", TopicConfig())

    assert again.damaged_at == 8
    assert values(again) == expected(4)
    assert "damaged" in (again.failure or "")
    assert path.stat().st_size == before
    with pytest.raises(StorageError, match="takes no new records"):
        append(again, b"next")


def test_a_failed_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The disk is full: the producer is told, and reading goes on."""
    log = fill(tmp_path / "t-0", 3)
    size = log.active.size

    def full(fd: int, data: memoryview, position: int) -> int:
        monkeypatch.undo()
        os.pwrite(fd, data[:20], position)
        monkeypatch.setattr(os, "pwrite", refuse)
        return 20

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match="No space left"):
        append(log, b"too much")
    monkeypatch.undo()

    assert log.active.path.stat().st_size == size
    assert values(log) == expected(3)
    assert append(log, b"there is room again") == 6


def test_after_a_failed_fsync_no_record_is_taken_and_all_are_read(tmp_path: Path):
    """The kernel may have dropped the pages: a second fsync would lie."""
    log = fill(tmp_path / "t-0", 3)
    log.fail("fdatasync failed: Input/output error")

    with pytest.raises(StorageError, match="Input/output"):
        append(log, b"more")
    assert values(log) == expected(3)
    assert not log.needs_flush


def test_indexes_lost_or_wrong_are_built_anew(tmp_path: Path):
    log = fill(tmp_path / "t-0")
    log.close()
    for path in (tmp_path / "t-0").glob("*.*index"):
        path.write_bytes(b"\xff" * 24)
    again = PartitionLog(tmp_path / "t-0", SMALL, cache_bytes=0)

    assert values(again) == expected(30)


def test_idempotent_producers_are_restored_from_the_log(tmp_path: Path):
    def one(sequence: int) -> memoryview:
        data = bytearray(batches.build([(None, b"%d" % sequence)], 1000))
        import struct

        from crc32c import crc32c

        struct.pack_into(">qhi", data, 43, 7, 0, sequence)
        struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
        return memoryview(data)

    log = PartitionLog(tmp_path / "t-0", SMALL)
    for sequence in range(20):
        data = one(sequence)
        log.append(data, batches.check(data, 1 << 20))
    log.close()
    again = PartitionLog(tmp_path / "t-0", SMALL)
    retry = batches.parse(one(18))
    following = batches.parse(one(20))

    assert again.producers.check(retry) == 18
    assert again.producers.check(following) is None


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"retention_ms": 10}, 1),
        ({"retention_bytes": 2500}, 3),
        ({"retention_ms": -1, "retention_bytes": -1}, None),
    ],
)
def test_retention_takes_whole_old_segments_and_never_the_active_one(
    tmp_path: Path, config: dict[str, int], kept: int | None
):
    log = fill(tmp_path / "t-0")
    flush(log)
    segments = len(log.segments)
    log.config = TopicConfig(segment_bytes=1024, **config)
    log.delete_old(now_ms=5000)

    assert len(log.segments) == (segments if kept is None else kept)
    assert log.start_offset == log.segments[0].base_offset
    assert values(log, log.start_offset) == expected(30)[log.start_offset :]


def test_what_is_not_flushed_is_not_deleted(tmp_path: Path):
    log = fill(tmp_path / "t-0")
    log.config = TopicConfig(segment_bytes=1024, retention_ms=1)

    assert log.delete_old(now_ms=10**9) == 0


@pytest.mark.parametrize("at", [0, 1000, 1011, 1029, 1030])
def test_a_moment_is_found_by_its_first_record(tmp_path: Path, at: int):
    log = fill(tmp_path / "t-0")
    found = log.find_timestamp(at, log.end.offset)
    first = max(at - 1000, 0)

    assert (found.offset if found else None) == (2 * first if first < 30 else None)


def test_the_files_are_kafkas(tmp_path: Path):
    """Names and first bytes; Apache's own tool is asked where it is installed."""
    log = fill(tmp_path / "t-0")
    log.close()
    names = sorted(path.name for path in (tmp_path / "t-0").glob("0*"))

    assert names[:3] == [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
    ]
    first = (tmp_path / "t-0" / "00000000000000000000.log").read_bytes()
    assert first[16] == 2, "magic"
    epochs = (tmp_path / "t-0" / "leader-epoch-checkpoint").read_text()
    assert epochs == "0\n1\n0 0\n"


def test_old_records_go_also_when_no_segment_was_ever_full(tmp_path: Path):
    """A quiet topic keeps what it promised, not what happens to fill a segment."""
    config = TopicConfig(retention_ms=1000)
    log = PartitionLog(tmp_path / "t-0", config)
    append(log, b"old", timestamp=1000)
    log.delete_old(10_000)
    unflushed = log.start_offset
    flush(log)
    log.delete_old(1500)
    young = log.start_offset
    log.delete_old(10_000)
    append(log, b"new", timestamp=10_000)

    assert (unflushed, young, log.start_offset) == (0, 0, 1)
    assert values(log, 1) == [b"new"]


def test_a_segment_is_closed_when_it_is_old(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", TopicConfig(segment_ms=1000))
    append(log, b"a", timestamp=1000)
    append(log, b"b", timestamp=5000)
    flush(log)
    log.roll_if_old(1900)
    young = len(log.segments)
    log.roll_if_old(2100)
    log.roll_if_old(2100)

    assert (young, len(log.segments)) == (1, 2)
    assert values(log) == [b"a", b"b"]


def test_records_of_long_ago_do_not_get_a_segment_each(tmp_path: Path):
    """A topic that is copied from elsewhere is old from its first second on."""
    log = PartitionLog(tmp_path / "t-0", SMALL.with_overrides({"segment.ms": "1000"}))
    for i in range(5):
        append(log, b"%d" % i, timestamp=1000)
        flush(log)
        log.roll_if_old(1_000_000 + 300 * i)

    assert [segment.base_offset for segment in log.segments] == [0, 1, 5]
