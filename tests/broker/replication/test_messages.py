"""Whatever the controller says arrives as it was said, and no bytes break the reader."""

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.broker.errors import ProtocolError
from salon.broker.replication import messages
from salon.broker.replication.messages import (
    From,
    LeaderAndIsr,
    Replica,
    Stopped,
    StopReplica,
    TopicMetadata,
    UpdateMetadata,
)
from salon.broker.replication.partition import PartitionState

i32 = st.integers(-(2**31), 2**31 - 1)
ids = st.lists(st.integers(0, 9), max_size=4).map(tuple)
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
states = st.builds(PartitionState, i32, i32, ids, i32, ids)
senders = st.builds(From, i32, i32, st.integers(-1, 2**60))
uuids = st.integers(1, 2**128 - 1).map(lambda n: UUID(int=n))
addresses = st.tuples(names, st.integers(0, 65535))


@given(
    said=st.builds(
        UpdateMetadata,
        senders,
        st.lists(
            st.builds(
                TopicMetadata,
                names,
                uuids,
                st.dictionaries(names, st.text(max_size=5), max_size=3),
                st.dictionaries(st.integers(0, 99), states, max_size=3),
            ),
            max_size=3,
        ),
        st.dictionaries(
            st.integers(0, 9), st.dictionaries(names, addresses, max_size=3), max_size=3
        ),
    )
)
def test_metadata_arrives(said):
    data = messages.encode_update_metadata(said)
    assert messages.decode_update_metadata(memoryview(data), 0) == said


@given(sender=senders, topic=names, id_=uuids, state=states, live=addresses)
def test_leadership_arrives(sender, topic, id_, state, live):
    replicas = [Replica((topic, n), id_, state, n == 0) for n in range(2)]
    said = LeaderAndIsr(sender, replicas, {1: live})
    data = messages.encode_leader_and_isr(said)
    assert messages.decode_leader_and_isr(memoryview(data), 0) == said


@given(sender=senders, topic=names, epoch=i32, delete=st.booleans())
def test_the_end_of_a_replica_arrives(sender, topic, epoch, delete):
    said = StopReplica(sender, [Stopped((topic, 0), epoch, delete)])
    data = messages.encode_stop_replica(said)
    assert messages.decode_stop_replica(memoryview(data), 0) == said


@pytest.mark.parametrize(
    "read",
    [
        messages.decode_update_metadata,
        messages.decode_leader_and_isr,
        messages.decode_stop_replica,
    ],
)
@given(data=st.binary(max_size=80))
def test_other_bytes_are_refused_or_read(read, data):
    with contextlib.suppress(ProtocolError):
        read(memoryview(data), 0)
