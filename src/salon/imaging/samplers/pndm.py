"""PNDM, the linear multistep kind (Liu et al. 2022, arXiv 2202.09778).

DDIM's step is a *transfer* phi(x_t, eps, t, s) that would be exact if eps did not
change on the way. The pseudo linear multistep method (equations 12 and 13) keeps the
transfer and gives it a better eps, Adams-Bashforth's extrapolation of the last four
answers::

    e = (55 e_t - 59 e_{t+d} + 37 e_{t+2d} - 9 e_{t+3d}) / 24
    phi = sqrt(ab_s / ab_t) x
        - (ab_s - ab_t) e / (sqrt(ab_t) (sqrt((1 - ab_s) ab_t) + sqrt((1 - ab_t) ab_s)))

The paper gets its first three answers from Runge-Kutta steps, four calls of the network
each. Here, as Stable Diffusion does it (PLMS, ``skip_prk_steps``), lower orders of
Adams-Bashforth do that; and the very first step is made twice, the second time with
the mean of the answers at both of its ends. Hence n + 1 calls for n steps.
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

_ADAMS_BASHFORTH: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (3.0 / 2.0, -1.0 / 2.0),
    (23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0),
    (55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0),
)
"""Weights of the answers, newest first, by how many there are."""


class PNDM:
    """PLMS; even spacing matters to it, which is why "leading" is the default.

    Raises:
        ValueError: the schedule ends at zero SNR; phi divides by alpha_bar.
    """

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        spacing: Spacing = "leading",
        offset: int = 0,
    ) -> None:
        if diffusion.alpha_bar(diffusion.steps - 1) == 0.0:
            raise ValueError(
                "PNDM divides by alpha_bar and cannot start at a zero terminal SNR; "
                "use DDIM, DPM-Solver++ or UniPC"
            )
        self._diffusion, self._spacing, self._offset = diffusion, spacing, offset
        self._run = Timeline([])
        self._answers: list[Array] = []
        self._start: Array = None

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run; where there are two steps, the second timestep comes twice."""
        grid = spaced(self._diffusion.steps, n, self._spacing, self._offset)
        grid = rest(grid, skip)
        self._run = Timeline([*grid[:2], *grid[1:]])
        self._answers, self._start = [], None
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """Extrapolate the noise, then transfer."""
        s = self._run.advance(t)
        x_0, eps = self._diffusion.split(model_output, t, x)
        if s == t:
            # The first step again, from where it began, with the mean of both ends.
            first = self._run.timesteps[0]
            mean = (eps + self._answers[-1]) / 2.0
            return Step(self._transfer(self._start, mean, first, t), x_0)
        if self._run.done == 1:
            self._start = x
        self._answers = [eps, *self._answers[:3]]
        weights = _ADAMS_BASHFORTH[len(self._answers) - 1]
        mixed = sum(w * e for w, e in zip(weights, self._answers, strict=True))
        return Step(self._transfer(x, mixed, t, s), x_0)

    def _transfer(self, x: Array, eps: Array, t: int, s: int) -> Array:
        """phi, equation 11."""
        ab_t, ab_s = self._diffusion.alpha_bar(t), self._diffusion.alpha_bar(s)
        denominator = math.sqrt(ab_t) * (
            math.sqrt((1.0 - ab_s) * ab_t) + math.sqrt((1.0 - ab_t) * ab_s)
        )
        return math.sqrt(ab_s / ab_t) * x - (ab_s - ab_t) / denominator * eps
