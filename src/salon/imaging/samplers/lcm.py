"""Latent consistency sampling (Luo et al. 2023, arXiv 2310.04378, algorithm 3).

A *consistency* model (Song et al. 2023, arXiv 2303.01469) has learned to jump from any
point of the flow straight to its end. Near t = 0 it must be the identity, which two
factors enforce whatever the network says (sigma_data = 1/2, t stretched tenfold)::

    f(x, t) = c_skip x + c_out x_0(x, t)
    c_skip  = sigma_data^2 / (tau^2 + sigma_data^2),   tau = 10 t
    c_out   = tau / sqrt(tau^2 + sigma_data^2)

One jump is a picture; a better one comes from noising it again to an earlier s and
jumping once more::

    x_s = sqrt(ab_s) f(x_t, t) + sqrt(1 - ab_s) z

This serves models that were *distilled* for it. On any other it shows the blurred mean
of all answers.
"""

from __future__ import annotations

import math

import numpy as np

from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers.interface import Array, Noise, Step, Timeline, rest

_SIGMA_DATA = 0.5
_STRETCH = 10.0


class LCM:
    """Few steps, fresh noise between them.

    Args:
        diffusion: the schedule and what the network predicts.
        noise: where z comes from.
        trained_steps: how many timesteps the distillation used; only these are asked.
    """

    def __init__(
        self, diffusion: GaussianDiffusion, noise: Noise, trained_steps: int = 50
    ) -> None:
        if not 1 <= trained_steps <= diffusion.steps:
            raise ValueError(
                f"trained_steps must be between 1 and {diffusion.steps}, "
                f"got {trained_steps}"
            )
        self._diffusion, self._noise = diffusion, noise
        self._trained_steps = trained_steps
        self._run = Timeline([])

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n of the ``trained_steps``, less the first ``skip``."""
        if not 1 <= n <= self._trained_steps:
            raise ValueError(
                f"steps must be between 1 and {self._trained_steps}, got {n}"
            )
        stride = self._diffusion.steps // self._trained_steps
        trained = np.arange(self._trained_steps, 0, -1) * stride - 1
        chosen = np.floor(np.linspace(0, self._trained_steps, n, endpoint=False))
        grid = [int(t) for t in trained[chosen.astype(int)]]
        self._run = Timeline(rest(grid, skip))
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """Jump to the end, and noise again unless this was the last."""
        s = self._run.advance(t)
        x_0, _ = self._diffusion.split(model_output, t, x)
        tau = _STRETCH * t
        norm = tau**2 + _SIGMA_DATA**2
        jumped = _SIGMA_DATA**2 / norm * x + tau / math.sqrt(norm) * x_0
        if s < 0:
            return Step(jumped, x_0)
        ab = self._diffusion.alpha_bar(s)
        x_s = math.sqrt(ab) * jumped + math.sqrt(1.0 - ab) * self._noise(x)
        return Step(x_s, x_0)
