"""What a partition knows of transactions: stable, aborted, after whatever restart."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salon.broker.config import TopicConfig
from salon.broker.log import batch as batches
from salon.broker.log import transactions
from salon.broker.log.partition_log import PartitionLog
from salon.broker.log.transactions import Aborted, Marker

SMALL = TopicConfig(segment_bytes=1024, index_interval_bytes=150)


def write(log: PartitionLog, producer: int, sequence: int = 0) -> int:
    data = batches.build(
        [(None, b"x" * 50)],
        1000,
        producer=(producer, 0, sequence),
        attributes=batches.TRANSACTIONAL,
    )
    return log.append(data, batches.parse(data)).base_offset


def end(log: PartitionLog, producer: int, *, commit: bool) -> int:
    data = transactions.marker(
        producer, 0, commit=commit, coordinator_epoch=0, now_ms=1000
    )
    return log.append(data, batches.parse(data)).base_offset


def stable(log: PartitionLog) -> int:
    return log.last_stable(log.end).offset


def test_the_oldest_open_transaction_is_where_committed_reading_ends(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", SMALL)
    write(log, 1)
    write(log, 2)
    end(log, 1, commit=True)
    between = stable(log)
    end(log, 2, commit=True)

    assert between == 1
    assert stable(log) == log.end.offset == 4


def test_an_abort_says_whose_records_from_where(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", SMALL)
    write(log, 1)
    write(log, 2)
    end(log, 2, commit=False)
    end(log, 1, commit=True)

    assert log.aborted.between(0, 10) == [Aborted(2, 1, 2, 0)]
    assert log.aborted.between(3, 10) == []
    assert log.aborted.between(0, 1) == []


def test_a_second_marker_changes_nothing(tmp_path: Path):
    """Recovery writes markers again without knowing which are there."""
    log = PartitionLog(tmp_path / "t-0", SMALL)
    write(log, 1)
    end(log, 1, commit=False)
    end(log, 1, commit=False)

    assert len(log.aborted) == 1
    assert stable(log) == log.end.offset


steps = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(["write", "commit", "abort"])),
    max_size=60,
)


@pytest.mark.parametrize("clean", [True, False])
@given(steps=steps)
@settings(max_examples=30, deadline=None)
def test_a_restart_knows_what_was_known_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], clean: bool
):
    folder = tmp_path_factory.mktemp("log") / "t-0"
    log = PartitionLog(folder, SMALL)
    sequences = dict.fromkeys((1, 2, 3), 0)
    for producer, what in steps:
        if what == "write":
            write(log, producer, sequences[producer])
            sequences[producer] += 1
        else:
            end(log, producer, commit=what == "commit")
    known = (log.producers.open, log.aborted.between(0, 1000), stable(log))
    if clean:
        flush = log.begin_flush()
        flush.run()
        log.end_flush(flush)
        log.save_producers()
        log.close()
    again = PartitionLog(folder, SMALL, clean=clean)

    assert (
        again.producers.open,
        again.aborted.between(0, 1000),
        stable(again),
    ) == known
    again.close()


def test_deleted_segments_take_their_aborts_with_them(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", SMALL)
    for i in range(20):
        write(log, 1, i)
        end(log, 1, commit=False)
    assert len(log.segments) > 2
    flush = log.begin_flush()
    flush.run()
    log.end_flush(flush)
    before = len(log.aborted)
    log.delete_records(log.end.offset)

    assert len(log.aborted) < before
    kept = {int(path.stem) for path in log.folder.glob("*.txnindex")}
    assert kept <= {segment.base_offset for segment in log.segments}


def test_committed_reading_waits_until_the_marker_cannot_be_lost(tmp_path: Path):
    log = PartitionLog(tmp_path / "t-0", SMALL)
    write(log, 1)
    visible = log.end  # all that the followers have
    end(log, 1, commit=True)

    assert log.last_stable(visible).offset == 0
    assert log.last_stable(log.end) == log.end
    log.producers.forget_ended(log.end.offset)
    assert log.last_stable(log.end) == log.end


def test_a_log_that_begins_anew_knows_of_no_transaction(tmp_path: Path):
    """The leader has deleted all that this follower had, open transactions included."""
    log = PartitionLog(tmp_path / "t-0", SMALL)
    write(log, 1)
    end(log, 1, commit=False)
    write(log, 2)
    log.roll()  # with a snapshot that says so
    log.restart_at(100)

    assert log.producers.open == {}
    assert len(log.aborted) == 0
    assert stable(log) == 100


@pytest.mark.parametrize("clean", [True, False])
def test_the_last_coordinator_is_known_after_a_restart(tmp_path: Path, clean: bool):
    log = PartitionLog(tmp_path / "t-0", SMALL)
    write(log, 1)
    data = transactions.encode(Marker(1, 0, commit=True, coordinator_epoch=7), 1000)
    log.append(data, batches.parse(data))
    if clean:
        flush = log.begin_flush()
        flush.run()
        log.end_flush(flush)
    log.close()
    again = PartitionLog(tmp_path / "t-0", SMALL, clean=clean)

    assert [each.coordinator_epoch for each in again.producers.active()] == [7]
    again.close()
