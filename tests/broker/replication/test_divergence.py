"""Two logs that parted become one: by epochs, whatever was written where (KIP-101).

A model of the follower's loop over two real logs: ask with one's end and last epoch, cut
where one is told, append what comes. It ends with the leader's log, byte for byte, and
cuts nothing that both have in common.
"""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from salon.broker.config import TopicConfig
from salon.broker.log import batch as batches
from salon.broker.log.partition_log import PartitionLog

CONFIG = TopicConfig().with_overrides({"flush.policy": "none", "segment.bytes": "1024"})


def write(log: PartitionLog, epoch: int, text: str) -> None:
    data = batches.build([(None, text.encode())], 0)
    log.append(data, batches.parse(data), epoch)


def content(log: PartitionLog) -> list[bytes]:
    return [bytes(data) for _, data in log.batches(0, log.end.offset)]


def told(leader: PartitionLog, offset: int, last_epoch: int) -> tuple[int, int] | None:
    epoch, end = leader.epoch_end(last_epoch)
    if epoch < 0:
        return None
    return (epoch, end) if epoch < last_epoch or end < offset else None


def catch_up(follower: PartitionLog, leader: PartitionLog) -> int:
    """Copy until both are equal; the lowest offset that was cut to."""
    lowest = follower.end.offset
    for _ in range(50):
        parted = told(leader, follower.end.offset, follower.epochs[-1][0])
        if parted is not None:
            known, own_end = follower.epoch_end(parted[0])
            offset = min(parted[1], own_end) if known >= 0 else parted[1]
            lowest = min(lowest, offset)
            follower.truncate_to(offset)
            continue
        missing = list(leader.batches(follower.end.offset, leader.end.offset))
        for batch, data in missing:
            follower.append_as_follower(data, batch)
        if not missing:
            return lowest
    raise AssertionError("they do not come together")


@settings(max_examples=40, deadline=None)
@given(
    common=st.lists(st.integers(0, 2), max_size=12),
    of_one=st.integers(0, 12),
    of_other=st.integers(0, 12),
    reopen=st.booleans(),
)
def test_a_former_leader_takes_the_new_ones_log(common, of_one, of_other, reopen):
    with tempfile.TemporaryDirectory() as folder:
        one = PartitionLog(Path(folder) / "one" / "t-0", CONFIG)
        other = PartitionLog(Path(folder) / "other" / "t-0", CONFIG)
        for n, epoch in enumerate(sorted(common)):
            for log in (one, other):
                write(log, epoch, f"both {n}")
        shared = len(common)
        one.begin_epoch(3)  # it led, and died with what nobody else has
        for n in range(of_one):
            write(one, 3, f"lost {n} " + "x" * 100)
        other.begin_epoch(4)
        for n in range(of_other):
            write(other, 4, f"kept {n} " + "y" * 100)
        if reopen:
            one.close()
            one = PartitionLog(Path(folder) / "one" / "t-0", CONFIG)

        lowest = catch_up(one, other)

        assert content(one) == content(other)
        assert lowest >= min(shared, one.end.offset)
        one.close()
        again = PartitionLog(Path(folder) / "one" / "t-0", CONFIG)
        assert content(again) == content(other)
        assert again.failure is None
        again.close()
        other.close()


def test_a_follower_that_is_too_far_behind_begins_anew(tmp_path):
    log = PartitionLog(tmp_path / "t-0", CONFIG)
    for n in range(5):
        write(log, 0, f"old {n}")
    log.restart_at(100)
    data = batches.build([(None, b"new")], 0)
    batches.assign(data, 100, 2)
    log.append_as_follower(data, batches.parse(data))
    assert (log.start_offset, log.end.offset) == (100, 101)
    log.close()
    again = PartitionLog(tmp_path / "t-0", CONFIG)
    assert (again.start_offset, again.end.offset) == (100, 101)
    assert again.failure is None
