import pytest

from salon.clock import ManualClock
from salon.errors import Refusal
from salon.gateway.throttle import LONGEST, Backoff, LoginThrottle

VICTIM, OTHER = "victim", "other"
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


def let_through(throttle: LoginThrottle, account: str, ip: str, tries: int) -> int:
    """How many of ``tries`` at once are let through."""
    admitted = 0
    for _ in range(tries):
        try:
            throttle.admit(account, ip)
        except Refusal:
            continue
        admitted += 1
    return admitted


def test_pauses_double_up_to_the_longest() -> None:
    clock = ManualClock()
    backoff = Backoff(clock, free=2, longest=5)
    waits = []
    for _ in range(6):
        backoff.count("k")
        waits.append(backoff.wait("k"))
        clock.advance(waits[-1])

    assert waits == [0, 1, 2, 4, 5, 5]


def test_fifty_tries_at_once_are_five_tries() -> None:
    throttle = LoginThrottle(ManualClock())
    admitted = let_through(throttle, VICTIM, HOME, 50)
    with pytest.raises(Refusal) as refused:
        throttle.admit(VICTIM, HOME)

    assert admitted == 5
    assert refused.value.code == "too_many_attempts"
    assert refused.value.retry_after == 1.0


def test_after_fifty_wrong_ones_the_right_one_is_let_in_within_a_minute() -> None:
    clock = ManualClock()
    throttle = LoginThrottle(clock)
    wrong = 0
    while wrong < 50:
        try:
            throttle.admit(VICTIM, HOME)
            wrong += 1
        except Refusal as refusal:
            clock.advance(refusal.retry_after or 0)
    clock.advance(LONGEST)

    throttle.admit(VICTIM, HOME)  # not refused
    assert LONGEST <= 60


def test_refused_tries_do_not_make_the_pause_longer() -> None:
    clock = ManualClock()
    throttle = LoginThrottle(clock)
    let_through(throttle, VICTIM, HOME, 1000)
    clock.advance(1.0)

    throttle.admit(VICTIM, HOME)


def test_another_account_is_not_delayed() -> None:
    throttle = LoginThrottle(ManualClock())
    let_through(throttle, VICTIM, HOME, 50)

    assert let_through(throttle, OTHER, HOME, 3) == 3
    assert let_through(throttle, OTHER, ELSEWHERE, 2) == 2


def test_one_address_that_tries_many_accounts_is_slowed_down() -> None:
    throttle = LoginThrottle(ManualClock())
    admitted = sum(let_through(throttle, f"user{i}", ELSEWHERE, 1) for i in range(200))

    assert admitted == 50


def test_one_account_tried_from_many_addresses_is_slowed_down() -> None:
    throttle = LoginThrottle(ManualClock())
    admitted = sum(
        let_through(throttle, VICTIM, f"203.0.113.{i}", 1) for i in range(100)
    )

    assert admitted == 20


def test_a_guesser_elsewhere_never_delays_an_address_known_to_be_right() -> None:
    throttle = LoginThrottle(ManualClock())
    throttle.admit(VICTIM, HOME)
    throttle.succeeded(VICTIM, HOME)
    for i in range(100):
        let_through(throttle, VICTIM, f"203.0.113.{i}", 10)

    throttle.admit(VICTIM, HOME)


def test_an_ipv6_customer_is_one_source() -> None:
    throttle = LoginThrottle(ManualClock())
    admitted = sum(
        let_through(throttle, VICTIM, f"2001:db8:0:1::{i:x}", 1) for i in range(50)
    )

    assert admitted == 5


def test_right_passwords_are_not_counted() -> None:
    throttle = LoginThrottle(ManualClock())
    for _ in range(500):
        throttle.admit(VICTIM, HOME)
        throttle.succeeded(VICTIM, HOME)


def test_tries_are_forgotten_after_an_hour() -> None:
    clock = ManualClock()
    throttle = LoginThrottle(clock)
    let_through(throttle, VICTIM, HOME, 50)
    clock.advance(3601)

    assert let_through(throttle, VICTIM, HOME, 50) == 5


@pytest.mark.parametrize("keys", [1_000, 50_000])
def test_memory_is_bounded(keys: int) -> None:
    backoff = Backoff(ManualClock(), free=3, capacity=500)
    for i in range(keys):
        backoff.count(str(i))

    assert len(backoff._tries) == 500
