"""Noise schedules: how much of the picture is left at each step.

Vocabulary of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020,
arXiv 2006.11239): ``beta_t`` is the variance of the noise added at step t,
``alpha_t = 1 - beta_t`` and ``alpha_bar_t`` (``alphas_cumprod``) their running
product, the share of the picture's variance that is left. Steps count from 0 to
T - 1; step 0 is the least noisy.

The trap that a short chain sets
--------------------------------
Sampling begins with pure noise, x_T ~ N(0, I), so at the last step *next to nothing*
of the picture may be left. The paper's betas, 1e-4 to 0.02, see to that with its
T = 1000: alpha_bar_T = 4.0e-5. Keep them and shorten the chain to T = 300, and
alpha_bar_T = 0.048: 4.8 % of the variance, 22 % of the amplitude of the picture is
still there. The network has then never seen pure noise, and the first thing it is
asked at sampling time lies outside of everything it was trained on (colours come out
washed towards the mean). So betas are a *rate*: fewer steps must be larger ones. Here
both ends are multiplied by 1000 / T, as guided-diffusion does; T = 300 then ends at
3.4e-5.

All results are float64: products of a thousand factors near 1 lose digits in float32.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Betas = NDArray[np.float64]
Schedule = Literal["linear", "scaled_linear", "cosine"]

REFERENCE_STEPS = 1000
"""The T for which the papers give their betas."""
MIN_STEPS = 21
"""With fewer, the last of the stretched linear betas would exceed 1 (0.02 * 1000/T)."""
MAX_BETA = 0.999
"""Nichol & Dhariwal 2021, section 3.2: no singularity at the end of the chain."""


def betas(name: str, steps: int) -> Betas:
    """The :data:`Schedule` of that name with its paper's constants, (T,) float64.

    Raises ValueError for a name that is none.
    """
    if name == "linear":
        return linear(steps)
    if name == "scaled_linear":
        return scaled_linear(steps)
    if name == "cosine":
        return cosine(steps)
    known = ", ".join(get_args(Schedule))
    raise ValueError(f"schedule: {name!r} is unknown; one of {known}")


def linear(steps: int, *, first: float = 1e-4, last: float = 0.02) -> Betas:
    """Betas on a straight line (DDPM, section 4), both ends scaled with 1000 / T.

    Args:
        steps: T, the number of steps; at least 21.
        first: beta of step 0 in a chain of 1000 steps.
        last: beta of step T - 1 in a chain of 1000 steps.

    Raises:
        ValueError: if ``steps`` is too small, or a scaled beta is not in (0, 1).
    """
    scale = REFERENCE_STEPS / _checked(steps)
    return _in_range(np.linspace(first * scale, last * scale, steps))


def scaled_linear(steps: int, *, first: float = 0.00085, last: float = 0.012) -> Betas:
    """Square roots on a straight line (Rombach et al. 2022, Stable Diffusion).

    ``linspace(sqrt(first), sqrt(last), T) ** 2``; arguments and errors as in
    :func:`linear`. At T = 1000 it ends at alpha_bar = 0.0047: the "no zero terminal
    SNR" of Lin et al., see :func:`rescale_zero_terminal_snr`.
    """
    scale = REFERENCE_STEPS / _checked(steps)
    return _in_range(
        np.linspace((first * scale) ** 0.5, (last * scale) ** 0.5, steps) ** 2
    )


def cosine(steps: int, *, offset: float = 0.008) -> Betas:
    """alpha_bar falls as a squared cosine (Nichol & Dhariwal 2021, eq. 17).

    ``alpha_bar(u) = cos^2((u + s) / (1 + s) * pi / 2)``, u = t / T. It is given as a
    function of the *share* of the chain, so it scales with T by itself. Small
    pictures profit: the linear schedule destroys them too early.
    """
    _checked(steps)

    def alpha_bar(share: float) -> float:
        return math.cos((share + offset) / (1.0 + offset) * math.pi / 2.0) ** 2

    values = [
        1.0 - alpha_bar((t + 1) / steps) / alpha_bar(t / steps) for t in range(steps)
    ]
    return np.minimum(np.array(values, np.float64), MAX_BETA)


def rescale_zero_terminal_snr(values: Betas) -> Betas:
    """Shift and scale sqrt(alpha_bar) so that it ends at exactly 0.

    Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed"
    (arXiv 2305.08891), algorithm 1. The first value is kept, the last beta becomes 1.
    The last step then holds no picture at all, and epsilon says nothing about it: such
    a model must predict v (or x0), and sampling must begin at the last step.
    """
    root = np.sqrt(np.cumprod(1.0 - values))
    first, last = root[0], root[-1]
    root = (root - last) * first / (first - last)
    alphas_cumprod = root**2
    alphas = np.concatenate(
        [alphas_cumprod[:1], alphas_cumprod[1:] / alphas_cumprod[:-1]]
    )
    result: Betas = 1.0 - alphas
    return result


def _checked(steps: int) -> int:
    if steps < MIN_STEPS:
        raise ValueError(f"steps: a chain needs at least {MIN_STEPS}, got {steps}")
    return steps


def _in_range(values: Betas) -> Betas:
    if not (values > 0.0).all() or not (values < 1.0).all():
        raise ValueError(
            f"betas must lie between 0 and 1, got {values.min():g} to {values.max():g} "
            "after scaling with 1000 / T"
        )
    return values
