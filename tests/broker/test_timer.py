"""Timing wheels: on time, never early, in any order of adding."""

from hypothesis import given
from hypothesis import strategies as st

from salon.broker.timer import Timer, TimerTask


def drive(timer: Timer, until_ms: int, clock: list[int]) -> None:
    """Advance as the loop does: from one expiry to the next."""
    while (due := timer.next_expiry_ms()) is not None and due <= until_ms:
        clock[0] = max(clock[0], due)
        timer.advance(due)
    clock[0] = until_ms
    timer.advance(until_ms)


@given(
    start=st.integers(0, 10_000),
    delays=st.lists(st.integers(0, 200_000), min_size=1, max_size=60),
)
def test_every_task_runs_once_and_at_its_deadline(start: int, delays: list[int]):
    """Overflow wheels put tasks in again; none may be lost, doubled or early."""
    timer, clock = Timer(start), [start]
    ran: dict[int, list[int]] = {i: [] for i in range(len(delays))}
    for i, delay in enumerate(delays):
        timer.add(TimerTask(start + delay, lambda i=i: ran[i].append(clock[0])))
    drive(timer, start + 200_000, clock)

    assert ran == {i: [start + delay] for i, delay in enumerate(delays)}


@given(
    steps=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 5_000)), max_size=40)
)
def test_tasks_added_while_time_passes_are_on_time_to_the_millisecond(
    steps: list[tuple[int, int]],
):
    """A bucket is used for many rounds; a stale one must not swallow a later task."""
    timer, clock = Timer(0), [0]
    late: list[tuple[int, int]] = []
    expected = 0
    for wait, delay in steps:
        drive(timer, clock[0] + wait, clock)
        deadline = clock[0] + delay
        expected += 1
        timer.add(TimerTask(deadline, lambda d=deadline: late.append((d, clock[0]))))
    drive(timer, clock[0] + 10_000, clock)

    assert len(late) == expected
    assert all(deadline == ran for deadline, ran in late)


def test_a_cancelled_task_does_not_run():
    timer = Timer(0)
    ran: list[str] = []
    task = TimerTask(5, lambda: ran.append("cancelled"))
    timer.add(task)
    timer.add(TimerTask(5, lambda: ran.append("kept")))
    task.cancel()
    timer.advance(100)

    assert ran == ["kept"]
    assert not task.pending


def test_a_task_can_cancel_another_of_the_same_moment():
    """An expiring fetch may complete what would have expired next."""
    timer = Timer(0)
    ran: list[str] = []
    second = TimerTask(7, lambda: ran.append("second"))
    timer.add(TimerTask(7, second.cancel))
    timer.add(second)
    timer.advance(7)

    assert ran == []


def test_a_deadline_that_has_passed_runs_at_once():
    timer = Timer(1000)
    ran: list[int] = []
    timer.add(TimerTask(999, lambda: ran.append(1)))

    assert ran == [1]


def test_nothing_waits_nothing_wakes():
    assert Timer(0).next_expiry_ms() is None
