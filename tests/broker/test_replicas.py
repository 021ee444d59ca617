"""Appending to a partition: who may, and what the others are told."""

from salon.broker.errors import Code
from salon.broker.log import batch as batches
from salon.broker.partition import Partition
from salon.broker.server import Broker


class Follower(Partition):
    """A replica that was told of too small an ISR a while ago."""

    __slots__ = ()
    leads = False
    in_sync_count = 0


async def test_a_producer_at_a_follower_is_told_to_look_for_the_leader(broker: Broker):
    """Not that replicas are missing: that would be tried again here, for minutes."""
    await broker.admin.create("t", 1)
    led = broker.replicas.partitions["t", 0]
    broker.replicas.partitions["t", 0] = Follower(led.topic, 0, led.log, led.flusher)

    appended = broker.replicas.append(
        ("t", 0), batches.build([(None, b"x")], 0), acks=-1
    )

    assert appended.error is Code.NOT_LEADER_OR_FOLLOWER
    assert led.log.end.offset == 0
