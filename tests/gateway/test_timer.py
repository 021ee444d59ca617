"""The timer wheel, turned by hand."""

import asyncio
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.clock import ManualClock, SystemClock
from salon.gateway import timer as timer_module
from salon.gateway.timer import SLOTS, TICK, TimerWheel
from tests.gateway.harness import Log


@given(
    st.lists(st.floats(0, 200), max_size=20), st.lists(st.floats(0, 30), max_size=60)
)
def test_no_timer_is_early_and_none_is_more_than_a_tick_late(delays, steps):
    clock = ManualClock()
    wheel = TimerWheel(clock)
    fired: dict[int, float] = {}
    for index, delay in enumerate(delays):
        wheel.call_later(
            delay, lambda index=index: fired.setdefault(index, clock.monotonic())
        )
    for step in steps:
        before = clock.monotonic()
        clock.advance(step)
        wheel.turn()
        for index, delay in enumerate(delays):
            if index in fired:
                assert fired[index] >= delay - 1e-6
            else:
                assert delay > before + step - 2 * TICK
    assert len(wheel) == len(delays) - len(fired)


def test_timers_of_one_slot_wait_for_their_own_turn():
    clock = ManualClock()
    wheel = TimerWheel(clock)
    fired: list[str] = []
    wheel.call_later(1.0, lambda: fired.append("this turn"))
    wheel.call_later(1.0 + SLOTS * TICK, lambda: fired.append("next turn"))
    clock.advance(1.2)
    wheel.turn()
    assert fired == ["this turn"]

    clock.advance(SLOTS * TICK)
    wheel.turn()
    assert fired == ["this turn", "next turn"]


def test_a_cancelled_timer_never_fires():
    clock = ManualClock()
    wheel = TimerWheel(clock)
    fired: list[int] = []
    timer = wheel.call_later(1.0, lambda: fired.append(1))
    timer.cancel()
    timer.cancel()
    clock.advance(10.0)
    wheel.turn()

    assert fired == []


def test_a_timer_may_cancel_another_of_the_same_tick():
    clock = ManualClock()
    wheel = TimerWheel(clock)
    fired: list[str] = []
    timers = {}

    def stop(other: str) -> None:
        fired.append(other)
        timers[other].cancel()

    timers["a"] = wheel.call_later(1.0, lambda: stop("b"))
    timers["b"] = wheel.call_later(1.0, lambda: stop("a"))
    clock.advance(2.0)
    wheel.turn()

    assert len(fired) == 1


def test_a_callback_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch):
    log = Log()
    monkeypatch.setattr(timer_module, "log", log)
    clock = ManualClock()
    wheel = TimerWheel(clock)
    fired: list[int] = []
    wheel.call_later(1.0, lambda: 1 / 0)
    wheel.call_later(1.0, lambda: fired.append(1))
    clock.advance(2.0)
    wheel.turn()

    assert fired == [1]
    assert isinstance(log.failures[0], ZeroDivisionError)


def test_a_machine_that_slept_fires_everything_once():
    clock = ManualClock()
    wheel = TimerWheel(clock)
    fired: list[float] = []
    for delay in (1.0, 60.0, 3000.0):
        wheel.call_later(delay, lambda delay=delay: fired.append(delay))
    clock.advance(100_000.0)
    wheel.turn()
    wheel.turn()

    assert sorted(fired) == [1.0, 60.0, 3000.0]


async def test_a_loop_turns_the_wheel_only_while_a_timer_is_set():
    wheel = TimerWheel(SystemClock())
    wheel.run_on(asyncio.get_running_loop())
    assert wheel._handle is None

    done = asyncio.Event()

    def twice() -> None:
        wheel.call_later(0.01, done.set)

    wheel.call_later(0.01, twice)
    await asyncio.wait_for(done.wait(), 30)
    await asyncio.sleep(0)
    assert wheel._handle is None
    wheel.call_later(60, done.clear)
    wheel.stop()
    assert wheel._handle is None
    gc.collect()
