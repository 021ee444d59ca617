"""DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

In lambda = log(alpha / sigma) the flow from t to s, h = lambda_s - lambda_t, is::

    x_s = sigma_s / sigma_t x_t + alpha_s int e^{lambda_s - l} x_0(x_l, l) dl

Only the integral holds the network. If x_0 were constant it would be (1 - e^{-h}) x_0:
that is the first order, and DDIM. The second order lets x_0 be a straight line in
lambda through this answer and the one before (h' the step before)::

    x_s = sigma_s / sigma_t x_t + alpha_s (1 - e^{-h}) D,
    D   = x_0 + (x_0 - x_0') / (2 r),    r = h' / h

One call of the network a step, error in the square of it. The last step reaches
lambda = infinity, where a straight line makes no sense: it takes x_0 itself.

``pipelines/straight.py`` makes the straight path of flow matching a case of this.
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
from salon.imaging.samplers.levels import level


class DPMSolver:
    """DPM-Solver++(2M), midpoint form; ``order=1`` is DDIM."""

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        order: int = 2,
        spacing: Spacing = "trailing",
        offset: int = 0,
    ) -> None:
        if order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, got {order}")
        self._diffusion, self._order = diffusion, order
        self._spacing, self._offset = spacing, offset
        self._run = Timeline([])
        self._before: tuple[float, Array] | None = None

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n steps, without the first ``skip`` of them."""
        total = self._diffusion.steps
        self._run = Timeline(rest(spaced(total, n, self._spacing, self._offset), skip))
        self._before = None
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """One exact step of the linear part, with the extrapolated x_0."""
        s = self._run.advance(t)
        x_0, _ = self._diffusion.split(model_output, t, x)
        now, then = level(self._diffusion, t), level(self._diffusion, s)
        h = then.lambda_ - now.lambda_
        ahead = x_0
        if self._order == 2 and self._before is not None and s >= 0:
            lambda_before, x_0_before = self._before
            r = (now.lambda_ - lambda_before) / h
            ahead = x_0 + (x_0 - x_0_before) / (2.0 * r)
        self._before = (now.lambda_, x_0)
        kept = then.sigma / now.sigma
        return Step(kept * x + then.alpha * -math.expm1(-h) * ahead, x_0)
