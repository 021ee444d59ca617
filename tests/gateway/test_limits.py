"""The token bucket per user."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.clock import ManualClock
from salon.errors import Refusal
from salon.gateway.limits import RateLimit


def test_a_burst_and_then_the_rate():
    clock = ManualClock()
    limit = RateLimit(clock, rate=10, burst=30)
    assert [limit.take("ann") for _ in range(30)] == [0.0] * 30
    assert limit.take("ann") == pytest.approx(0.1)

    clock.advance(0.1)
    assert limit.take("ann") == 0.0
    assert limit.take("ann") == pytest.approx(0.1)


def test_users_do_not_share_a_bucket():
    limit = RateLimit(ManualClock(), rate=1, burst=1)
    limit.take("ann")

    assert limit.take("bob") == 0.0
    assert limit.take("ann") > 0


def test_a_refused_message_costs_nothing():
    clock = ManualClock()
    limit = RateLimit(clock, rate=1, burst=1)
    limit.take("ann")
    for _ in range(100):
        limit.take("ann")
    clock.advance(1.0)

    assert limit.take("ann") == 0.0


def test_the_refusal_says_when_to_come_back():
    limit = RateLimit(ManualClock(), rate=2, burst=1)
    limit.check("ann")
    with pytest.raises(Refusal) as refused:
        limit.check("ann")

    assert refused.value.code == "too_fast"
    assert refused.value.retry_after == pytest.approx(0.5)
    assert refused.value.params == {"rate": 2, "burst": 1}
    assert refused.value.status == 429


@given(st.lists(st.floats(0, 2), max_size=200))
def test_no_window_lets_more_through_than_burst_and_rate(gaps: list[float]):
    clock = ManualClock()
    limit = RateLimit(clock, rate=5, burst=4)
    passed: list[float] = []
    for gap in gaps:
        clock.advance(gap)
        if limit.take("ann") == 0.0:
            passed.append(clock.monotonic())
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            window = passed[last] - start
            assert last - first + 1 <= 4 + 5 * window + 1e-6


def test_users_whose_bucket_is_full_are_forgotten():
    clock = ManualClock()
    limit = RateLimit(clock, rate=10, burst=30)
    for number in range(50_000):
        limit.take(f"user {number}")
        clock.advance(0.01)

    assert len(limit._full_at) < 10_000


def test_a_limit_that_lets_nothing_through_is_a_mistake():
    with pytest.raises(ValueError, match="burst at least 1"):
        RateLimit(ManualClock(), rate=1, burst=0)
