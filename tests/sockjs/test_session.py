"""The life of a SockJS session over HTTP."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from salon.sockjs import frames
from salon.sockjs.session import Session, State


def test_the_first_receiver_is_told_that_the_session_is_open():
    session = Session(0.0)

    assert session.attach(0.0) == (b"o", True)
    assert session.state is State.OPEN


def test_a_second_receiver_is_turned_away_and_disturbs_nothing():
    session = Session(0.0)
    session.attach(0.0)

    assert session.attach(1.0) == (b'c[2010,"Another connection still open"]', False)
    assert session.attached
    assert session.state is State.OPEN


def test_the_next_receiver_takes_over_without_a_greeting():
    session = Session(0.0)
    session.attach(0.0)
    session.detach(1.0)

    assert session.attach(2.0) == (None, True)


def test_a_session_waits_five_seconds_for_its_next_receiver():
    session = Session(0.0)
    session.attach(0.0)
    assert not session.expired(100.0)
    session.detach(100.0)

    assert session.next_look(100.0) == 5.0
    assert not session.expired(104.9)
    assert session.expired(105.0)


def test_a_closed_session_tells_every_receiver_until_it_is_forgotten():
    session = Session(0.0)
    session.attach(0.0)
    session.close(3000, "Go away!", now=1.0)
    session.close(4000, "later", now=2.0)
    session.detach(2.0)

    assert session.farewell() == b'c[3000,"Go away!"]'
    assert session.attach(3.0) == (b'c[3000,"Go away!"]', False)
    assert session.attach(4.0) == (b'c[3000,"Go away!"]', False)
    assert session.expired(7.0)


def test_what_was_sent_before_the_close_goes_before_the_farewell():
    session = Session(0.0)
    session.attach(0.0)
    session.detach(1.0)
    session.close(3000, "Go away!", now=1.0)

    assert session.attach(2.0, waiting=True) == (None, True)
    assert session.attach(2.0, waiting=True) == (b'c[3000,"Go away!"]', False)


def test_a_broken_receiver_ends_the_session():
    """What was written to it may be lost, and nobody could tell."""
    session = Session(0.0)
    session.attach(0.0)
    session.interrupted(1.0)

    assert session.attach(2.0) == (b'c[1002,"Connection interrupted"]', False)


def test_a_silent_receiver_gets_a_heartbeat_after_25_seconds():
    session = Session(0.0)
    session.attach(0.0)
    assert not session.heartbeat_due(24.9)
    assert session.heartbeat_due(25.0)

    session.written(25.0)
    assert not session.heartbeat_due(49.9)
    assert session.next_look(30.0) == 20.0


class SessionMachine(RuleBasedStateMachine):
    """Any order of events keeps the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Session(self.now)
        self.greeted = 0

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def receiver(self) -> None:
        was_attached, state = self.session.attached, self.session.state
        first, mine = self.session.attach(self.now)
        self.greeted += first == frames.OPEN
        assert mine == (not was_attached and state is not State.CLOSED)
        assert mine or (first or b"").startswith(b"c[")

    @precondition(lambda self: self.session.attached)
    @rule(broken=st.booleans())
    def receiver_ends(self, broken: bool) -> None:
        end = self.session.interrupted if broken else self.session.detach
        end(self.now)

    @rule()
    def close(self) -> None:
        self.session.close(3000, "Go away!", now=self.now)

    @invariant()
    def rules(self) -> None:
        session = self.session
        assert self.greeted <= 1
        assert (session.farewell() is not None) == (session.state is State.CLOSED)
        assert not (session.attached and session.expired(self.now))
        assert session.next_look(self.now) >= 0
        if session.expired(self.now):
            assert session.next_look(self.now) == 0


TestSessionMachine = SessionMachine.TestCase
