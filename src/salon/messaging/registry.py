"""Who is connected, on all servers: Spring's SimpUserRegistry.

Theory of operation
-------------------
A server knows its own sessions (``users.UserRegistry``). Of the others it knows what
they report. All reports of all servers stand in **one** partition of the log, so
everybody hears them in one order; what can go wrong is that a report is missing (the
log took it not, or a reader was away for longer than it is kept) or that a server began
anew. Both show in two values: the ``incarnation`` of a server, chosen at its start, and
the ``number`` of each of its reports.

* A report says what changed: sessions that are new or have other subscriptions, each as
  a whole, and sessions that are gone. An empty one is a heart-beat, every 10 s.
* A report marked ``whole`` begins anew: what was known of the server is forgotten.
* Who hears a number that is not the next one believes nothing of it, and asks
  (``Wanted``): the server answers with all it has, in parts.
* A server that is silent for 30 s is dead, and so are its sessions.
* Who hears of a server for the first time reports all it has: the newcomer does not
  know it. As long as a server is alone it reports nothing but heart-beats.

So a lone server pays one small record in 10 s, and several pay for what changes. What
is known of the others is late by the way through the log (tens of milliseconds), and
never trusted for rights.

Bounds: ``NODES_MAX`` servers, ``SESSIONS_MAX`` sessions of each (a session has at most
200 subscriptions, STOMP's own limit here). What goes beyond is left out and logged.

No I/O here: ``nodes.Nodes`` carries reports.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from salon.clock import Clock
from salon.messaging.events import SessionEvents
from salon.messaging.sessions import Session
from salon.messaging.users import UserRegistry

log = structlog.get_logger("salon.messaging")

HEARTBEAT_S = 10.0
EXPIRY_S = 30.0
NODES_MAX = 64
SESSIONS_MAX = 100_000
PART_BYTES = 256 * 1024
"""Of a report, about: a session may add 200 KiB, and a record of the log has 1 MiB."""
ASK_AGAIN_S = 5.0
"""For a missed report that was asked for and did not come."""
_NEVER = float("-inf")


# ------------------------------------------------------------ what travels


class SessionReport(msgspec.Struct, frozen=True, array_like=True):
    """One session: its id, its user, its subscriptions as (id, destination)."""

    id: str
    user: str
    subscriptions: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        return 64 + sum(8 + len(i) + len(d) for i, d in self.subscriptions)


class Report(msgspec.Struct, tag="report", frozen=True, omit_defaults=True):
    """What one server says of its sessions; see the theory of operation."""

    node: str
    incarnation: str
    number: int
    whole: bool = False
    here: tuple[SessionReport, ...] = ()
    gone: tuple[str, ...] = ()
    bye: bool = False


class Wanted(msgspec.Struct, tag="wanted", frozen=True):
    """Somebody has missed a report of ``node``."""

    node: str


# ------------------------------------------------------------ what is asked for


@dataclass(frozen=True, slots=True)
class SimpSubscription:
    """One subscription of one session."""

    id: str
    destination: str
    session: str
    user: str
    node: str


@dataclass(frozen=True, slots=True)
class SimpSession:
    """One connection of a user."""

    id: str
    user: str
    node: str
    subscriptions: tuple[SimpSubscription, ...]


@dataclass(frozen=True, slots=True)
class SimpUser:
    """A user with at least one session somewhere; ``name`` is ``Principal.id``."""

    name: str
    sessions: tuple[SimpSession, ...]

    def session(self, id_: str) -> SimpSession | None:
        return next((one for one in self.sessions if one.id == id_), None)


@dataclass(slots=True)
class _Peer:
    """What is known of another server."""

    incarnation: str
    number: int = -1
    complete: bool = False
    heard: float = 0.0
    asked: float = _NEVER
    sessions: dict[str, SessionReport] = field(default_factory=dict)
    users: dict[str, dict[str, None]] = field(default_factory=dict)
    cut: bool = False

    def put(self, node: str, session: SessionReport) -> None:
        self.drop(session.id)
        if len(self.sessions) >= SESSIONS_MAX:
            if not self.cut:
                log.warning("registry.too_many_sessions", node=node, most=SESSIONS_MAX)
            self.cut = True
            return
        self.sessions[session.id] = session
        self.users.setdefault(session.user, {})[session.id] = None

    def drop(self, id_: str) -> None:
        session = self.sessions.pop(id_, None)
        if session is None:
            return
        theirs = self.users[session.user]
        del theirs[id_]
        if not theirs:
            del self.users[session.user]

    def forget(self) -> None:
        self.sessions.clear()
        self.users.clear()
        self.cut = False


class MultiServerUserRegistry:
    """Users, sessions and subscriptions of all servers.

    Args:
        node: this server's name, as in the log.
        incarnation: of this start; any text that did not occur before.
        users: the sessions of this server.
    """

    def __init__(
        self, node: str, incarnation: str, users: UserRegistry, clock: Clock
    ) -> None:
        self.node = node
        self._incarnation = incarnation
        self._local = users
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._number = 0
        self._whole = True
        self._changed: dict[str, None] = {}
        self.on_change: Callable[[], None] = lambda: None

    def listen(self, events: SessionEvents) -> None:
        """Hear of this server's sessions."""
        events.connected.append(self._touched)
        events.disconnected.append(self._touched)
        events.subscribed.append(lambda session, _: self._touched(session))
        events.unsubscribed.append(lambda session, _: self._touched(session))

    # ------------------------------------------------------------ questions

    @property
    def nodes(self) -> list[str]:
        """Servers that live, this one first."""
        return [self.node, *self._live()]

    @property
    def users(self) -> list[SimpUser]:
        """Everybody who is connected somewhere; walks over all sessions."""
        names = dict.fromkeys(self._local.users())
        for peer in self._live().values():
            names.update(dict.fromkeys(peer.users))
        return [user for name in names if (user := self.get_user(name)) is not None]

    @property
    def user_count(self) -> int:
        names = set(self._local.users())
        for peer in self._live().values():
            names.update(peer.users)
        return len(names)

    def get_user(self, name: str) -> SimpUser | None:
        """A user (by ``Principal.id``) with the sessions they have; None: has none."""
        sessions = [
            _shown(self.node, _reported(session))
            for session in self._local.sessions_of(name)
        ]
        for node, peer in self._live().items():
            sessions += [
                _shown(node, peer.sessions[id_]) for id_ in peer.users.get(name, ())
            ]
        return SimpUser(name, tuple(sessions)) if sessions else None

    def find_subscriptions(
        self, matcher: Callable[[SimpSubscription], bool]
    ) -> list[SimpSubscription]:
        """The subscriptions, on all servers, of which ``matcher`` says yes."""
        return [one for one in self._subscriptions() if matcher(one)]

    @property
    def alone(self) -> bool:
        """No other server lives."""
        return not self._live()

    def elsewhere(self, users: Sequence[str]) -> dict[str, list[str]]:
        """Which of ``users`` have sessions on other servers: server → users."""
        found = {}
        for node, peer in self._live().items():
            there = [user for user in users if user in peer.users]
            if there:
                found[node] = there
        return found

    def _subscriptions(self) -> Iterator[SimpSubscription]:
        for session in self._local:
            yield from _shown(self.node, _reported(session)).subscriptions
        for node, peer in self._live().items():
            for report in list(peer.sessions.values()):
                yield from _shown(node, report).subscriptions

    # ------------------------------------------------------------ what others say

    def heard(self, said: Report | Wanted) -> Wanted | None:
        """Take a record of the log; a question, where something is missing."""
        if isinstance(said, Wanted):
            if said.node == self.node:
                self.begin_anew()
            return None
        if said.node == self.node:
            if said.incarnation != self._incarnation and not said.bye:
                log.warning("registry.same_name", node=said.node)
            return None
        peer = self._peer(said)
        if peer is None:
            return None
        if said.bye:
            del self._peers[said.node]
            return None
        return self._apply(said, peer)

    def _peer(self, said: Report) -> _Peer | None:
        """What is known of who speaks; None: nothing, and it stays so."""
        peer = self._live().get(said.node)
        if peer is None or peer.incarnation != said.incarnation:
            if said.bye:
                return None  # of a start that has been followed by another
            if peer is None and len(self._peers) >= NODES_MAX:
                log.warning("registry.too_many_nodes", node=said.node, most=NODES_MAX)
                return None
            peer = self._peers[said.node] = _Peer(said.incarnation)
            self.begin_anew()  # it does not know us
        peer.heard = self._clock.monotonic()
        return peer

    def _apply(self, said: Report, peer: _Peer) -> Wanted | None:
        if said.whole:
            peer.forget()
            peer.complete = True
            peer.asked = _NEVER
        elif not peer.complete or said.number != peer.number + 1:
            peer.complete = False
            if peer.heard - peer.asked < ASK_AGAIN_S:
                return None
            peer.asked = peer.heard
            return Wanted(said.node)
        peer.number = said.number
        for id_ in said.gone:
            peer.drop(id_)
        for session in said.here:
            peer.put(said.node, session)
        return None

    def _live(self) -> dict[str, _Peer]:
        """The others, without those that were silent for too long."""
        if self._peers:
            oldest = self._clock.monotonic() - EXPIRY_S
            dead = [n for n, peer in self._peers.items() if peer.heard < oldest]
            for node in dead:
                log.warning("registry.node_silent", node=node, seconds=EXPIRY_S)
                del self._peers[node]
        return self._peers

    # ------------------------------------------------------------ what we say

    def begin_anew(self, *, now: bool = True) -> None:
        """Say everything, now or at the next heart-beat: somebody missed something."""
        self._whole = True
        if now:
            self.on_change()

    def reports(self) -> Iterator[Report]:
        """What is to be said now, in this order; at least a heart-beat.

        A part is made when it is asked for (4 ms for 1,500 sessions), so that other
        things can be done between two; what changes meanwhile is said next time.
        """
        if self.alone:
            self._whole = True  # who comes later is told everything
            self._changed.clear()
            yield self._report((), ())
            return
        whole, self._whole = self._whole, False
        changed = [one.id for one in self._local] if whole else list(self._changed)
        self._changed.clear()
        here: list[SessionReport] = []
        gone: list[str] = []
        size = 0
        for id_ in changed:
            session = self._local.session(id_)
            if session is None:
                gone.append(id_)
                size += 32
            else:
                here.append(_reported(session))
                size += here[-1].size
            if size >= PART_BYTES:
                yield self._report(here, gone, whole=whole)
                here, gone, size, whole = [], [], 0, False
        yield self._report(here, gone, whole=whole)

    def farewell(self) -> Report:
        """The last word of a server that stops."""
        return Report(self.node, self._incarnation, self._number, bye=True)

    def _report(
        self,
        here: Sequence[SessionReport],
        gone: Sequence[str],
        *,
        whole: bool = False,
    ) -> Report:
        self._number += 1
        return Report(
            self.node, self._incarnation, self._number, whole, tuple(here), tuple(gone)
        )

    def _touched(self, session: Session) -> None:
        if not self._peers:
            return
        if len(self._changed) >= SESSIONS_MAX:  # the log takes nothing for long
            self._changed.clear()
            self.begin_anew()
        self._changed[session.id] = None
        self.on_change()


def _reported(session: Session) -> SessionReport:
    return SessionReport(
        session.id,
        session.principal.id,
        tuple((one.id, one.destination) for one in session.subscriptions.values()),
    )


def _shown(node: str, report: SessionReport) -> SimpSession:
    return SimpSession(
        report.id,
        report.user,
        node,
        tuple(
            SimpSubscription(id_, destination, report.id, report.user, node)
            for id_, destination in report.subscriptions
        ),
    )
