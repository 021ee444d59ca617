"""Compaction: the newest of every key stays, at its offset, whatever happens."""

import shutil
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from salon.broker.config import TopicConfig
from salon.broker.log import batch as batches
from salon.broker.log import cleaner
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
    log.roll()
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)
    return log


def records(log: PartitionLog) -> list[tuple[int, bytes | None, bytes | None]]:
    """Everything in the files."""
    return [
        (record.offset, record.key, record.value)
        for batch, data in log.batches(0, log.end.offset)
        for record in batches.records(data, batch)
    ]


def compact(log: PartitionLog, now: int = 2000) -> None:
    cleaner.put_in_place(log, cleaner.clean(log, log.closed_segments(), now))


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


def test_what_only_clients_decode_is_kept_and_keeps_its_tombstones(tmp_path: Path):
    """An old value inside a snappy batch must not come back to life."""
    log = PartitionLog(tmp_path / "t-0", COMPACT)
    sealed = batches.build([(b"k", b"old")], 1000)
    sealed[22] = 2  # snappy, as its attributes say
    sealed = batches.replace_records(sealed, bytes(sealed[61:]), 1)
    for data in (sealed, batches.build([(b"k", None)], 1000)):
        log.append(data, batches.check(data, 1 << 20))
    log.roll()
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)
    compact(log, now=NOW)
    kept = [batch.base_offset for batch, _ in log.batches(0, 10)]

    assert kept == [0, 1]


def test_the_active_segment_and_what_is_not_flushed_are_left_alone(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", COMPACT)
    for i in range(40):
        data = batches.build([(b"k", b"%04d" % i * 20)], 1000)
        log.append(data, batches.check(data, 1 << 20))
    assert len(log.segments) > 1
    assert log.closed_segments() == []
    assert not cleaner.worth_it(log)
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)

    assert log.closed_segments() == log.segments[:-1]
    assert cleaner.worth_it(log)
    compact(log)
    assert not cleaner.worth_it(log)


def test_a_crash_between_the_steps_leaves_a_whole_log(tmp_path: Path):
    """The index goes first: a missing one is found out, a wrong one would not be."""
    sent: list[list[Pair]] = [[(b"k%d" % (i % 3), b"x" * 90)] for i in range(30)]
    log = fill(tmp_path / "t-0", sent)
    cleaned = cleaner.clean(log, log.closed_segments(), 2000)
    old, new = cleaned.replaced[0]
    old.index_path.unlink()
    old.time_path.unlink()
    new.path.rename(old.path)
    crashed = tmp_path / "crashed" / "t-0"
    shutil.copytree(log.folder, crashed)
    again = PartitionLog(crashed, COMPACT)

    assert records(again)[-3:] == newest(sent)[-3:]
    assert again.end.offset == 30
