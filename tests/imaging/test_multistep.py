"""DPM-Solver++(2M) against closed-form flows."""

import numpy as np
import pytest

from salon.imaging import schedules
from salon.imaging.samplers.multistep import Floats, sample


def _last(steps) -> Floats:
    *_, solved = steps
    return solved.x


def test_a_single_possible_picture_is_reached_exactly() -> None:
    picture = np.linspace(-1, 1, 16, dtype=np.float32)
    noise = np.random.default_rng(0).standard_normal(16, np.float32)
    x = schedules.mix(picture, noise, np.float32(0.7))
    times = np.array([0.7, 0.5, 0.2])
    reached = _last(sample(lambda x, t: picture, x, times))
    assert reached == pytest.approx(schedules.mix(picture, noise, 0.2), abs=1e-6)


def _gaussian_error(steps: int) -> float:
    """Error at t = 0.1 for data N(m, s^2), whose flow is known in closed form."""
    mean, spread = 0.3, 0.5

    def scale(t: float) -> float:
        return float(np.hypot((1 - t) * spread, t))

    def best(x: Floats, t: float) -> Floats:
        gain = (1 - t) * spread**2 / scale(t) ** 2
        return np.asarray(mean + gain * (x - (1 - t) * mean))

    z = np.linspace(-2, 2, 9)
    x = (1 - 0.9) * mean + scale(0.9) * z
    times = np.linspace(0.9, 0.1, steps + 1)
    truth = (1 - 0.1) * mean + scale(0.1) * z
    return float(np.abs(_last(sample(best, x, times)) - truth).max())


def test_the_error_falls_with_the_square_of_the_step() -> None:
    coarse, middle, fine = (_gaussian_error(n) for n in (10, 20, 40))
    assert fine < 0.002
    assert coarse / middle > 3
    assert middle / fine > 3


def test_two_kinds_of_picture_come_out_as_two_kinds() -> None:
    """x0 is +-0.8 with sd 0.05; the denoiser is the exact posterior mean."""
    spread = 0.05

    def best(x: Floats, t: float) -> Floats:
        variance = ((1 - t) * spread) ** 2 + t**2
        gain = (1 - t) * spread**2 / variance
        means = [m + gain * (x - (1 - t) * m) for m in (-0.8, 0.8)]
        share = 1 / (1 + np.exp(-2 * (1 - t) * 0.8 * x / variance))
        return np.asarray((1 - share) * means[0] + share * means[1])

    x = np.random.default_rng(1).standard_normal(20_000)
    found = _last(sample(best, x, schedules.times(60)))
    assert np.abs(found).mean() == pytest.approx(0.8, abs=0.01)
    assert np.abs(found).std() == pytest.approx(spread, abs=0.015)
    assert (found > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_every_step_tells_its_answer_and_can_be_the_last() -> None:
    steps = sample(lambda x, t: x * 0, np.ones(2, np.float32), schedules.times(5))
    first = next(steps)
    assert first.step == 1
    assert np.array_equal(first.x0, np.zeros(2))
    steps.close()
