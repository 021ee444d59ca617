"""Users of several servers: what is reported, what is missed, who is dead."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salon.clock import ManualClock
from salon.messaging import registry as registries
from salon.messaging.events import SessionEvents, tell
from salon.messaging.registry import (
    EXPIRY_S,
    MultiServerUserRegistry,
    Report,
    SessionReport,
    Wanted,
)
from salon.messaging.sessions import Session
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.users import UserRegistry
from salon.stomp.frames import Version
from tests.messaging.world import FakeChannel, principal


class Server:
    """One of several; what it says goes into the log that all share."""

    def __init__(self, name, log, clock, start="1"):
        self.name, self.log, self.read = name, log, len(log)
        self.users, self.events = UserRegistry(), SessionEvents()
        self.subscriptions = SubscriptionRegistry()
        self.registry = MultiServerUserRegistry(name, start, self.users, clock)
        self.registry.listen(self.events)

    def connect(self, user, id_):
        session = Session(id_, principal(user), FakeChannel(id_), Version.V12, 0)
        self.users.add(session)
        tell(self.events.connected, session)
        return session

    def subscribe(self, session, id_, destination):
        made = self.subscriptions.add(session, id_, destination)
        tell(self.events.subscribed, session, made)

    def unsubscribe(self, session, id_):
        made = self.subscriptions.remove(session, id_)
        tell(self.events.unsubscribed, session, made)

    def disconnect(self, session):
        self.subscriptions.remove_all(session)
        self.users.remove(session)
        tell(self.events.disconnected, session)

    def say(self):
        self.log.extend(self.registry.reports())

    def hear(self):
        while self.read < len(self.log):
            said = self.log[self.read]
            self.read += 1
            wanted = self.registry.heard(said)
            if wanted is not None:
                self.log.append(wanted)

    def seen(self):
        """user → sessions → destinations, as this server knows it."""
        return {
            user.name: {
                one.id: sorted(each.destination for each in one.subscriptions)
                for one in user.sessions
            }
            for user in self.registry.users
        }


@pytest.fixture
def clock():
    return ManualClock()


def exchange(*servers, rounds=3):
    for _ in range(rounds):
        for server in servers:
            server.say()
        for server in servers:
            server.hear()


@pytest.fixture
def three(clock):
    log = []
    servers = [Server(name, log, clock) for name in ("one", "two", "three")]
    exchange(*servers)
    return servers


def test_every_server_knows_the_users_of_all(three):
    one, two, three_ = three
    ann = one.connect("ann", "a1")
    one.subscribe(ann, "0", "/topic/news")
    bob = two.connect("bob", "b1")
    two.subscribe(bob, "0", "/user/queue/events")
    three_.connect("ann", "a2")
    exchange(*three, rounds=1)

    expected = {
        "ann": {"a1": ["/topic/news"], "a2": []},
        "bob": {"b1": ["/user/queue/events"]},
    }
    assert [server.seen() for server in three] == [expected] * 3
    assert two.registry.user_count == 2
    assert two.registry.get_user("ann").session("a2").node == "three"
    assert two.registry.get_user("nobody") is None
    assert sorted(one.registry.nodes) == ["one", "three", "two"]


def test_subscriptions_are_found_by_a_matcher_on_all_servers(three):
    one, two, _ = three
    for server, name in ((one, "ann"), (two, "bob")):
        session = server.connect(name, f"{name}-1")
        server.subscribe(session, "0", "/topic/news")
        server.subscribe(session, "1", "/topic/other")
    exchange(*three, rounds=1)
    found = three[2].registry.find_subscriptions(
        lambda one: one.destination == "/topic/news"
    )

    assert {(s.user, s.node, s.id) for s in found} == {
        ("ann", "one", "0"),
        ("bob", "two", "0"),
    }


def test_who_unsubscribes_or_goes_is_forgotten_everywhere(three):
    one, two, _ = three
    ann = one.connect("ann", "a1")
    one.subscribe(ann, "0", "/topic/news")
    exchange(*three, rounds=1)
    one.unsubscribe(ann, "0")
    exchange(*three, rounds=1)
    assert two.seen() == {"ann": {"a1": []}}
    one.disconnect(ann)
    exchange(*three, rounds=1)

    assert two.seen() == {}
    assert two.registry.elsewhere(["ann"]) == {}


def test_routes_name_the_other_servers_only(three):
    one, two, three_ = three
    one.connect("ann", "a1")
    two.connect("ann", "a2")
    three_.connect("bob", "b1")
    exchange(*three, rounds=1)

    assert one.registry.elsewhere(["ann", "bob", "cat"]) == {
        "two": ["ann"],
        "three": ["bob"],
    }
    assert not one.registry.alone


def test_a_lone_server_reports_heart_beats_only_and_a_newcomer_hears_all(clock):
    log = []
    old = Server("old", log, clock)
    for n in range(10):
        old.connect(f"u{n}", f"s{n}")
    old.say()
    old.say()
    assert all(not report.here and not report.whole for report in log)

    new = Server("new", log, clock)
    exchange(old, new)
    assert new.seen() == old.seen()
    assert len(new.seen()) == 10


def test_a_missed_report_is_noticed_and_made_good(three):
    one, two, _ = three
    one.connect("ann", "a1")
    list(one.registry.reports())  # lost on the way
    one.connect("bob", "b1")
    one.say()
    two.hear()
    assert Wanted("one") in two.log
    exchange(*three)

    assert two.seen() == {"ann": {"a1": []}, "bob": {"b1": []}}


def test_a_server_that_asks_does_not_ask_again_at_once(three):
    one, two, _ = three
    before = two.log.count(Wanted("one"))
    list(one.registry.reports())
    for name in ("ann", "bob"):
        one.connect(name, name)
        one.say()
        two.hear()

    assert two.log.count(Wanted("one")) == before + 1


def test_a_silent_server_is_dead_and_so_are_its_sessions(three, clock):
    one, two, three_ = three
    one.connect("ann", "a1")
    two.connect("bob", "b1")
    exchange(*three, rounds=1)
    clock.advance(EXPIRY_S - 1)
    exchange(two, three_, rounds=1)
    assert "ann" in two.seen()
    clock.advance(2)
    assert two.seen() == {"bob": {"b1": []}}
    assert two.registry.elsewhere(["ann"]) == {}
    assert two.registry.nodes == ["two", "three"]

    exchange(*three)  # it was only cut off
    assert "ann" in two.seen()


def test_a_server_that_stops_says_goodbye(three):
    one, two, _ = three
    one.connect("ann", "a1")
    exchange(*three, rounds=1)
    one.log.append(one.registry.farewell())
    two.hear()

    assert (two.seen(), "one" in two.registry.nodes) == ({}, False)


def test_a_server_that_began_anew_has_only_what_it_has_now(three, clock):
    one, two, three_ = three
    one.connect("ann", "a1")
    exchange(*three, rounds=1)
    again = Server("one", one.log, clock, start="2")
    again.connect("bob", "b1")
    exchange(again, two, three_)
    assert two.seen() == {"bob": {"b1": []}}

    two.log.append(one.registry.farewell())  # late, of the start before
    two.hear()
    assert two.seen() == {"bob": {"b1": []}}


def test_many_sessions_are_reported_in_parts(clock, monkeypatch):
    monkeypatch.setattr(registries, "PART_BYTES", 1000)
    log = []
    one, two = Server("one", log, clock), Server("two", log, clock)
    exchange(one, two)
    for n in range(100):
        session = one.connect(f"u{n}", f"s{n}")
        one.subscribe(session, "0", f"/topic/{n}")
    one.registry.begin_anew()
    reports = list(one.registry.reports())
    log.extend(reports)
    two.hear()

    assert [report.whole for report in reports] == [True] + [False] * (len(reports) - 1)
    assert len(reports) > 5
    assert all(len(msgspec.msgpack.encode(report)) < 2000 for report in reports)
    assert two.seen() == one.seen()


def test_what_changes_between_two_parts_is_said_afterwards(clock, monkeypatch):
    monkeypatch.setattr(registries, "PART_BYTES", 1000)
    log = []
    one, two = Server("one", log, clock), Server("two", log, clock)
    exchange(one, two)
    sessions = [one.connect(f"u{n}", f"s{n}") for n in range(100)]
    one.registry.begin_anew()
    for number, report in enumerate(one.registry.reports()):
        log.append(report)
        if number == 2:
            one.disconnect(sessions[0])  # said already
            one.disconnect(sessions[99])  # not yet said
            one.connect("late", "late")
    two.hear()
    exchange(one, two, rounds=1)

    assert two.seen() == one.seen()
    assert "late" in two.seen()
    assert "u0" not in two.seen()


def test_sessions_and_servers_beyond_the_bounds_are_left_out(clock, monkeypatch):
    monkeypatch.setattr(registries, "SESSIONS_MAX", 3)
    monkeypatch.setattr(registries, "NODES_MAX", 2)
    here = Server("here", [], clock)
    many = tuple(SessionReport(f"s{n}", f"u{n}", ()) for n in range(5))
    for node in ("a", "b", "c"):
        here.registry.heard(Report(node, "1", 1, whole=True, here=many))

    assert here.registry.nodes == ["here", "a", "b"]
    assert here.registry.user_count == 3


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["connect", "disconnect", "subscribe", "say", "lose", "hear"]),
        st.integers(0, 2),
        st.integers(0, 4),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_was_lost_all_agree_in_the_end(steps):
    clock, log = ManualClock(), []
    servers = [Server(name, log, clock) for name in ("one", "two", "three")]
    sessions = [{}, {}, {}]
    for what, who, which in steps:
        server, mine = servers[who], sessions[who]
        if what == "connect" and which not in mine:
            mine[which] = server.connect(f"u{which}", f"{who}-{which}")
        elif what == "disconnect" and which in mine:
            server.disconnect(mine.pop(which))
        elif what == "subscribe" and which in mine:
            count = len(mine[which].subscriptions)
            server.subscribe(mine[which], str(count), f"/topic/{count}")
        elif what == "say":
            server.say()
        elif what == "lose":
            list(server.registry.reports())
        elif what == "hear":
            server.hear()
    clock.advance(registries.ASK_AGAIN_S + 1)
    exchange(*servers, rounds=4)
    clock.advance(registries.ASK_AGAIN_S + 1)
    exchange(*servers, rounds=4)

    assert servers[0].seen() == servers[1].seen() == servers[2].seen()
    assert set(servers[0].seen()) == {f"u{k}" for mine in sessions for k in mine}
