"""What open transactions may hold; begin and end are in test_session.py."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from salon.stomp.errors import FrameTooLarge, UnexpectedFrame
from salon.stomp.events import Ack, Send
from salon.stomp.transactions import TransactionLimits, Transactions


def send(size=10):
    return Send("/a", (("destination", "/a"),), b"x" * size)


ACK = Ack("1", None, None, (("id", "1"),))
HEADER = len("destination/a")


class TestLimits:
    def test_open_transactions_are_counted(self):
        made = Transactions(TransactionLimits(open=2))
        made.begin("a")
        made.begin("b")
        with pytest.raises(FrameTooLarge, match="2 open"):
            made.begin("c")
        made.end("a")
        made.begin("c")

    def test_frames_are_counted_over_all_transactions(self):
        made = Transactions(TransactionLimits(frames=2))
        made.begin("a")
        made.begin("b")
        made.hold("a", ACK)
        made.hold("b", send())
        with pytest.raises(FrameTooLarge, match="2 frames"):
            made.hold("a", ACK)

    def test_bytes_are_counted_with_the_headers(self):
        made = Transactions(TransactionLimits(bytes=2 * (100 + HEADER)))
        made.begin("a")
        made.hold("a", send(100))
        with pytest.raises(FrameTooLarge, match="bytes"):
            made.hold("a", send(101))
        made.hold("a", send(100))

    def test_what_ended_makes_room(self):
        made = Transactions(TransactionLimits(frames=1, bytes=50))
        for _ in range(3):
            made.begin("a")
            made.hold("a", send(30))
            assert len(made.end("a")) == 1


class TransactionMachine(RuleBasedStateMachine):
    """A model that keeps lists, beside the real thing."""

    NAMES = st.sampled_from("abcd")
    LIMITS = TransactionLimits(open=3, frames=6, bytes=200)

    def __init__(self):
        super().__init__()
        self.real = Transactions(self.LIMITS)
        self.model = {}

    @rule(name=NAMES)
    def begin(self, name):
        try:
            self.real.begin(name)
        except UnexpectedFrame:
            assert name in self.model
        except FrameTooLarge:
            assert len(self.model) == self.LIMITS.open
        else:
            assert name not in self.model
            self.model[name] = []

    @rule(name=NAMES, size=st.integers(0, 90))
    def hold(self, name, size):
        part = send(size)
        held = [p for parts in self.model.values() for p in parts]
        used = sum(len(p.body) + HEADER for p in held)
        try:
            self.real.hold(name, part)
        except UnexpectedFrame:
            assert name not in self.model
        except FrameTooLarge:
            full = len(held) == self.LIMITS.frames
            assert full or used + size + HEADER > self.LIMITS.bytes
        else:
            self.model[name].append(part)

    @rule(name=NAMES)
    def end(self, name):
        try:
            parts = self.real.end(name)
        except UnexpectedFrame:
            assert name not in self.model
        else:
            assert list(parts) == self.model.pop(name)

    @invariant()
    def nothing_is_forgotten(self):
        held = [p for parts in self.model.values() for p in parts]
        assert self.real._frames == len(held)
        assert self.real._bytes == sum(len(p.body) + HEADER for p in held)


TestTransactionMachine = TransactionMachine.TestCase
TestTransactionMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
