"""Users, sessions and subscriptions come and go without a trace."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.messaging.world import World, principal


def test_sessions_are_found_by_user_login_and_id():
    world = World()
    one, two = world.session("ann"), world.session("ann")
    bob = world.session("bob")

    assert world.users.sessions_of("ann") == [one, two]
    assert world.users.sessions_of("carl") == []
    assert world.users.sessions_of_login("bob") == [bob]
    assert world.users.session(two.id) is two
    assert set(world.users.users()) == {"ann", "bob"}
    assert list(world.users) == [one, two, bob]
    world.users.remove(one)
    world.users.remove(one)
    assert world.users.is_live("ann")
    world.users.remove(two)
    assert not world.users.is_live("ann")
    assert len(world.users) == 1


def test_a_user_may_have_several_logins():
    world = World()
    one, two = world.session("ann"), world.session("ann")
    world.users.remove(two)
    two.principal = principal("ann", login="other")
    world.users.add(two)

    assert world.users.sessions_of_login("ann") == [one]
    assert world.users.sessions_of_login("other") == [two]
    assert len(world.users.sessions_of("ann")) == 2


DESTINATIONS = st.sampled_from(["/topic/a", "/topic/b", "/user/queue/a"])
IDS = st.sampled_from(["0", "1"])


class Subscribing(RuleBasedStateMachine):
    """A model: the set of (session, id, destination) that should be served."""

    def __init__(self):
        super().__init__()
        self.world = World()
        self.sessions = [self.world.session(f"u{i}") for i in range(3)]
        self.model = {}

    @rule(i=st.integers(0, 2), id_=IDS, destination=DESTINATIONS)
    def subscribe(self, i, id_, destination):
        if (i, id_) not in self.model:
            self.world.registry.add(self.sessions[i], id_, destination)
            self.model[i, id_] = destination

    @rule(i=st.integers(0, 2), id_=IDS)
    def unsubscribe(self, i, id_):
        removed = self.world.registry.remove(self.sessions[i], id_)
        expected = self.model.pop((i, id_), None)
        assert (removed and removed.destination) == expected

    @rule(i=st.integers(0, 2))
    def leave(self, i):
        self.world.registry.remove_all(self.sessions[i])
        self.model = {key: d for key, d in self.model.items() if key[0] != i}

    @invariant()
    def each_topic_reaches_exactly_its_subscribers(self):
        for destination in ("/topic/a", "/topic/b"):
            count = list(self.model.values()).count(destination)
            assert self.world.registry.count(destination) == count
            assert self.world.template.send(destination, b"") == count

    @invariant()
    def each_user_destination_reaches_exactly_its_subscribers(self):
        for i in range(3):
            count = sum(
                key[0] == i and d == "/user/queue/a" for key, d in self.model.items()
            )
            assert self.world.template.send_to_user(f"u{i}", "/queue/a", b"") == count

    @precondition(lambda self: not self.model)
    @invariant()
    def nothing_is_left_behind(self):
        assert self.world.registry.destinations() == []
        assert not any(s.subscriptions or s.queues for s in self.sessions)


TestSubscribing = Subscribing.TestCase
TestSubscribing.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None
)
