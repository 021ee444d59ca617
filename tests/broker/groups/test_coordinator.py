"""The group coordinator, driven by hand: a clock that a test moves, no sockets."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code
from salon.broker.groups.coordinator import (
    GroupCoordinator,
    Join,
    JoinResult,
    SyncResult,
)
from salon.broker.groups.group import State
from salon.broker.groups.records import Committed, GroupState
from salon.broker.purgatory import Purgatory
from salon.broker.server import Broker
from salon.broker.timer import Timer
from salon.clock import ManualClock
from tests.broker.conftest import config


class Kept:
    """What is stored about groups, in memory; ``hold`` keeps the disk waiting."""

    def __init__(self) -> None:
        self.states: dict[str, GroupState] = {}
        self.hold = False
        self.waiting: list[Callable[[Code], None]] = []

    def load(self) -> Mapping[str, GroupState]:
        return dict(self.states)

    def groups(self) -> list[str]:
        return []

    def leads(self, group: str) -> bool:
        return True

    def store(
        self, group: str, state: GroupState, done: Callable[[Code], None]
    ) -> None:
        self.states[group] = state
        if self.hold:
            self.waiting.append(done)
        else:
            done(Code.NONE)

    def forget(self, group: str, done: Callable[[Code], None]) -> None:
        self.states.pop(group, None)
        done(Code.NONE)


class World:
    """A coordinator and the clients that talk to it."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.now = 0
        self.timer = Timer(0)
        self.kept = kept or Kept()
        self.coordinator = GroupCoordinator(
            BrokerConfig(),
            self.kept,  # type: ignore[arg-type]
            Purgatory("Rebalance", self.timer, lambda: self.now),
            self.timer,
            lambda: self.now,
            ManualClock(),
        )
        self.coordinator.load()

    def pass_time(self, ms: int) -> None:
        """As the loop does it: from one expiry to the next."""
        until = self.now + ms
        while (due := self.timer.next_expiry_ms()) is not None and due <= until:
            self.now = max(self.now, due)
            self.timer.advance(self.now)
        self.now = until
        self.timer.advance(until)

    def join(
        self,
        member_id: str = "",
        instance_id: str | None = None,
        protocols: tuple[str, ...] = ("range",),
        skip: bool = False,
        metadata: bytes = b"topics",
        session_ms: int = 10_000,
    ) -> list[JoinResult]:
        """Send a join; the list holds the answer once it is there."""
        answers: list[JoinResult] = []
        self.coordinator.join(
            Join(
                "g",
                member_id,
                instance_id,
                "client",
                "/host",
                session_ms,
                30_000,
                "consumer",
                [(name, metadata) for name in protocols],
                True,
                skip,
            ),
            answers.append,
        )
        return answers

    def enter(self, **how: Any) -> list[JoinResult]:
        """Join as a new dynamic member: told the id first, then with it (KIP-394)."""
        told = self.join(**how)[0]
        assert told.error is Code.MEMBER_ID_REQUIRED
        return self.join(told.member_id, **how)

    def sync(
        self, joined: JoinResult, assignments: dict[str, bytes] | None = None
    ) -> list[SyncResult]:
        answers: list[SyncResult] = []
        self.coordinator.sync(
            "g",
            joined.generation,
            joined.member_id,
            None,
            list((assignments or {}).items()),
            answers.append,
        )
        return answers

    def heartbeat(self, joined: JoinResult, instance_id: str | None = None) -> Code:
        return self.coordinator.heartbeat(
            "g", joined.generation, joined.member_id, instance_id
        )

    def settle(self, joined: JoinResult, data: bytes = b"all") -> None:
        """The only member is also the leader: give it everything."""
        assert self.sync(joined, {joined.member_id: data})[0].error is Code.NONE

    @property
    def state(self) -> State:
        group = self.coordinator.get("g")
        assert group is not None
        return group.state


def test_the_first_member_leads_and_gets_what_it_assigns():
    world = World()
    joined = world.enter()[0]
    synced = world.sync(joined, {joined.member_id: b"p0"})[0]

    assert (joined.error, joined.generation, joined.leader) == (0, 1, joined.member_id)
    assert joined.members == ((joined.member_id, None, b"topics"),)
    assert (synced.error, synced.assignment) == (Code.NONE, b"p0")
    assert world.state is State.STABLE
    assert world.heartbeat(joined) is Code.NONE


def test_a_second_member_makes_the_first_rejoin_and_both_are_served():
    world = World()
    a = world.enter()[0]
    world.settle(a)
    waiting = world.enter()
    assert waiting == []
    assert world.heartbeat(a) is Code.REBALANCE_IN_PROGRESS
    a2 = world.join(a.member_id)[0]
    b = waiting[0]
    b_sync = world.sync(b)
    assert b_sync == [], "followers wait for the leader's assignment"
    a_sync = world.sync(a2, {a2.member_id: b"p0", b.member_id: b"p1"})

    assert a2.generation == b.generation == 2
    assert len(a2.members) == 2
    assert b.members == ()
    assert (a_sync[0].assignment, b_sync[0].assignment) == (b"p0", b"p1")


