"""Classifier-free guidance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.imaging.samplers.guidance import guided, mixed

POSITIVE = np.array([0.2, -0.4], np.float32)
NEGATIVE = np.array([0.1, 0.0], np.float32)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(0.0, [0.1, 0.0]), (1.0, [0.2, -0.4]), (2.0, [0.3, -0.8]), (20.0, [1.0, -1.0])],
)
def test_guidance_extrapolates_and_stays_a_picture(
    scale: float, expected: list[float]
) -> None:
    assert guided(POSITIVE, NEGATIVE, scale) == pytest.approx(expected, abs=1e-6)


_NUMBER = st.floats(-10, 10)


@given(st.lists(st.tuples(_NUMBER, _NUMBER), min_size=1), st.floats(0, 20))
def test_the_formula_for_answers_of_any_kind(
    pairs: list[tuple[float, float]], scale: float
) -> None:
    positive, negative = np.array(pairs).T
    answer = mixed(positive, negative, scale)

    assert answer == pytest.approx((1 - scale) * negative + scale * positive, abs=1e-9)
    assert mixed(positive, negative, 0.0) == pytest.approx(negative)
    assert mixed(positive, negative, 1.0) == pytest.approx(positive, abs=1e-12)
    assert mixed(positive, positive, scale) == pytest.approx(positive)
