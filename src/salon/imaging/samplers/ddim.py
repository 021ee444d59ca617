"""DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502, equations 12 and 16).

Any chain with the same q(x_t | x_0) may use the same network. One family of them::

    x_s = sqrt(ab_s) x_0                                 what the picture seems to be
        + sqrt(1 - ab_s - sigma^2) eps                   the direction back to x_t
        + sigma z                                        fresh noise
    sigma = eta sqrt((1 - ab_s) / (1 - ab_t)) sqrt(1 - ab_t / ab_s)

eta = 0 adds no noise: the picture is a function of the noise one starts with, and far
fewer steps suffice. eta = 1 is ancestral sampling with the posterior variance.
"""

from __future__ import annotations

import math

from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers.interface import (
    Array,
    Noise,
    Spacing,
    Step,
    Timeline,
    rest,
    spaced,
)


class DDIM:
    """Deterministic at eta = 0; ``noise`` is needed for eta > 0 only.

    Raises:
        ValueError: eta is not in 0..1, or above 0 without ``noise``.
    """

    def __init__(
        self,
        diffusion: GaussianDiffusion,
        eta: float = 0.0,
        noise: Noise | None = None,
        spacing: Spacing = "trailing",
        offset: int = 0,
    ) -> None:
        if not 0.0 <= eta <= 1.0:
            raise ValueError(f"eta must lie in 0..1, got {eta}")
        if eta > 0.0 and noise is None:
            raise ValueError("eta > 0 adds noise: say where it comes from (noise=)")
        self._diffusion, self._eta, self._noise = diffusion, eta, noise
        self._spacing, self._offset = spacing, offset
        self._run = Timeline([])

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n steps, without the first ``skip`` of them."""
        total = self._diffusion.steps
        self._run = Timeline(rest(spaced(total, n, self._spacing, self._offset), skip))
        return self._run.timesteps

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """Equation 12."""
        s = self._run.advance(t)
        x_0, eps = self._diffusion.split(model_output, t, x)
        ab_t, ab_s = self._diffusion.alpha_bar(t), self._diffusion.alpha_bar(s)
        sigma2 = self._eta**2 * (1.0 - ab_s) / (1.0 - ab_t) * (1.0 - ab_t / ab_s)
        direction = math.sqrt(max(0.0, 1.0 - ab_s - sigma2))
        x_s = math.sqrt(ab_s) * x_0 + direction * eps
        if sigma2 > 0.0 and self._noise is not None:
            x_s = x_s + math.sqrt(sigma2) * self._noise(x)
        return Step(x_s, x_0)