def test_who_does_not_rejoin_in_time_is_out():
    world = World()
    a = world.enter(session_ms=100_000)[0]
    world.settle(a)
    b = world.enter(session_ms=100_000)
    world.pass_time(30_000)

    assert b[0].generation == 2
    assert b[0].leader == b[0].member_id
    assert world.heartbeat(a) is Code.UNKNOWN_MEMBER_ID


def test_a_silent_member_is_out_and_a_speaking_one_stays():
    world = World()
    a = world.enter()[0]
    world.settle(a)
    for _ in range(5):
        world.pass_time(9_000)
        assert world.heartbeat(a) is Code.NONE
    world.pass_time(10_000)

    assert world.heartbeat(a) is Code.UNKNOWN_MEMBER_ID
    assert world.state is State.EMPTY


def test_leaving_starts_a_rebalance_at_once():
    world = World()
    a = world.enter()[0]
    world.settle(a)
    b = world.enter()
    a = world.join(a.member_id)[0]
    world.sync(b[0])
    world.sync(a, {})
    left = world.coordinator.leave("g", b[0].member_id, None)

    assert left is Code.NONE
    assert world.heartbeat(a) is Code.REBALANCE_IN_PROGRESS
    assert world.join(a.member_id)[0].generation == 3


def test_a_restarted_static_member_takes_its_place_and_the_old_one_is_fenced():
    """A server that comes back at once must be served at once (KIP-345)."""
    world = World()
    old = world.join(instance_id="node-1")[0]
    world.settle(old, b"p0")
    new = world.join(instance_id="node-1")[0]
    synced = world.sync(new)[0]

    assert new.member_id != old.member_id
    assert new.generation == old.generation == 1, "nobody else had to do anything"
    assert (synced.error, synced.assignment) == (Code.NONE, b"p0")
    assert world.heartbeat(old, "node-1") is Code.FENCED_INSTANCE_ID
    assert world.heartbeat(new, "node-1") is Code.NONE
    with pytest.raises(ApiError) as caught:
        world.coordinator.check_commit("g", 1, old.member_id, "node-1")
    assert caught.value.code is Code.FENCED_INSTANCE_ID


@pytest.mark.parametrize("skip", [True, False])
def test_a_restarted_static_leader_does_not_assign_anew(skip: bool):
    """With KIP-814 it is told to skip; before, it is not told that it leads."""
    world = World()
    old = world.join(instance_id="node-1")[0]
    world.settle(old)
    new = world.join(instance_id="node-1", skip=skip)[0]

    assert new.skip_assignment is skip
    assert (new.leader == new.member_id) is skip
    assert len(new.members) == (1 if skip else 0)


def test_a_static_member_that_waits_is_fenced_by_its_successor():
    world = World()
    a = world.enter()[0]
    world.settle(a)
    first = world.join(instance_id="node-1")
    second = world.join(instance_id="node-1")
    world.join(a.member_id)

    assert first[0].error is Code.FENCED_INSTANCE_ID
    assert second[0].error is Code.NONE


def test_static_members_survive_a_restart_of_the_broker():
    """The old process of the node is dead; the broker died with it."""
    world = World()
    old = world.join(instance_id="node-1")[0]
    world.settle(old, b"p0")
    again = World(world.kept)
    new = again.join(instance_id="node-1")[0]
    synced = again.sync(new)[0]

    assert new.generation == 1
    assert synced.assignment == b"p0"


def test_an_assignment_is_answered_only_when_it_is_stored():
    world = World()
    joined = world.enter()[0]
    world.kept.hold = True
    synced = world.sync(joined, {joined.member_id: b"p0"})
    before = list(synced)
    world.kept.waiting.pop()(Code.NONE)

    assert before == []
    assert synced[0].assignment == b"p0"


def test_an_assignment_that_cannot_be_stored_is_tried_again():
    world = World()
    joined = world.enter()[0]
    world.kept.hold = True
    synced = world.sync(joined, {joined.member_id: b"p0"})
    world.kept.waiting.pop()(Code.COORDINATOR_NOT_AVAILABLE)

    assert synced[0].error is Code.COORDINATOR_NOT_AVAILABLE
    assert world.state is State.PREPARING_REBALANCE


def test_the_protocol_is_one_that_all_know():
    world = World()
    a = world.enter(protocols=("sticky", "range"))[0]
    world.settle(a)
    b = world.enter(protocols=("range",))
    world.join(a.member_id, protocols=("sticky", "range"))
    stranger = world.join(protocols=("roundrobin",))[0]

    assert (a.protocol, b[0].protocol) == ("sticky", "range")
    assert stranger.error is Code.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"session_ms": 5}, Code.INVALID_SESSION_TIMEOUT),
        ({"member_id": "never-heard-of"}, Code.UNKNOWN_MEMBER_ID),
    ],
)
def test_joins_that_cannot_be(how: dict[str, Any], code: Code):
    assert World().join(**how)[0].error is code


