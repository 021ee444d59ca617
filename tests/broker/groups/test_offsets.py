"""What is kept about groups, where several brokers have a copy of it."""

import asyncio

from salon.broker.groups.records import Committed
from salon.broker.server import Broker
from salon.broker.topics import OFFSETS_TOPIC
from tests.broker.cluster import Follower


async def test_a_follower_keeps_its_copy_however_large_it_is(broker: Broker):
    """It knows no groups, and would take all that the leader wrote for outdated."""
    await broker.admin.ensure(OFFSETS_TOPIC, 1)
    offsets = broker.groups.offsets
    for n in range(50):
        offsets.commit("g", {("t", 0): Committed(n, -1, "", 1)}, lambda _: None)
    await broker.replicas.flush_all()
    led = broker.replicas.partitions[OFFSETS_TOPIC, 0]
    end = led.log.end.offset

    follower = Follower(led.topic, 0, led.log, led.flusher)
    broker.replicas.partitions[OFFSETS_TOPIC, 0] = follower
    offsets.forget_partition(0)
    offsets.compact({}, above_bytes=1000)
    await asyncio.sleep(0)

    assert (led.log.start_offset, led.log.end.offset) == (0, end)
    assert len(led.log.segments) == 1
    broker.replicas.partitions[OFFSETS_TOPIC, 0] = led
    offsets.load_partition(0)
    assert offsets.get("g") == {("t", 0): Committed(49, -1, "", 1)}
