"""What a broker makes of the controller's word, and of none."""

import asyncio

import pytest

from salon.broker.replication.peer import PeerAway
from tests.broker.cluster import Nodes, cluster, until

pytestmark = pytest.mark.timeout(120)

KEY = ("t", 0)


async def one_is_away(nodes: Nodes) -> None:
    """A topic on three brokers, led by the first, the third of which is away."""
    assignment = [[1, 2, 3]]
    await nodes.running[1].admin.create("t", 1, {}, assignment=assignment)
    await nodes.stop(3)
    await until(lambda: set(leader(nodes).state.isr) == {1, 2})


def leader(nodes: Nodes):
    return nodes.running[1].cluster.replication.get(KEY)


def controllers(nodes: Nodes):
    """The partition, as the controller has it."""
    return nodes.running[1].cluster.controller.topics["t"].partitions[0]


async def test_a_decision_whose_answer_was_lost_holds_all_the_same(tmp_path):
    """The controller has written it down: the leader must not go on without it."""
    async with cluster(tmp_path) as nodes:
        await one_is_away(nodes)
        membership = nodes.running[1].cluster.membership
        ask, lost = membership.alter_partition, 0

        async def losing(*args):
            nonlocal lost
            await ask(*args)
            lost += 1
            raise PeerAway("the answer was lost")

        membership.alter_partition = losing
        await nodes.start(3)
        await until(lambda: len(controllers(nodes).isr) == 3)
        await until(lambda: lost)
        await until(lambda: leader(nodes).state == controllers(nodes))
        assert leader(nodes).pending is None

        membership.alter_partition = ask  # and the next change is heard
        await nodes.stop(3)
        await until(lambda: set(leader(nodes).state.isr) == {1, 2})
        await until(lambda: leader(nodes).state == controllers(nodes))


async def test_a_newcomer_counts_until_the_controller_has_answered(tmp_path):
    """Nobody knows whether it was decided, so acks=all wait for the newcomer, too."""
    async with cluster(tmp_path) as nodes:
        await one_is_away(nodes)
        membership = nodes.running[1].cluster.membership
        ask, asked, away = membership.alter_partition, 0, True

        async def unreachable(*args):
            nonlocal asked
            if not away:
                return await ask(*args)
            asked += 1
            raise PeerAway("it is not reached")

        membership.alter_partition = unreachable
        await nodes.start(3)
        await until(lambda: asked)
        while asked < 4:
            assert leader(nodes).pending == (*leader(nodes).state.isr, 3)
            await asyncio.sleep(0)
        away = False
        await until(lambda: len(leader(nodes).state.isr) == 3)
        assert leader(nodes).state == controllers(nodes)


async def test_followers_know_the_isr_that_holds(tmp_path):
    async with cluster(tmp_path) as nodes:
        await one_is_away(nodes)
        await nodes.start(3)
        await until(lambda: len(leader(nodes).state.isr) == 3)
        for broker in nodes.running.values():
            copy = broker.cluster.replication
            await until(lambda copy=copy: copy.get(KEY).state == controllers(nodes))
