"""Classifier-free guidance."""

import numpy as np
import pytest

from salon.imaging.samplers.guidance import guided

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
