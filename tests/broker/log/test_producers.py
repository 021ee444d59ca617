"""Idempotent producers: retries write nothing, gaps and zombies are refused."""

from pathlib import Path

import pytest

from salon.broker.errors import ApiError, Code
from salon.broker.log.batch import CONTROL, TRANSACTIONAL, Batch
from salon.broker.log.producers import Producers
from salon.broker.log.transactions import Marker


def batch(sequence: int, count: int = 1, *, epoch: int = 0, base: int = 0) -> Batch:
    return Batch(
        base, 100, 0, 2, 0, 0, count - 1, 1000, 1000, 42, epoch, sequence, count
    )


def written(*sequences: int, epoch: int = 0) -> Producers:
    producers = Producers()
    for offset, sequence in enumerate(sequences):
        producers.update(batch(sequence, epoch=epoch, base=100 + offset))
    return producers


def refused(producers: Producers, wrong: Batch) -> Code:
    with pytest.raises(ApiError) as caught:
        producers.check(wrong)
    return caught.value.code


def test_the_last_five_batches_are_recognised_with_their_old_offsets():
    producers = written(0, 1, 2, 3, 4, 5)

    assert [producers.check(batch(s)) for s in (1, 5)] == [101, 105]
    assert producers.check(batch(6)) is None
    assert refused(producers, batch(0)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_gap_is_refused():
    assert refused(written(0), batch(2)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_batch_that_only_begins_like_an_old_one_is_no_retry():
    assert refused(written(0), batch(0, 2)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_lower_epoch_is_a_zombie_and_a_higher_one_begins_at_zero():
    producers = written(0, epoch=3)

    assert refused(producers, batch(1, epoch=2)) is Code.INVALID_PRODUCER_EPOCH
    assert refused(producers, batch(1, epoch=4)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert producers.check(batch(0, epoch=4)) is None


def test_sequences_wrap_around():
    producers = Producers()
    producers.update(batch(2**31 - 1))

    assert producers.check(batch(0)) is None


def test_an_unknown_producer_may_begin_anywhere():
    """Its state expired, or the records that told of it were deleted."""
    assert Producers().check(batch(77)) is None


def test_a_snapshot_remembers_the_last_batch(tmp_path: Path):
    path = tmp_path / "00000000000000000102.snapshot"
    written(0, 1).save(path)
    loaded = Producers()

    assert loaded.load(path)
    assert loaded.check(batch(1)) == 101
    assert loaded.check(batch(2)) is None


def test_a_retry_after_a_restart_finds_any_of_the_last_five(tmp_path: Path):
    """A client has five batches under way; each may come again after a crash."""
    path = tmp_path / "00000000000000000107.snapshot"
    written(0, 1, 2, 3, 4, 5, 6).save(path)
    loaded = Producers()

    assert loaded.load(path)
    assert len(loaded) == 1
    assert [loaded.check(batch(n)) for n in range(2, 7)] == [102, 103, 104, 105, 106]
    assert loaded.check(batch(7)) is None
    with pytest.raises(ApiError):
        loaded.check(batch(1))


def test_a_broken_snapshot_is_not_believed(tmp_path: Path):
    path = tmp_path / "0.snapshot"
    written(0).save(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    assert not Producers().load(path)


def test_silent_producers_are_forgotten():
    producers = written(0)
    producers.expire(1000)
    kept = len(producers)
    producers.expire(1001)

    assert (kept, len(producers)) == (1, 0)


def marker(coordinator_epoch: int, *, epoch: int = 0) -> Marker:
    return Marker(42, epoch, commit=True, coordinator_epoch=coordinator_epoch)


def ended(coordinator_epoch: int) -> Producers:
    """A producer whose transaction, records 100 to 101, was ended at 102."""
    producers = Producers()
    for sequence in (0, 1):
        one = batch(sequence, base=100 + sequence)
        producers.update(one._replace(attributes=TRANSACTIONAL))
    control = batch(-1, base=102)._replace(attributes=TRANSACTIONAL | CONTROL)
    producers.update(control, marker(coordinator_epoch))
    return producers


@pytest.mark.parametrize("kept", [False, True])
def test_a_coordinator_or_a_producer_of_the_past_ends_nothing(
    kept: bool, tmp_path: Path
):
    producers = ended(5)
    if kept:
        producers.save(tmp_path / "s")
        producers = Producers()
        assert producers.load(tmp_path / "s")

    for wrong, code in (
        (marker(4), Code.TRANSACTION_COORDINATOR_FENCED),
        (marker(6, epoch=-1), Code.INVALID_PRODUCER_EPOCH),
    ):
        with pytest.raises(ApiError) as caught:
            producers.check_marker(wrong)
        assert caught.value.code is code
    for right in (marker(5), marker(6), marker(5, epoch=1)):
        producers.check_marker(right)


def test_a_new_epoch_of_a_producer_does_not_make_an_old_coordinator_young():
    producers = ended(5)
    producers.update(batch(0, epoch=1, base=103)._replace(attributes=TRANSACTIONAL))

    with pytest.raises(ApiError) as caught:
        producers.check_marker(marker(4, epoch=1))
    assert caught.value.code is Code.TRANSACTION_COORDINATOR_FENCED
    assert producers.marked_at(42) == 102
    assert producers.in_transaction(42, 1)
    assert not producers.in_transaction(42, 0)


def test_what_a_marker_ended_is_stable_when_the_marker_stays():
    """A leader that dies takes a marker along that nobody has copied."""
    producers = ended(0)

    assert producers.first_unstable(102) == 100
    assert producers.first_unstable(103) == 103
    producers.forget_ended(102)
    assert producers.unstable
    producers.forget_ended(103)
    assert not producers.unstable


def test_what_looks_like_a_retry_of_an_ended_transaction_is_refused():
    """librdkafka numbers a record like one that it purged: it must not be lost."""
    producers = ended(0)
    late = batch(1)._replace(attributes=TRANSACTIONAL)

    assert refused(producers, late) is Code.INVALID_TXN_STATE
    right = batch(2, base=103)._replace(attributes=TRANSACTIONAL)
    producers.update(right)
    assert producers.check(right) == 103  # a retry, of the transaction that is open
