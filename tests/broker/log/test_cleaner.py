"""Compaction: the newest of every key stays, at its offset, whatever happens."""

import contextlib
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salon.broker.config import TopicConfig
from salon.broker.errors import SettingError
from salon.broker.log import batch as batches
from salon.broker.log import cleaner, codecs, transactions
from salon.broker.log.partition_log import PartitionLog
from salon.broker.log.recovery import recover

COMPACT = TopicConfig(
    segment_bytes=1024,
    index_interval_bytes=100,
    cleanup_policy="compact",
    min_cleanable_dirty_ratio="0",
)
NOW = 10_000_000_000
Pair = tuple[bytes | None, bytes | None]


def fill(folder: Path, sent: list[list[Pair]]) -> PartitionLog:
    """A log of one batch per list, rolled at the end, all of it flushed."""
    log = PartitionLog(folder, COMPACT)
    for i, pairs in enumerate(sent):
        data = batches.build(pairs, 1000 + i)
        log.append(data, batches.check(data, 1 << 20))
    close(log)
    return log


def close(log: PartitionLog) -> None:
    """All that is there is in closed segments, and flushed."""
    log.roll()
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)


def records(log: PartitionLog) -> list[tuple[int, bytes | None, bytes | None]]:
    """Everything in the files."""
    return [
        (record.offset, record.key, record.value)
        for batch, data in log.batches(0, log.end.offset)
        for record in batches.records(data, batch)
    ]


def compact(log: PartitionLog, now: int = 2000) -> None:
    closed = cleaner.cleanable(log, now)
    cleaner.put_in_place(log, cleaner.clean(log, closed, now))


def newest(sent: list[list[Pair]]) -> list[tuple[int, bytes | None, bytes | None]]:
    """What a compacted log holds: the oracle."""
    flat = [pair for pairs in sent for pair in pairs]
    last = {key: i for i, (key, _) in enumerate(flat) if key is not None}
    return [
        (i, key, value)
        for i, (key, value) in enumerate(flat)
        if key is None or last[key] == i
    ]


pairs = st.tuples(
    st.one_of(st.none(), st.sampled_from([b"a", b"b", b"c", b"d"])),
    st.one_of(st.none(), st.binary(max_size=200)),
)


