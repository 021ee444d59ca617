"""Half log-SNR, the clock of the exponential integrators (DPM-Solver, UniPC).

With alpha = sqrt(ab) and sigma = sqrt(1 - ab), Lu et al. 2022 (arXiv 2206.00927) use
lambda = log(alpha / sigma) as time: in it the linear part of the flow has a closed
solution, and only the network's part must be approximated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from salon.imaging.diffusion.ddpm import GaussianDiffusion


class Level(NamedTuple):
    """Signal, noise and half log-SNR at one timestep."""

    alpha: float
    sigma: float
    lambda_: float
    """Infinite for the clean picture."""


def level(diffusion: GaussianDiffusion, t: int) -> Level:
    """The level at t; t < 0 is the clean picture."""
    ab = diffusion.positive_alpha_bar(t)
    if ab == 1.0:
        return Level(1.0, 0.0, math.inf)
    return Level(math.sqrt(ab), math.sqrt(1.0 - ab), 0.5 * math.log(ab / (1.0 - ab)))
