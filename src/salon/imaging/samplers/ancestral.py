"""Ancestral sampling (Ho, Jain & Abbeel 2020, arXiv 2006.11239, algorithm 2).

Draw from the Gaussian q(x_{t-1} | x_t, x_0) with the network's x_0, step by step::

    x_{t-1} = mu~_t(x_t, x_0) + sigma_t z,    z ~ N(0, I), and z = 0 at the last step

On a subset of the steps, from t to an earlier s, the chain between them is one step
with alpha = ab_t / ab_s and beta = 1 - alpha (Nichol & Dhariwal 2021, eq. 19), and
equations 6 and 7 hold with these.
"""

from __future__ import annotations

import math

from salon.imaging.diffusion.ddpm import GaussianDiffusion, Variance
from salon.imaging.samplers.interface import (
    Array,
    Noise,
    Spacing,
    Step,
    Timeline,
    rest,
    spaced,
)


class Ancestral:
    """DDPM's own sampler; best with many steps.

    Args:
        diffusion: the schedule and what the network predicts.
        noise: where z comes from.
        variance: ``beta`` or ``posterior``, see ``diffusion/ddpm.py``. On a subset of
            the steps ``posterior`` is much the better one.
        spacing, offset: which timesteps, see ``interface.py``.
    """

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        noise: Noise,
        variance: Variance = "posterior",
        spacing: Spacing = "trailing",
        offset: int = 0,
    ) -> None:
        self._diffusion, self._noise = diffusion, noise
        self._variance, self._spacing, self._offset = variance, spacing, offset
        self._run = Timeline([])

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n steps, without the first ``skip`` of them."""
        total = self._diffusion.steps
        self._run = Timeline(rest(spaced(total, n, self._spacing, self._offset), skip))
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """Draw x_s from the posterior."""
        s = self._run.advance(t)
        x_0, _ = self._diffusion.split(model_output, t, x)
        ab_t, ab_s = self._diffusion.alpha_bar(t), self._diffusion.alpha_bar(s)
        alpha = ab_t / ab_s
        beta = 1.0 - alpha
        mean = (
            math.sqrt(ab_s) * beta / (1.0 - ab_t) * x_0
            + math.sqrt(alpha) * (1.0 - ab_s) / (1.0 - ab_t) * x
        )
        if s < 0:
            return Step(mean, x_0)
        posterior = beta * (1.0 - ab_s) / (1.0 - ab_t)
        sigma = math.sqrt(posterior if self._variance == "posterior" else beta)
        return Step(mean + sigma * self._noise(x), x_0)
