"""DPM-Solver++(2M) on the straight path (Lu et al. 2022, arXiv 2211.01095, alg. 2).

With x_t = (1 - t) x0 + t eps, the probability flow between two times t > s, if x0
were constant in between, is solved exactly by::

    x_s = (s / t) x_t + (1 - s / t) x0

The second order uses, in place of x0, its extrapolation from this and the previous
answer, linear in lambda = log((1 - t) / t): one network evaluation a step still, and
an error falling with the square of the step. The last step, down to s = 0, has
lambda = infinity and therefore takes x0 itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salon.imaging.schedules import log_snr

Floats = NDArray[np.float32]
Denoise = Callable[[Floats, float], Floats]
"""(x_t, t) -> x0_hat, arrays of one shape."""

_T_MAX = 1.0 - 1e-3
"""lambda is not finite at t = 1; pure noise is treated as this."""


@dataclass(frozen=True)
class Solved:
    """One step done."""

    step: int
    """1 for the first."""
    x: Floats
    """x at the time just reached."""
    x0: Floats
    """The answer the step was made with: what the picture looks like so far."""


def sample(denoise: Denoise, x: Floats, times: NDArray[np.float64]) -> Iterator[Solved]:
    """Follow the flow from x at times[0] to the last time, one yield per step.

    ``times`` falls strictly; the last may be 0. The caller may stop between steps.
    """
    before: tuple[float, Floats] | None = None
    for step, (t, s) in enumerate(itertools.pairwise(times), start=1):
        now = min(float(t), _T_MAX)
        x0 = denoise(x, float(t))
        ahead = x0 if s == 0 or before is None else _extrapolate(now, s, x0, *before)
        ratio = np.float32(s / now)
        x = ratio * x + (np.float32(1.0) - ratio) * ahead
        before = (log_snr(now), x0)
        yield Solved(step, x, x0)


def _extrapolate(
    t: float, s: float, x0: Floats, previous_log_snr: float, previous_x0: Floats
) -> Floats:
    """D = x0 + (x0 - previous) / (2 r), r the ratio of the two steps in lambda."""
    r = (log_snr(t) - previous_log_snr) / (log_snr(s) - log_snr(t))
    result: Floats = x0 + np.float32(1.0 / (2.0 * r)) * (x0 - previous_x0)
    return result
