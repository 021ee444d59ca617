"""The records of ``__consumer_offsets`` come back as they were written."""

from hypothesis import given
from hypothesis import strategies as st

from salon.broker.groups import records
from salon.broker.groups.records import (
    Committed,
    GroupKey,
    GroupState,
    MemberState,
    OffsetKey,
)

text = st.text(max_size=40)
i32 = st.integers(-(2**31), 2**31 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
blob = st.binary(max_size=60)
members = st.builds(
    MemberState, text, st.none() | text, text, text, i32, i32, blob, blob
)


@given(key=st.builds(OffsetKey, text, text, i32) | st.builds(GroupKey, text))
def test_a_key_is_read_as_written(key):
    assert records.read_key(records.write_key(key)) == key


@given(value=st.builds(Committed, i64, i32, text, i64))
def test_a_commit_is_read_as_written(value: Committed):
    assert records.read_committed(records.write_committed(value)) == value


@given(
    value=st.builds(
        GroupState,
        text,
        i32,
        st.none() | text,
        st.none() | text,
        i64,
        st.lists(members, max_size=3).map(tuple),
    )
)
def test_a_group_is_read_as_written(value: GroupState):
    assert records.read_group(records.write_group(value)) == value


def test_the_bytes_are_kafkas():
    """OffsetCommitKey v1 and OffsetCommitValue v3, byte by byte."""
    assert records.write_key(OffsetKey("g", "t", 7)) == (
        b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x07"
    )
    assert records.write_committed(Committed(5, -1, "m", 9)) == (
        b"\x00\x03" + (5).to_bytes(8) + b"\xff\xff\xff\xff\x00\x01m" + (9).to_bytes(8)
    )
