"""The straight path of flow matching as a chain that every sampler knows.

The embedded model is trained on x_t = (1 - t) x_0 + t eps (``schedules.py``). Divide by
sqrt((1 - t)^2 + t^2) and signal and noise have unit variance together: that *is* DDPM's
x_t, with ::

    alpha_bar(t) = (1 - t)^2 / ((1 - t)^2 + t^2)

(Kingma et al. 2021, arXiv 2107.00630, section 5.1: paths differ by a change of scale
and clock.) So the seven samplers serve this model too. The chain ends at ``start`` < 1,
where sampling begins, and has so many steps that n evenly spaced ones hit t exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from salon.imaging.diffusion.ddpm import GaussianDiffusion

Floats = NDArray[np.float32]

_FINENESS = 100
"""Chain steps for one sampling step; 50 or more, so that LCM has its 50."""


class StraightPath:
    """The chain from t = 0 to ``start`` for runs of ``steps`` steps."""

    def __init__(self, steps: int, start: float) -> None:
        total = steps * _FINENESS
        self._t = start * np.arange(1, total + 1) / total
        signal, noise = (1.0 - self._t) ** 2, self._t**2
        alpha_bar = signal / (signal + noise)
        betas = 1.0 - alpha_bar / np.append(1.0, alpha_bar[:-1])
        self.diffusion = GaussianDiffusion(betas, "sample", clip=None)

    def predict(
        self, x0: Callable[[Floats, float], Floats]
    ) -> Callable[[Floats, int], Floats]:
        """``x0(x_t, t)`` on the straight path, as a function of the chain's x and k."""

        def answer(x: Floats, k: int) -> Floats:
            t = float(self._t[k])
            return x0(x * np.float32(math.hypot(1.0 - t, t)), t)

        return answer
