"""The group coordinator: joins, syncs, heartbeats, and who is thrown out when.

(``GroupCoordinator.scala`` of the classic protocol; KIP-62, KIP-345, KIP-394.) A
rebalance, as this module runs it:

1. A reason comes up (a newcomer, a changed subscription, a leave, a death):
   ``_prepare_rebalance``. Syncs that wait are told REBALANCE_IN_PROGRESS, and so are
   heartbeats; every member sends JoinGroup again.
2. Their JoinGroups wait in purgatory as one ``DelayedJoin`` per group, until all are
   there, or the longest rebalance timeout is over and the missing are removed.
3. ``_complete_join`` begins the next generation and answers all; the leader gets the
   list of members.
4. SyncGroups wait until the leader's brings the assignment. It is stored first, so that
   after a crash a static member still has it, then everybody is answered: STABLE.

All groups live on this broker; everything runs on its loop.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import uuid4

from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code
from salon.broker.groups.group import Group, Member, Protocols, State
from salon.broker.groups.offsets import Offsets
from salon.broker.groups.records import GroupState, MemberState, subscribed_topics
from salon.broker.purgatory import DelayedOperation, Purgatory
from salon.broker.timer import Timer, TimerTask
from salon.clock import Clock

log = logging.getLogger(__name__)

_COMPACT_ABOVE_BYTES = 4 << 20
"""About 30 000 commits: read at start in a moment, written in a day of one a few
seconds."""


class Join(NamedTuple):
    """A JoinGroup request."""

    group_id: str
    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    requires_member_id: bool  # JoinGroup v4+ (KIP-394)
    may_skip_assignment: bool  # JoinGroup v9+ (KIP-814)


class JoinResult(NamedTuple):
    """A JoinGroup answer; ``members`` are (id, instance id, metadata), leader only."""

    error: Code
    member_id: str
    generation: int = -1
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    members: tuple[tuple[str, str | None, bytes], ...] = ()
    skip_assignment: bool = False


class SyncResult(NamedTuple):
    """A SyncGroup answer."""

    error: Code
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


class DelayedJoin(DelayedOperation):
    """Waits until every member of a group has joined, or the time for it is over."""

    def __init__(
        self, delay_ms: int, ready: Callable[[], bool], done: Callable[[], None]
    ) -> None:
        super().__init__(delay_ms)
        self._ready = ready
        self._done = done

    def try_complete(self) -> bool:
        return self._ready() and self.force_complete()

    def on_complete(self) -> None:
        self._done()


class GroupCoordinator:
    """All groups of this broker.

    Args:
        config: ``group.*`` settings.
        offsets: what is kept.
        purgatory: where joins wait.
        timer: sessions end by it.
        now_ms: the timer's clock.
        clock: wall time, for what is kept.
    """

    def __init__(
        self,
        config: BrokerConfig,
        offsets: Offsets,
        purgatory: Purgatory,
        timer: Timer,
        now_ms: Callable[[], int],
        clock: Clock,
    ) -> None:
        self.offsets = offsets
        self._config = config
        self._purgatory = purgatory
        self._timer = timer
        self._now_ms = now_ms
        self._clock = clock
        self._groups: dict[str, Group] = {}

    def load(self) -> None:
        """Bring back the groups as the log knows them."""
        for group_id, state in self.offsets.load().items():
            self._groups[group_id] = self._restore(group_id, state)
        for group_id in self.offsets.groups():  # of consumers that assign themselves
            self._groups.setdefault(group_id, Group(group_id))

    def take_over(self, index: int) -> None:
        """This broker leads a partition of ``__consumer_offsets`` from now on."""
        for group_id, state in self.offsets.load_partition(index).items():
            self._groups[group_id] = self._restore(group_id, state)
        for group_id in self.offsets.groups():
            self._groups.setdefault(group_id, Group(group_id))

    def resign(self, index: int) -> None:
        """Another broker leads it: who waits here is told to look for that one."""
        for group in self.all():
            if self.offsets.partition_for(group.id) != index:
                continue
            del self._groups[group.id]
            for task in group.pending.values():
                task.cancel()
            for member in group.members.values():
                if member.session is not None:
                    member.session.cancel()
                for answer in (member.on_join, member.on_sync):
                    if answer is not None:
                        answer(Code.NOT_COORDINATOR)
                member.on_join = member.on_sync = None
        self.offsets.forget_partition(index)

    # --- JoinGroup ---

    def join(self, join: Join, answer: Callable[[JoinResult], None]) -> None:
        """A member wants to be in the next generation; answered when that begins."""
        try:
            self._check_join(join)
            group = self._groups.get(join.group_id)
            if group is None:
                if join.member_id:
                    raise ApiError(Code.UNKNOWN_MEMBER_ID)
                group = self._groups[join.group_id] = Group(join.group_id)
            if not group.supports(join.protocol_type, (n for n, _ in join.protocols)):
                raise ApiError(Code.INCONSISTENT_GROUP_PROTOCOL)
            if join.member_id:
                self._join_known(group, join, answer)
            else:
                self._join_unknown(group, join, answer)
        except ApiError as error:
            answer(JoinResult(error.code, join.member_id))

    def _check_join(self, join: Join) -> None:
        self.check_group(join.group_id)
        low = self._config.group_min_session_timeout_ms
        high = self._config.group_max_session_timeout_ms
        if not low <= join.session_timeout_ms <= high:
            raise ApiError(Code.INVALID_SESSION_TIMEOUT)

    def _join_unknown(
        self, group: Group, join: Join, answer: Callable[[JoinResult], None]
    ) -> None:
        member_id = f"{join.instance_id or join.client_id}-{uuid4()}"
        if join.instance_id is not None and join.instance_id in group.instances:
            self._join_replacing(group, join, member_id, answer)
            return
        if len(group.members) + len(group.pending) >= self._config.group_max_size:
            raise ApiError(Code.GROUP_MAX_SIZE_REACHED)
        if join.instance_id is None and join.requires_member_id:
            task = TimerTask(
                self._now_ms() + join.session_timeout_ms,
                lambda: self._forget_pending(group, member_id),
            )
            group.pending[member_id] = task
            self._timer.add(task)
            answer(JoinResult(Code.MEMBER_ID_REQUIRED, member_id))
            return
        self._add_member(group, join, member_id, answer)

    def _join_replacing(
        self,
        group: Group,
        join: Join,
        member_id: str,
        answer: Callable[[JoinResult], None],
    ) -> None:
        """A static member came back without its member id: it takes its old place."""
        assert join.instance_id is not None
        member, old_id = group.replace_static(join.instance_id, member_id)
        log.info("group %s: %s took over from %s", group.id, member_id, old_id)
        self._update(member, join)
        self._start_session(group, member)
        if group.state is not State.STABLE or group.select_protocol() != group.protocol:
            self._rejoin(group, member, answer)
            return
        # The same generation goes on, without a word to the others. It is stored
        # first, or a crash would bring back the fenced member id.
        leads = group.leader == member_id
        skip = leads and join.may_skip_assignment

        def stored(code: Code) -> None:
            # Without KIP-814 a leader must not be told that it leads, or it would
            # compute a new assignment that nobody else joined for.
            leader = group.leader if skip or not leads else old_id
            members = self._member_list(group) if skip else ()
            answer(
                JoinResult(
                    code,
                    member_id,
                    group.generation,
                    group.protocol_type,
                    group.protocol,
                    leader or "",
                    members,
                    skip,
                )
            )

        self.offsets.store(group.id, self._as_kept(group), stored)

    def _join_known(
        self, group: Group, join: Join, answer: Callable[[JoinResult], None]
    ) -> None:
        pending = group.pending.pop(join.member_id, None)
        if pending is not None:
            pending.cancel()
            self._add_member(group, join, join.member_id, answer)
            return
        member = group.check_member(join.member_id, join.instance_id)
        same = member.protocols == join.protocols
        if (group.state is State.STABLE and same and group.leader != member.id) or (
            group.state is State.COMPLETING_REBALANCE and same
        ):
            self._start_session(group, member)
            answer(self._joined(group, member))
        elif group.state is State.EMPTY:
            raise ApiError(Code.UNKNOWN_MEMBER_ID)
        else:
            self._update(member, join)
            self._rejoin(group, member, answer)

    def _add_member(
        self,
        group: Group,
        join: Join,
        member_id: str,
        answer: Callable[[JoinResult], None],
    ) -> None:
        member = Member(
            member_id,
            instance_id=join.instance_id,
            client_id=join.client_id,
            host=join.host,
            session_timeout_ms=join.session_timeout_ms,
            rebalance_timeout_ms=join.rebalance_timeout_ms,
            protocol_type=join.protocol_type,
            protocols=join.protocols,
        )
        group.add(member)
        group.new_member_added = True
        self._start_session(group, member)
        self._rejoin(group, member, answer)

    def _rejoin(
        self, group: Group, member: Member, answer: Callable[[JoinResult], None]
    ) -> None:
        """``member`` waits for the next generation."""

        def on_join(error: Code = Code.NONE) -> None:
            if error is not Code.NONE:
                answer(JoinResult(error, member.id))
            else:
                answer(self._joined(group, member))

        if member.on_join is not None:  # its client gave up on the request before
            before, member.on_join = member.on_join, None
            before(Code.UNKNOWN_MEMBER_ID)
        member.on_join = on_join
        if group.state is State.PREPARING_REBALANCE:
            self._purgatory.check_and_complete(group.id)
        else:
            self._prepare_rebalance(group)

    def _prepare_rebalance(self, group: Group) -> None:
        was_empty = group.state is State.EMPTY
        self._answer_syncs(group, Code.REBALANCE_IN_PROGRESS)
        group.become(State.PREPARING_REBALANCE)
        delay = self._config.group_initial_rebalance_delay_ms if was_empty else 0
        if delay:
            operation = DelayedJoin(
                delay, lambda: False, lambda: self._complete_join(group)
            )
            self._purgatory.try_complete_else_watch(operation, [group.id])
        else:
            self._wait_for_joins(group)

    def _wait_for_joins(self, group: Group) -> None:
        operation = DelayedJoin(
            group.rebalance_timeout_ms,
            lambda: group.all_joined,
            lambda: self._complete_join(group),
        )
        self._purgatory.try_complete_else_watch(operation, [group.id])

    def _complete_join(self, group: Group) -> None:
        """Begin the next generation with whoever has joined."""
        if group.state is not State.PREPARING_REBALANCE:
            return
        if self._groups.get(group.id) is not group:
            return  # another broker coordinates it by now
        for member in list(group.members.values()):
            # A static member that is away keeps its place until its session ends.
            if member.on_join is None and member.instance_id is None:
                log.info("group %s: %s did not rejoin in time", group.id, member.id)
                group.remove(member.id)
        joined = [m.id for m in group.members.values() if m.on_join is not None]
        if group.members and not joined:
            self._wait_for_joins(group)  # static members all: nobody is there to lead
            return
        if joined and group.leader not in joined:
            group.leader = joined[0]
        group.next_generation()
        if not group.members:
            log.info("group %s is empty, generation %d", group.id, group.generation)
            self.offsets.store(group.id, self._as_kept(group), lambda _: None)
            return
        for member in list(group.members.values()):
            answer, member.on_join = member.on_join, None
            self._start_session(group, member)
            if answer is not None:
                answer()

    def _joined(self, group: Group, member: Member) -> JoinResult:
        members = self._member_list(group) if group.leader == member.id else ()
        return JoinResult(
            Code.NONE,
            member.id,
            group.generation,
            group.protocol_type,
            group.protocol,
            group.leader or "",
            members,
        )

    def _member_list(self, group: Group) -> tuple[tuple[str, str | None, bytes], ...]:
        protocol = group.protocol or ""
        return tuple(
            (m.id, m.instance_id, m.metadata(protocol)) for m in group.members.values()
        )

    # --- SyncGroup ---

    def sync(
        self,
        group_id: str,
        generation: int,
        member_id: str,
        instance_id: str | None,
        assignments: Iterable[tuple[str, bytes]],
        answer: Callable[[SyncResult], None],
    ) -> None:
        """A member wants its assignment; the leader brings everybody's."""
        try:
            group = self._existing(group_id)
            member = group.check_member(member_id, instance_id, generation)
        except ApiError as error:
            answer(SyncResult(error.code))
            return
        if group.state is State.PREPARING_REBALANCE:
            answer(SyncResult(Code.REBALANCE_IN_PROGRESS))
        elif group.state is State.STABLE:
            self._start_session(group, member)
            answer(self._synced(group, member))
        elif group.state is State.COMPLETING_REBALANCE:
            self._wait_for_assignment(group, member, answer)
            if group.leader == member_id:
                self._assign(group, dict(assignments))
        else:
            answer(SyncResult(Code.UNKNOWN_MEMBER_ID))

    def _wait_for_assignment(
        self, group: Group, member: Member, answer: Callable[[SyncResult], None]
    ) -> None:
        def on_sync(error: Code = Code.NONE) -> None:
            if error is not Code.NONE:
                answer(SyncResult(error))
            else:
                answer(self._synced(group, member))

        if member.on_sync is not None:  # its client gave up on the request before
            before, member.on_sync = member.on_sync, None
            before(Code.REBALANCE_IN_PROGRESS)
        member.on_sync = on_sync

    def _assign(self, group: Group, assignments: dict[str, bytes]) -> None:
        generation = group.generation
        kept = self._as_kept(group, assignments)

        def stored(code: Code) -> None:
            if group.state is not State.COMPLETING_REBALANCE:
                return
            if group.generation != generation:
                return
            if code is not Code.NONE:
                self._answer_syncs(group, code)
                self._prepare_rebalance(group)
                return
            for member in group.members.values():
                member.assignment = assignments.get(member.id, b"")
            group.become(State.STABLE)
            self._answer_syncs(group, Code.NONE)

        self.offsets.store(group.id, kept, stored)

    def _answer_syncs(self, group: Group, code: Code) -> None:
        for member in list(group.members.values()):
            answer, member.on_sync = member.on_sync, None
            if answer is not None:
                self._start_session(group, member)
                answer(code)

    def _synced(self, group: Group, member: Member) -> SyncResult:
        return SyncResult(
            Code.NONE, group.protocol_type, group.protocol, member.assignment
        )

    # --- Heartbeat, LeaveGroup, sessions ---

    def heartbeat(
        self, group_id: str, generation: int, member_id: str, instance_id: str | None
    ) -> Code:
        """A member is alive."""
        try:
            group = self._existing(group_id)
            member = group.check_member(member_id, instance_id, generation)
        except ApiError as error:
            return error.code
        member.heard_ms = self._now_ms()
        if group.state is State.PREPARING_REBALANCE:
            return Code.REBALANCE_IN_PROGRESS
        return Code.NONE

    def leave(self, group_id: str, member_id: str, instance_id: str | None) -> Code:
        """A member goes. With an instance id and no member id: an admin removes it."""
        try:
            group = self._existing(group_id)
            if instance_id is not None and not member_id:
                member_id = group.instances.get(instance_id, "")
            pending = group.pending.pop(member_id, None)
            if pending is not None:
                pending.cancel()
                self._purgatory.check_and_complete(group.id)
                return Code.NONE
            member = group.check_member(member_id, instance_id)
        except ApiError as error:
            return error.code
        self._remove(group, member)
        return Code.NONE

    def _remove(self, group: Group, member: Member) -> None:
        group.remove(member.id)
        for answer in (member.on_join, member.on_sync):
            if answer is not None:
                answer(Code.UNKNOWN_MEMBER_ID)
        member.on_join = member.on_sync = None
        if group.state in (State.STABLE, State.COMPLETING_REBALANCE):
            self._prepare_rebalance(group)
        elif group.state is State.PREPARING_REBALANCE:
            self._purgatory.check_and_complete(group.id)

    def _forget_pending(self, group: Group, member_id: str) -> None:
        if group.pending.pop(member_id, None) is not None:
            self._purgatory.check_and_complete(group.id)

    def _start_session(self, group: Group, member: Member) -> None:
        """``member`` was heard of now; begin to watch its session."""
        member.heard_ms = self._now_ms()
        if member.session is None or not member.session.pending:
            self._watch_session(group, member)

    def _watch_session(self, group: Group, member: Member) -> None:
        # One timer per member that moves itself on, instead of one per heartbeat.
        deadline = member.heard_ms + member.session_timeout_ms
        member.session = TimerTask(deadline, lambda: self._session_ended(group, member))
        self._timer.add(member.session)

    def _session_ended(self, group: Group, member: Member) -> None:
        if group.members.get(member.id) is not member:
            return
        if member.waiting:
            member.heard_ms = self._now_ms()
        if member.heard_ms + member.session_timeout_ms > self._now_ms():
            self._watch_session(group, member)
            return
        log.info("group %s: session of %s ended", group.id, member.id)
        self._remove(group, member)

    # --- offsets ---

    def check_commit(
        self, group_id: str, generation: int, member_id: str, instance_id: str | None
    ) -> None:
        """Whether a commit may be kept.

        Raises:
            ApiError: theirs; not a member, or of another generation.
        """
        self.check_group(group_id)
        group = self._groups.get(group_id)
        if generation < 0 and not member_id:
            # A consumer that assigns itself; it may not disturb a living group.
            if group is not None and group.members:
                raise ApiError(Code.UNKNOWN_MEMBER_ID)
            if group is None:
                self._groups[group_id] = Group(group_id)
            return
        if group is None:
            raise ApiError(Code.ILLEGAL_GENERATION)
        member = group.check_member(member_id, instance_id, generation)
        if group.state is State.COMPLETING_REBALANCE:
            raise ApiError(Code.REBALANCE_IN_PROGRESS)
        member.heard_ms = self._now_ms()

    # --- admin ---

    def all(self) -> list[Group]:
        return list(self._groups.values())

    def get(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    def topics_read(self, group_id: str) -> set[str]:
        """Topics that members of a group subscribe to.

        Raises:
            ApiError: theirs; no such group, or one that is no group of consumers and
                has members.
        """
        group = self._groups.get(group_id)
        if group is None and not self.offsets.get(group_id):
            raise ApiError(Code.GROUP_ID_NOT_FOUND)
        if group is None or not group.members:
            return set()
        if group.protocol_type != "consumer":
            raise ApiError(Code.NON_EMPTY_GROUP)
        return {
            topic
            for member in group.members.values()
            for _, data in member.protocols
            for topic in subscribed_topics(data)
        }

    def delete(self, group_id: str, done: Callable[[Code], None]) -> None:
        """Forget a group that has no members."""
        group = self._groups.get(group_id)
        if group is None:
            done(Code.GROUP_ID_NOT_FOUND)
        elif group.members:
            done(Code.NON_EMPTY_GROUP)
        else:
            group.become(State.DEAD)
            del self._groups[group_id]
            self.offsets.forget(group_id, done)

    def check_group(self, group_id: str) -> None:
        """Whether a group may be asked about here.

        Raises:
            ApiError: theirs; it has no name, or another broker coordinates it.
        """
        if not group_id:
            raise ApiError(Code.INVALID_GROUP_ID)
        if not self.offsets.leads(group_id):
            raise ApiError(Code.NOT_COORDINATOR)

    def _existing(self, group_id: str) -> Group:
        self.check_group(group_id)
        group = self._groups.get(group_id)
        if group is None:
            raise ApiError(Code.UNKNOWN_MEMBER_ID)
        return group

    # --- keeping ---

    def compact(self) -> None:
        """Let ``__consumer_offsets`` be no larger than what it says."""
        states = {
            group.id: self._as_kept(group)
            for group in self._groups.values()
            if group.generation
        }
        self.offsets.compact(states, _COMPACT_ABOVE_BYTES)

    def _update(self, member: Member, join: Join) -> None:
        member.protocols = join.protocols
        member.session_timeout_ms = join.session_timeout_ms
        member.rebalance_timeout_ms = join.rebalance_timeout_ms
        member.client_id = join.client_id
        member.host = join.host

    def _as_kept(
        self, group: Group, assignments: dict[str, bytes] | None = None
    ) -> GroupState:
        def assigned(member: Member) -> bytes:
            if assignments is None:
                return member.assignment
            return assignments.get(member.id, b"")

        members = tuple(
            MemberState(
                m.id,
                m.instance_id,
                m.client_id,
                m.host,
                m.rebalance_timeout_ms,
                m.session_timeout_ms,
                m.metadata(group.protocol or ""),
                assigned(m),
            )
            for m in group.members.values()
        )
        return GroupState(
            group.protocol_type or "",
            group.generation,
            group.protocol,
            group.leader,
            self._clock.now_ms(),
            members,
        )

    def _restore(self, group_id: str, state: GroupState) -> Group:
        group = Group(group_id)
        group.generation = state.generation
        group.protocol_type = state.protocol_type or None
        for kept in state.members:
            member = Member(
                kept.member_id,
                instance_id=kept.instance_id,
                client_id=kept.client_id,
                host=kept.host,
                session_timeout_ms=kept.session_timeout_ms,
                rebalance_timeout_ms=kept.rebalance_timeout_ms,
                protocol_type=state.protocol_type,
                protocols=[(state.protocol or "", kept.subscription)],
            )
            member.assignment = kept.assignment
            group.add(member)
            self._start_session(group, member)
        if group.members:
            group.protocol = state.protocol
            group.leader = state.leader
            group.state = State.STABLE
        return group

    def describe(self, group: Group) -> list[dict[str, Any]]:
        """The members, with the fields of DescribeGroups."""
        stable = group.state is State.STABLE
        return [
            {
                "member_id": m.id,
                "group_instance_id": m.instance_id,
                "client_id": m.client_id,
                "client_host": m.host,
                "member_metadata": m.metadata(group.protocol or ""),
                "member_assignment": m.assignment if stable else b"",
            }
            for m in group.members.values()
        ]