def test_an_old_generation_is_refused():
    world = World()
    a = world.enter()[0]
    world.settle(a)
    stale = a._replace(generation=0)

    assert world.heartbeat(stale) is Code.ILLEGAL_GENERATION
    assert world.sync(stale)[0].error is Code.ILLEGAL_GENERATION


def test_a_group_with_members_is_not_deleted():
    world = World()
    a = world.enter()[0]
    codes: list[Code] = []
    world.coordinator.delete("g", codes.append)
    world.coordinator.leave("g", a.member_id, None)
    world.coordinator.delete("g", codes.append)
    world.coordinator.delete("g", codes.append)

    assert codes == [Code.NON_EMPTY_GROUP, Code.NONE, Code.GROUP_ID_NOT_FOUND]


async def test_committed_offsets_survive_a_restart(tmp_path: Path):
    committed = Committed(41, -1, "note", 123)
    for _ in range(2):
        async with Broker.open(config(tmp_path / "data")) as broker:
            await broker.admin.ensure("__consumer_offsets", 1)
            codes: list[Code] = []
            if not broker.groups.offsets.get("g"):
                broker.groups.offsets.commit("g", {("t", 0): committed}, codes.append)
                await broker.replicas.flush_all()

        assert broker.groups.offsets.get("g") == {("t", 0): committed}


async def test_the_offsets_topic_is_no_larger_than_what_it_says(tmp_path: Path):
    folder = tmp_path / "data"
    async with Broker.open(config(folder)) as broker:
        await broker.admin.ensure("__consumer_offsets", 1)
        offsets = broker.groups.offsets
        for i in range(500):
            offsets.commit("g", {("t", i % 3): Committed(i, -1, "", 1)}, lambda _: None)
        await broker.replicas.flush_all()
        before = dict(offsets.get("g"))
        log = broker.replicas.partitions["__consumer_offsets", 0].log
        large = log.size
        offsets.compact({}, above_bytes=1000)
        await broker.replicas.flush_all()
        while log.start_offset == 0:
            await asyncio.sleep(0)
        small = log.size
    async with Broker.open(config(folder)) as broker:
        after = dict(broker.groups.offsets.get("g"))

    assert small < large / 20
    assert (
        after
        == before
        == {("t", i % 3): Committed(i, -1, "", 1) for i in (497, 498, 499)}
    )


class GroupMachine(RuleBasedStateMachine):
    """Members come, go, fall silent and restart; every request is answered once."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.joins: list[list[JoinResult]] = []
        self.syncs: list[list[SyncResult]] = []
        self.alive: dict[str, JoinResult] = {}

    def pick(self, data: st.DataObject) -> str:
        """One that is or was a member; by number, because the ids are chance."""
        ids = list(self.alive)
        return ids[data.draw(st.integers(0, len(ids) - 1))]

    def collect(self) -> None:
        for answers in self.joins:
            assert len(answers) <= 1, "a join was answered twice"
            if answers and answers[0].error is Code.NONE:
                self.alive[answers[0].member_id] = answers[0]

    @rule(instance=st.sampled_from([None, "node-1", "node-2"]))
    def arrive(self, instance: str | None) -> None:
        if instance is None:
            self.joins.append(self.world.enter())
        else:
            self.joins.append(self.world.join(instance_id=instance))
        self.collect()

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def rejoin(self, data: st.DataObject) -> None:
        member = self.pick(data)
        self.joins.append(self.world.join(member))
        self.collect()

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def synchronise(self, data: st.DataObject) -> None:
        joined = self.alive[self.pick(data)]
        self.syncs.append(self.world.sync(joined, {joined.member_id: b"x"}))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        member = self.pick(data)
        self.world.coordinator.leave("g", member, None)
        self.collect()

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        self.world.heartbeat(self.alive[self.pick(data)])

    @rule(ms=st.sampled_from([100, 9_000, 31_000]))
    def pass_time(self, ms: int) -> None:
        self.world.pass_time(ms)
        self.collect()

    @invariant()
    def the_group_is_consistent(self) -> None:
        group = self.world.coordinator.get("g")
        if group is None:
            return
        assert all(len(answers) <= 1 for answers in self.syncs)
        assert all(m in group.members for m in group.instances.values())
        if group.state in (State.STABLE, State.COMPLETING_REBALANCE):
            assert group.members
            assert group.leader in group.members
        if group.state is State.EMPTY:
            assert not group.members
        if group.state is not State.PREPARING_REBALANCE:
            assert all(m.on_join is None for m in group.members.values())

    def teardown(self) -> None:
        """When all fall silent for good, nobody is left waiting and nobody stays."""
        self.world.pass_time(200_000)
        group = self.world.coordinator.get("g")
        if group is not None:
            assert not group.members
            assert group.state is State.EMPTY
        assert all(len(answers) == 1 for answers in self.joins)
        assert all(len(answers) == 1 for answers in self.syncs)


TestGroupMachine = GroupMachine.TestCase
TestGroupMachine.settings = settings(max_examples=60, stateful_step_count=40)
