"""Purgatory: try, watch, try again; exactly once; nothing is lost."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from salon.broker.purgatory import DelayedOperation, Purgatory
from salon.broker.timer import Timer


class Operation(DelayedOperation):
    """Waits until ``ready()``; remembers how it ended."""

    def __init__(self, delay_ms: int, ready: Callable[[], bool]) -> None:
        super().__init__(delay_ms)
        self.ready = ready
        self.completions = 0
        self.expirations = 0

    def try_complete(self) -> bool:
        return self.ready() and self.force_complete()

    def on_complete(self) -> None:
        self.completions += 1

    def on_expiration(self) -> None:
        self.expirations += 1


def make() -> tuple[Purgatory, Timer, list[int]]:
    now = [0]
    timer = Timer(0)
    return Purgatory("Test", timer, lambda: now[0], purge_interval=10), timer, now


def test_what_is_ready_never_waits():
    purgatory, timer, _ = make()
    operation = Operation(100, lambda: True)

    assert purgatory.try_complete_else_watch(operation, ["key"])
    assert operation.completions == 1
    assert purgatory.size == 0
    assert timer.next_expiry_ms() is None


def test_an_event_between_the_first_try_and_the_watching_is_not_lost():
    """The second try exists for this: nobody would look at the key again."""
    purgatory, _, _ = make()
    answers = iter([False, True])
    operation = Operation(100, lambda: next(answers))

    assert purgatory.try_complete_else_watch(operation, ["key"])
    assert operation.completions == 1


def test_an_event_completes_what_it_fulfils_and_nothing_else():
    purgatory, _, _ = make()
    ready = {"a": False, "b": False}
    a = Operation(100, lambda: ready["a"])
    b = Operation(100, lambda: ready["b"])
    purgatory.try_complete_else_watch(a, ["key"])
    purgatory.try_complete_else_watch(b, ["key"])
    ready["a"] = True

    assert purgatory.check_and_complete("key") == 1
    assert (a.completions, b.completions) == (1, 0)
    assert purgatory.delayed == 1
    assert purgatory.check_and_complete("another key") == 0


def test_time_completes_and_then_expires():
    purgatory, timer, now = make()
    operation = Operation(100, lambda: False)
    purgatory.try_complete_else_watch(operation, ["a", "b"])
    now[0] = 99
    timer.advance(99)
    before = operation.completions
    now[0] = 100
    timer.advance(100)

    assert before == 0
    assert (operation.completions, operation.expirations) == (1, 1)


def test_completing_in_time_stops_the_timer():
    purgatory, timer, _ = make()
    ready = [False]
    operation = Operation(100, lambda: ready[0])
    purgatory.try_complete_else_watch(operation, ["key"])
    ready[0] = True
    purgatory.check_and_complete("key")
    timer.advance(1000)

    assert (operation.completions, operation.expirations) == (1, 0)


def test_completed_operations_do_not_pile_up_under_quiet_keys():
    """A fetch of two partitions is woken by one; the other's list must not grow."""
    purgatory, _, _ = make()
    for _ in range(1000):
        ready = [False]
        operation = Operation(60_000, lambda ready=ready: ready[0])
        purgatory.try_complete_else_watch(operation, ["busy", "quiet"])
        ready[0] = True
        purgatory.check_and_complete("busy")

    assert purgatory.size <= 12


def test_an_operation_that_begins_inside_a_completion_waits_too():
    """The next fetch of a client arrives while the last one is being answered."""
    purgatory, _, _ = make()
    second = Operation(100, lambda: False)

    class First(Operation):
        def on_complete(self) -> None:
            super().on_complete()
            purgatory.try_complete_else_watch(second, ["key"])

    ready = [False]
    first = First(100, lambda: ready[0])
    purgatory.try_complete_else_watch(first, ["key"])
    ready[0] = True
    purgatory.check_and_complete("key")

    assert first.completions == 1
    assert purgatory.waiting("key") == 1


def test_closing_completes_what_waits():
    purgatory, _, _ = make()
    operation = Operation(100, lambda: False)
    purgatory.try_complete_else_watch(operation, ["key"])
    purgatory.close()

    assert operation.completions == 1


class PurgatoryMachine(RuleBasedStateMachine):
    """Counters that grow, operations that wait for a total, time that passes.

    The model: an operation is complete exactly when its counters have reached its
    target at some event, or its time is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = [0]
        self.timer = Timer(0)
        self.purgatory = Purgatory(
            "Model", self.timer, lambda: self.now[0], purge_interval=5
        )
        self.counters = [0, 0, 0]
        self.operations: list[tuple[Operation, tuple[int, ...], int, int]] = []

    def total(self, keys: tuple[int, ...]) -> int:
        return sum(self.counters[key] for key in keys)

    @rule(
        keys=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
        more=st.integers(0, 4),
        delay=st.integers(0, 500),
    )
    def wait(self, keys: list[int], more: int, delay: int) -> None:
        watched = tuple(keys)
        target = self.total(watched) + more
        operation = Operation(delay, lambda: self.total(watched) >= target)
        self.operations.append((operation, watched, target, self.now[0] + delay))
        self.purgatory.try_complete_else_watch(operation, watched)

    @rule(key=st.integers(0, 2))
    def event(self, key: int) -> None:
        self.counters[key] += 1
        self.purgatory.check_and_complete(key)

    @rule(ms=st.integers(1, 700))
    def pass_time(self, ms: int) -> None:
        self.now[0] += ms
        self.timer.advance(self.now[0])

    @precondition(lambda self: self.operations)
    @rule(data=st.data())
    def complete_by_force(self, data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(self.operations))[0]
        operation.force_complete()

    @invariant()
    def complete_exactly_once_and_never_late(self) -> None:
        for operation, keys, target, deadline in self.operations:
            due = self.total(keys) >= target or self.now[0] >= deadline
            assert operation.completions == int(operation.completed)
            assert operation.expirations <= operation.completions
            assert operation.completed or not due

    @invariant()
    def the_books_are_right(self) -> None:
        waiting = sum(not op.completed for op, *_ in self.operations)
        assert self.purgatory.delayed == waiting


TestPurgatoryMachine = PurgatoryMachine.TestCase
