"""Euler's method on the probability flow (Karras et al. 2022, arXiv 2206.00364).

Divide x by sqrt(ab) and noise is simply added: x^ = x_0 + sigma eps, with sigma =
sqrt((1 - ab) / ab). In these *variance-exploding* coordinates the flow that carries
noise to pictures is (eq. 1 with s = 1, sigma(t) = t)::

    d x^ / d sigma = (x^ - x_0(x^, sigma)) / sigma

and Euler takes the slope at the start of the step for the whole of it (algorithm 1
without its correction). The slope *is* eps, so with the same timesteps this is DDIM at
eta = 0: one method found twice, which a test confirms to the last digit.
"""

from __future__ import annotations

import math

from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers.interface import (
    Array,
    Spacing,
    Step,
    Timeline,
    rest,
    spaced,
)


class Euler:
    """First order, deterministic, one call of the network a step."""

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        spacing: Spacing = "trailing",
        offset: int = 0,
    ) -> None:
        self._diffusion, self._spacing, self._offset = diffusion, spacing, offset
        self._run = Timeline([])

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n steps, without the first ``skip`` of them."""
        total = self._diffusion.steps
        self._run = Timeline(rest(spaced(total, n, self._spacing, self._offset), skip))
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """Into the exploding coordinates, one step along the slope, and back."""
        s = self._run.advance(t)
        x_0, _ = self._diffusion.split(model_output, t, x)
        scale, sigma = self._coordinates(t)
        scale_next, sigma_next = self._coordinates(s)
        exploding = x / scale
        slope = (exploding - x_0) / sigma
        return Step(scale_next * (exploding + (sigma_next - sigma) * slope), x_0)

    def _coordinates(self, t: int) -> tuple[float, float]:
        """sqrt(alpha_bar) and sigma; sigma is 0 for the clean picture."""
        ab = self._diffusion.positive_alpha_bar(t)
        return math.sqrt(ab), math.sqrt((1.0 - ab) / ab)
