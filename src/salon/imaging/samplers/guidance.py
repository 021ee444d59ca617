"""Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

    answer = answer(negative) + g (answer(prompt) - answer(negative))

g = 1 follows the prompt as trained, more follows it more. The negative prompt, empty
by default, takes the place of "any picture". The formula is linear, so that it may be
applied to epsilon, v or x0 alike. Answers that are pictures are cut to the range a
picture can have, or else a large g would push every step further out; latents have no
such range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salon.imaging.samplers.interface import Array


def mixed(positive: Array, negative: Array, scale: float) -> Array:
    """The formula; numpy arrays or torch tensors of one shape."""
    return negative + scale * (positive - negative)


def guided(
    positive: NDArray[np.float32], negative: NDArray[np.float32], scale: float
) -> NDArray[np.float32]:
    """Of x0: both (..., c, h, w) on the canvas scale; the same shape in [-1, 1]."""
    answer = mixed(positive, negative, scale)
    result: NDArray[np.float32] = np.clip(answer, -1.0, 1.0)
    return result
