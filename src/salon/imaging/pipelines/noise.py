"""Chance: from seeds to noise, the same on every backend.

Numbers are drawn by numpy on the CPU, whatever device the model is on, so a seed means
the same noise everywhere. A *variation* turns one seed's noise a little towards
another's. Mixing them on a straight line would make the noise weaker (two independent
halves have 0.71 of the deviation) and the picture blurred; on the great circle between
them (slerp, Shoemake 1985) the length stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salon.imaging.request import PictureRequest

Floats = NDArray[np.float32]


class Chance:
    """The numbers of one picture: first its noise, then what samplers ask for."""

    def __init__(self, request: PictureRequest) -> None:
        self._request = request
        self._rng = np.random.default_rng(request.seed)

    def start(self, shape: tuple[int, ...]) -> Floats:
        """The noise that a picture begins with; call once, first."""
        own = self._rng.standard_normal(shape, np.float32)
        if self._request.variation == 0.0:
            return own
        other = np.random.default_rng(self._request.variation_seed)
        return slerp(
            own, other.standard_normal(shape, np.float32), self._request.variation
        )

    def more(self, shape: tuple[int, ...]) -> Floats:
        """Fresh noise, for the samplers that add some at every step."""
        return self._rng.standard_normal(shape, np.float32)


def slerp(a: Floats, b: Floats, share: float) -> Floats:
    """From a (share 0) to b (share 1) on the great circle between them."""
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    angle = float(np.arccos(np.clip(np.vdot(a, b) / norms, -1.0, 1.0)))
    if angle < 1e-4:  # the same noise: any way between them is no way
        return a
    wa = np.sin((1.0 - share) * angle) / np.sin(angle)
    wb = np.sin(share * angle) / np.sin(angle)
    return np.float32(wa) * a + np.float32(wb) * b