@given(sent=st.lists(st.lists(pairs, min_size=1, max_size=5), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_the_newest_record_of_every_key_stays_at_its_offset(
    tmp_path_factory, sent: list[list[Pair]]
):
    folder = tmp_path_factory.mktemp("log") / "t-0"
    log = fill(folder, sent)
    compact(log)
    once = records(log)
    compact(log)
    twice = records(log)
    log.close()
    again = PartitionLog(folder, COMPACT)

    assert once == twice == records(again) == newest(sent)
    assert again.end.offset == sum(map(len, sent))
    assert all(recover(s, 0, lambda *_: None).whole for s in again.segments)
    again.close()
    shutil.rmtree(folder)


def test_a_consumer_reads_over_the_gaps(tmp_path: Path):
    log = fill(tmp_path / "t-0", [[(b"k", b"%04d" % i * 20)] for i in range(50)])
    compact(log)
    log._cache.clear()
    found = log.read(3, 1 << 20, log.end, at_least_one=True)
    data = memoryview(b"".join(found.parts))
    batch = batches.parse(data)

    assert [r.offset for r in batches.records(data, batch)] == [49]


def test_a_tombstone_stays_for_its_time_and_then_goes(tmp_path: Path):
    log = fill(tmp_path / "t-0", [[(b"k", b"v")], [(b"k", None)], [(b"x", b"y")]])
    compact(log, now=2000)
    soon = records(log)
    compact(log, now=NOW)
    late = records(log)

    assert soon == [(1, b"k", None), (2, b"x", b"y")]
    assert late == [(2, b"x", b"y")]


def test_what_cannot_be_looked_into_is_kept_and_keeps_its_tombstones(tmp_path: Path):
    """An old value inside such a batch must not come back to life."""
    log = PartitionLog(tmp_path / "t-0", COMPACT)
    sealed = batches.build([(b"k", b"old")], 1000)
    sealed[22] = codecs.SNAPPY  # say its attributes; it is not
    sealed = batches.replace_records(sealed, bytes(sealed[61:]), 1)
    for data in (sealed, batches.build([(b"k", None)], 1000)):
        log.append(data, batches.check(data, 1 << 20))
    close(log)
    compact(log, now=NOW)
    kept = [batch.base_offset for batch, _ in log.batches(0, 10)]

    assert kept == [0, 1]


@pytest.mark.parametrize("codec", range(5))
def test_batches_of_every_codec_are_compacted(tmp_path: Path, codec: int):
    log = PartitionLog(tmp_path / "t-0", COMPACT)
    for round_ in range(2):
        pairs = [(b"k%d" % i, b"%d of %d" % (i, round_)) for i in range(20)]
        plain = batches.build(pairs[: 20 - 5 * round_], 1000)
        data = bytearray(plain[:61]) + codecs.compress(codec, bytes(plain[61:]))
        data[22] = codec
        batch = batches.replace_records(memoryview(data), bytes(data[61:]), 20)
        struct.pack_into(">i", batch, 57, 20 - 5 * round_)
        batch = batches.replace_records(batch, bytes(data[61:]), 20 - 5 * round_)
        log.append(batch, batches.check(batch, 1 << 20))
    close(log)
    compact(log)
    found = [(key, value) for _, key, value in records(log)]

    assert {batch.compression for batch, _ in log.batches(0, 99)} == {codec}
    assert found == [(b"k%d" % i, b"%d of 0" % i) for i in range(15, 20)] + [
        (b"k%d" % i, b"%d of 1" % i) for i in range(15)
    ]


def test_small_neighbours_become_one_segment(tmp_path: Path):
    """What compaction made small would stay, four files each, for ever."""
    sent: list[list[Pair]] = [[(b"k%d" % (i % 5), b"x" * 90)] for i in range(200)]
    log = fill(tmp_path / "t-0", sent)
    before = len(log.segments)
    compact(log)
    first = len(log.segments)
    compact(log)
    second = len(log.segments)
    files = sorted(path.stem for path in log.folder.glob("*.log"))
    log.close()
    again = PartitionLog(tmp_path / "t-0", COMPACT)

    assert before > 15
    assert first == before  # they were full when they were grouped, as in Kafka
    assert second <= 3
    assert files == [f"{s.base_offset:020d}" for s in again.segments]
    assert records(again) == newest(sent)
    assert again.read(0, 1 << 20, again.end, at_least_one=True).size > 0


@pytest.mark.parametrize("steps", range(12))
def test_a_crash_in_the_middle_of_a_merge_leaves_a_whole_log(
    tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
):
    sent: list[list[Pair]] = [[(b"k%d" % (i % 3), b"x" * 90)] for i in range(60)]
    log = fill(tmp_path / "t-0", sent)
    compact(log)
    cleaned = cleaner.clean(log, cleaner.cleanable(log, NOW), 2000)
    left = [steps]

    def counted(real):
        def call(self, *arguments, **how):
            if left[0] == 0:
                raise InterruptedError("the power is gone")
            left[0] -= 1
            return real(self, *arguments, **how)

        return call

    assert any(len(old) > 1 for old, _ in cleaned.replaced)
    with monkeypatch.context() as crash:
        crash.setattr(Path, "rename", counted(Path.rename))
        crash.setattr(Path, "unlink", counted(Path.unlink))
        with contextlib.suppress(InterruptedError):
            cleaner.put_in_place(log, cleaned)
    again = PartitionLog(tmp_path / "t-0", COMPACT)

    assert records(again) == newest(sent)
    assert again.end.offset == 60
    assert not list(again.folder.glob("*.swap"))
    assert again.read(0, 1 << 20, again.end, at_least_one=True).size > 0
    again.close()


def test_aborted_records_go_and_committed_ones_outdate(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", COMPACT)

    def write(value: bytes, producer: int, sequence: int) -> None:
        data = batches.build(
            [(b"k", value)],
            1000,
            producer=(producer, 0, sequence),
            attributes=batches.TRANSACTIONAL,
        )
        log.append(data, batches.check(data, 1 << 20))

    def end(producer: int, *, commit: bool) -> None:
        data = transactions.marker(
            producer, 0, commit=commit, coordinator_epoch=0, now_ms=1000
        )
        log.append(data, batches.parse(data))

    write(b"first", 1, 0)
    end(1, commit=True)
    write(b"second", 1, 1)
    write(b"aborted", 2, 0)
    end(2, commit=False)
    end(1, commit=True)
    log.roll()
    write(b"open", 3, 0)
    log.roll()
    close(log)
    found = cleaner.cleanable(log, NOW)
    compact(log)
    left = [
        value
        for batch, data in log.batches(0, 99)
        if not batch.is_control
        for value in [r.value for r in batches.records(data, batch)]
    ]

    assert [s.base_offset for s in found] == [0], "the open one is not touched"
    assert left == [b"second", b"open"]
    assert log.producers.last_offsets() == {1: 2, 2: 3, 3: 6}


def test_what_is_young_waits_and_what_is_old_does_not(tmp_path: Path):
    lag = {"min.compaction.lag.ms": "5000", "max.compaction.lag.ms": "60000"}
    lazy = {**lag, "min.cleanable.dirty.ratio": "1"}
    log = fill(tmp_path / "t-0", [[(b"k", b"x" * 90)] for _ in range(40)])
    log.config = COMPACT.with_overrides(lazy)
    newest_of_first = log.segments[0].max_timestamp

    assert cleaner.cleanable(log, newest_of_first + 4999) == []
    assert cleaner.cleanable(log, newest_of_first + 5000) == log.segments[:1]
    assert cleaner.worth_it(log, NOW), "older than max.compaction.lag.ms"
    log.config = COMPACT.with_overrides({"min.cleanable.dirty.ratio": "1"})
    log.cleaned_offset = log.segments[1].base_offset
    assert not cleaner.worth_it(log, NOW), "not all of it is dirty"


def test_lags_that_contradict_each_other_are_refused():
    with pytest.raises(SettingError, match=r"max\.compaction\.lag\.ms"):
        COMPACT.with_overrides(
            {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}
        )


def test_more_keys_than_the_map_holds_are_cleaned_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cleaner, "MOST_KEYS", 20)
    sent: list[list[Pair]] = [[(b"k%d" % (i % 70), b"x" * 90)] for i in range(200)]
    log = fill(tmp_path / "t-0", sent)
    passes = 0
    while cleaner.worth_it(log, NOW) and passes < 30:
        compact(log)
        passes += 1

    assert 1 < passes < 30
    assert records(log) == newest(sent)


def test_the_active_segment_and_what_is_not_flushed_are_left_alone(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", COMPACT)
    for i in range(40):
        data = batches.build([(b"k", b"%04d" % i * 20)], 1000)
        log.append(data, batches.check(data, 1 << 20))
    assert len(log.segments) > 1
    assert cleaner.cleanable(log, NOW) == []
    assert not cleaner.worth_it(log, NOW)
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)

    assert cleaner.cleanable(log, NOW) == log.segments[:-1]
    assert cleaner.worth_it(log, NOW)
    compact(log)
    assert not cleaner.worth_it(log, NOW)
