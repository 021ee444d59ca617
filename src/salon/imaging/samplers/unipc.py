"""UniPC of order 2, B_2(h) = e^h - 1 (Zhao et al. 2023, arXiv 2302.04867).

A predictor and a corrector from one formula, in lambda = log(alpha / sigma) and for
x_0-prediction, so h enters as -h. With the base step of DPM-Solver++::

    base = sigma_s / sigma_t x_t + alpha_s (1 - e^{-h}) x_0(t)

order p adds p - 1 (predictor) or p (corrector) *differences* to x_0(t), each divided by
its distance r_i in units of h::

    x_s = base - alpha_s B(h) sum_i rho_i D_i / r_i,    B(h) = e^{-h} - 1

The predictor (UniP-2, eq. 3) has one difference, to the answer before, rho = 1/2. When
the network has been asked at s, its answer is one difference more, at r = 1: the
corrector (UniC, eq. 5) redoes the last step with it, *without another call*. Its rho
solve the 2 x 2 system that makes the integral right up to h^2 (theorem 3.1).

The answer at s was asked at the predicted x_s and is kept for the corrected one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers.interface import (
    Array,
    Spacing,
    Step,
    Timeline,
    rest,
    spaced,
)
from salon.imaging.samplers.levels import Level, level


@dataclass(frozen=True)
class _Answer:
    """x_0 that the network gave, and when."""

    at: Level
    x_0: Array


@dataclass(frozen=True)
class _Step:
    """The step before, so that the corrector can redo it."""

    x: Array
    order: int
    history: list[_Answer]
    """Newest first; the newest is the answer at the start of the step."""


class UniPC:
    """UniPC-2: predictor and corrector of second order, one call a step."""

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        spacing: Spacing = "trailing",
        offset: int = 0,
    ) -> None:
        self._diffusion, self._spacing, self._offset = diffusion, spacing, offset
        self._run = Timeline([])
        self._last: _Step | None = None

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n steps, without the first ``skip`` of them."""
        total = self._diffusion.steps
        self._run = Timeline(rest(spaced(total, n, self._spacing, self._offset), skip))
        self._last = None
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """Correct the step that led here, then predict the next."""
        s = self._run.advance(t)
        x_0, _ = self._diffusion.split(model_output, t, x)
        answer = _Answer(level(self._diffusion, t), x_0)
        history = [answer]
        if self._last is not None:
            x = _corrected(self._last, answer)
            history = [answer, *self._last.history[:1]]
        # The first step has nothing to look back to, the last goes to lambda = inf.
        order = 2 if len(history) == 2 and s >= 0 else 1
        self._last = _Step(x, order, history)
        return Step(_predicted(self._last, level(self._diffusion, s)), x_0)


def _predicted(step: _Step, then: Level) -> Array:
    """UniP: the differences look back only, rho = 1/2 at order 2."""
    now = step.history[0]
    ahead: Array = now.x_0
    if step.order == 2:
        before = step.history[1]
        r = (before.at.lambda_ - now.at.lambda_) / (then.lambda_ - now.at.lambda_)
        ahead = ahead + 0.5 * (before.x_0 - now.x_0) / r
    return _base(step.x, now.at, then, ahead)


def _corrected(step: _Step, answer: _Answer) -> Array:
    """UniC: the same step again, now also knowing the answer at its end."""
    now, then = step.history[0], answer.at
    h = then.lambda_ - now.at.lambda_
    ends = answer.x_0 - now.x_0
    if step.order == 1:
        return _base(step.x, now.at, then, now.x_0 + 0.5 * ends)
    before = step.history[1]
    r = (before.at.lambda_ - now.at.lambda_) / h
    back, forth = _weights(r, h)
    ahead = now.x_0 + back * (before.x_0 - now.x_0) / r + forth * ends
    return _base(step.x, now.at, then, ahead)


def _weights(r: float, h: float) -> tuple[float, float]:
    """The rho of the two differences at r and 1 (theorem 3.1).

    R rho = b, with rows r_i^{k-1} and b_k = k! phi_{k+1}(-h) (-h) / B(h) for k = 1, 2,
    where phi_1(z) = (e^z - 1) / z and phi_{k+1}(z) = (phi_k(z) - 1 / k!) / z.
    """
    z, b = -h, math.expm1(-h)
    phi_2 = (b / z - 1.0) / z
    phi_3 = (phi_2 - 0.5) / z
    matrix = np.array([[1.0, 1.0], [r, 1.0]])
    rho = np.linalg.solve(matrix, np.array([phi_2 * z / b, 2.0 * phi_3 * z / b]))
    return float(rho[0]), float(rho[1])


def _base(x: Array, now: Level, then: Level, ahead: Array) -> Array:
    """The exact step if x_0 were ``ahead`` all the way."""
    grow = -math.expm1(now.lambda_ - then.lambda_)
    return then.sigma / now.sigma * x + then.alpha * grow * ahead
