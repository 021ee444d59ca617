"""One consumer group: its members, its generation, its state.

(``GroupMetadata.scala``; KIP-345 for static members.) The states and the only ways
between them::

    EMPTY ──────────► PREPARING_REBALANCE ──► COMPLETING_REBALANCE ──► STABLE
      ▲                  ▲    │    ▲                  │                  │
      └──────────────────┼────┘    └──────────────────┴──────────────────┘
                         DEAD (deleted)

PREPARING: members send JoinGroup; COMPLETING: the leader assigns in SyncGroup.
A *static* member has an instance id of its own (``group.instance.id``). When it comes
back under the same instance id it takes its old place with a new member id, and the old
member id is fenced: a restarted server is served at once instead of after a session
timeout.

This module decides about data only. Waiting, persistence and the order of answers are
the coordinator's.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from salon.broker.errors import ApiError, Code
from salon.broker.timer import TimerTask

Protocols = list[tuple[str, bytes]]


class State(Enum):
    """Under the names that ListGroups and DescribeGroups show."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


_BEFORE = {
    State.PREPARING_REBALANCE: (
        State.STABLE,
        State.COMPLETING_REBALANCE,
        State.EMPTY,
    ),
    State.COMPLETING_REBALANCE: (State.PREPARING_REBALANCE,),
    State.STABLE: (State.COMPLETING_REBALANCE,),
    State.EMPTY: (State.PREPARING_REBALANCE,),
    State.DEAD: tuple(State),
}


class Member:
    """One member. ``on_join`` and ``on_sync`` answer the request that waits."""

    def __init__(
        self,
        member_id: str,
        *,
        instance_id: str | None,
        client_id: str,
        host: str,
        session_timeout_ms: int,
        rebalance_timeout_ms: int,
        protocol_type: str,
        protocols: Protocols,
    ) -> None:
        self.id = member_id
        self.instance_id = instance_id
        self.client_id = client_id
        self.host = host
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.protocol_type = protocol_type
        self.protocols = protocols
        self.assignment = b""
        self.on_join: Callable[..., None] | None = None
        self.on_sync: Callable[..., None] | None = None
        self.session: TimerTask | None = None
        self.heard_ms = 0

    @property
    def waiting(self) -> bool:
        """A member with a request in our hands is alive, whatever the clock says."""
        return self.on_join is not None or self.on_sync is not None

    def metadata(self, protocol: str) -> bytes:
        """What the member said for ``protocol``."""
        for name, data in self.protocols:
            if name == protocol:
                return data
        return b""


class Group:
    """A consumer group.

    Args:
        group_id: its name.
    """

    def __init__(self, group_id: str) -> None:
        self.id = group_id
        self.state = State.EMPTY
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.instances: dict[str, str] = {}  # instance id -> member id
        self.pending: dict[str, TimerTask] = {}  # told to come back with this id
        self.new_member_added = False

    def become(self, state: State) -> None:
        if self.state not in _BEFORE[state]:
            raise AssertionError(f"group {self.id}: {self.state} -> {state}")
        self.state = state

    # --- members ---

    def add(self, member: Member) -> None:
        if not self.members:
            self.protocol_type = member.protocol_type
        if self.leader is None:
            self.leader = member.id
        self.members[member.id] = member
        if member.instance_id is not None:
            self.instances[member.instance_id] = member.id

    def remove(self, member_id: str) -> Member | None:
        member = self.members.pop(member_id, None)
        if member is None:
            return None
        if member.instance_id is not None:
            self.instances.pop(member.instance_id, None)
        if member.session is not None:
            member.session.cancel()
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        return member

    def replace_static(self, instance_id: str, member_id: str) -> tuple[Member, str]:
        """Give the place of ``instance_id`` to ``member_id``.

        Returns:
            The member, and the id it had before, which is fenced now.
        """
        old_id = self.instances[instance_id]
        member = self.members.pop(old_id)
        if member.session is not None:
            member.session.cancel()
        # Whoever still waits under the old id is a zombie.
        for attribute in ("on_join", "on_sync"):
            waiting = getattr(member, attribute)
            setattr(member, attribute, None)
            if waiting is not None:
                waiting(Code.FENCED_INSTANCE_ID)
        member.id = member_id
        self.members[member_id] = member
        self.instances[instance_id] = member_id
        if self.leader == old_id:
            self.leader = member_id
        return member, old_id

    def check_member(
        self, member_id: str, instance_id: str | None, generation: int | None = None
    ) -> Member:
        """The member that a request speaks for.

        Raises:
            ApiError: theirs; fenced, unknown, or of another generation.
        """
        if instance_id is not None:
            current = self.instances.get(instance_id)
            if current is None:
                raise ApiError(Code.UNKNOWN_MEMBER_ID)
            if current != member_id:
                raise ApiError(
                    Code.FENCED_INSTANCE_ID,
                    f"another member took the place of {instance_id!r}",
                )
        member = self.members.get(member_id)
        if member is None:
            raise ApiError(Code.UNKNOWN_MEMBER_ID)
        if generation is not None and generation != self.generation:
            raise ApiError(Code.ILLEGAL_GENERATION)
        return member

    # --- protocols ---

    def supports(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Whether a newcomer shares a protocol with everybody here."""
        offered = set(names)
        if not offered or not protocol_type:
            return False
        if not self.members:
            return True
        return protocol_type == self.protocol_type and bool(
            offered & self._common_protocols()
        )

    def _common_protocols(self) -> set[str]:
        offers = [{name for name, _ in m.protocols} for m in self.members.values()]
        return set.intersection(*offers) if offers else set()

    def select_protocol(self) -> str:
        """The protocol that most members like best, of those that all know."""
        common = self._common_protocols()
        votes: dict[str, int] = {}
        for member in self.members.values():
            favourite = next(name for name, _ in member.protocols if name in common)
            votes[favourite] = votes.get(favourite, 0) + 1
        return max(votes, key=lambda name: votes[name])

    # --- generations ---

    def next_generation(self) -> None:
        """Everybody who stays has joined: begin a generation."""
        self.generation += 1
        self.new_member_added = False
        if self.members:
            self.protocol = self.select_protocol()
            self.become(State.COMPLETING_REBALANCE)
        else:
            self.protocol = None
            self.become(State.EMPTY)

    @property
    def all_joined(self) -> bool:
        return not self.pending and all(
            m.on_join is not None for m in self.members.values()
        )

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((m.rebalance_timeout_ms for m in self.members.values()), default=0)

    def snapshot(self) -> dict[str, Any]:
        """What DescribeGroups shows."""
        return {
            "group_state": self.state.value,
            "protocol_type": self.protocol_type or "",
            "protocol_data": self.protocol or "",
        }
