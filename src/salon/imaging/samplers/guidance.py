"""Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598) on x0.

    x0 = x0(negative) + g (x0(prompt) - x0(negative))

g = 1 follows the prompt as trained, more follows it more. The negative prompt, empty
by default, takes the place of "any picture". Answers are cut to the range a picture
can have, or else a large g would push every step further out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def guided(
    positive: NDArray[np.float32], negative: NDArray[np.float32], scale: float
) -> NDArray[np.float32]:
    """Both (..., c, h, w) on the canvas scale; returns the same shape in [-1, 1]."""
    mixed = negative + np.float32(scale) * (positive - negative)
    result: NDArray[np.float32] = np.clip(mixed, -1.0, 1.0)
    return result
