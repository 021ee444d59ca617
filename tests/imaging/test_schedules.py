"""The straight path between picture and noise, and the preconditioning."""

import numpy as np
import pytest

from salon.imaging import schedules


def test_the_path_starts_at_the_picture_and_ends_at_the_noise() -> None:
    x0, eps = np.full(4, 2.0), np.full(4, -3.0)
    assert np.array_equal(schedules.mix(x0, eps, 0.0), x0)
    assert np.array_equal(schedules.mix(x0, eps, 1.0), eps)


def test_skip_and_out_are_the_best_linear_estimate_of_the_reference_error() -> None:
    rng = np.random.default_rng(0)
    spread, t = 0.25, 0.4
    error = spread * rng.standard_normal(200_000)
    seen = (1 - t) * error + t * rng.standard_normal(200_000)
    slope = (seen @ error) / (seen @ seen)
    left = np.std(error - slope * seen)
    assert schedules.c_skip(t, spread) == pytest.approx(slope, rel=0.01)
    assert schedules.c_out(t, spread) == pytest.approx(left, rel=0.01)


def test_without_noise_the_picture_itself_is_the_answer() -> None:
    assert schedules.c_skip(0.0) == pytest.approx(1.0)
    assert schedules.c_out(0.0) == 0.0


def test_pure_noise_says_nothing_about_the_picture() -> None:
    assert schedules.c_skip(1.0) == 0.0
    assert schedules.c_out(1.0) == pytest.approx(schedules.REFERENCE_SPREAD)


def test_sampling_times_fall_from_the_start_to_zero() -> None:
    times = schedules.times(12, start=0.6)
    assert len(times) == 13
    assert times[0] == pytest.approx(0.6)
    assert times[-1] == 0.0
    assert (np.diff(times) < 0).all()


@pytest.mark.parametrize(("steps", "start"), [(0, 1.0), (4, 0.0), (4, 1.5)])
def test_impossible_times_are_refused(steps: int, start: float) -> None:
    with pytest.raises(ValueError, match="must"):
        schedules.times(steps, start)


def test_training_times_lean_to_low_noise_and_cover_the_top() -> None:
    drawn = schedules.training_times(np.random.default_rng(0), 50_000)
    assert drawn.min() > 0
    assert drawn.max() <= 1
    assert 0.38 < np.median(drawn) < 0.48
    assert 0.083 < (drawn > 0.9).mean() < 0.11
