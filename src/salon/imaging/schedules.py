"""Flow matching: how noise and picture mix, and what the U-Net is asked for.

A noised picture is the straight line between picture and noise (Lipman et al. 2022,
arXiv 2210.02747; Liu et al. 2022, arXiv 2209.03003)::

    x_t = (1 - t) x0 + t eps,      t = 0 picture, t = 1 noise

The U-Net answers with x0. It does not start from nothing: it is given a *reference*
r, the prior's blurry guess. If the guess is off by e ~ N(0, s^2), then, knowing x_t
and r, the best linear estimate of x0 and the spread that remains are (the normal
equations of two noisy measurements of e)::

    x0 ~ r + c_skip(t) (x_t - (1 - t) r)
    c_skip = (1 - t) s^2 / ((1 - t)^2 s^2 + t^2)
    c_out  =  s t / sqrt((1 - t)^2 s^2 + t^2)

so the network F only has to supply ``x0 = r + c_skip (x_t - (1-t) r) + c_out F``, a
target of about unit size at every t. With r = 0 this is the preconditioning of
Karras et al. 2022 (arXiv 2206.00364, eq. 7) for the straight path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REFERENCE_SPREAD = 0.25
"""s, the typical error of the reference, in units of the canvas (-1..1)."""


def mix(x0: Any, eps: Any, t: Any) -> Any:
    """x_t = (1 - t) x0 + t eps, for numpy arrays and torch tensors alike."""
    return (1.0 - t) * x0 + t * eps


def c_skip(t: Any, spread: float = REFERENCE_SPREAD) -> Any:
    """Share of the difference between x_t and the noised reference that is picture."""
    signal = (1.0 - t) * spread
    return signal * spread / (signal**2 + t**2)


def c_out(t: Any, spread: float = REFERENCE_SPREAD) -> Any:
    """Standard deviation that is left, the scale of the network's output."""
    return spread * t / (((1.0 - t) * spread) ** 2 + t**2) ** 0.5


def log_snr(t: float) -> float:
    """lambda_t = log(alpha_t / sigma_t) = log((1 - t) / t); needs 0 < t < 1."""
    return float(np.log1p(-t) - np.log(t))


def times(steps: int, start: float = 1.0, power: float = 1.0) -> NDArray[np.float64]:
    """``steps + 1`` times from ``start`` down to 0, evenly spaced in t**(1/power)."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not 0.0 < start <= 1.0:
        raise ValueError(f"start must lie in (0, 1], got {start}")
    grid = np.linspace(1.0, 0.0, steps + 1) ** power
    result: NDArray[np.float64] = start * grid
    return result


def training_times(
    rng: np.random.Generator, count: int, mean: float = -0.4, spread: float = 1.1
) -> NDArray[np.float32]:
    """Logit-normal t (Esser et al. 2024, arXiv 2403.03206) with some high ones.

    The mean is below the usual 0 because the reference already gives the layout:
    what is left to learn is detail, at low noise. One in twelve is uniform in
    0.9..1, so that sampling from pure noise works as well.
    """
    drawn = 1.0 / (1.0 + np.exp(-rng.normal(mean, spread, count)))
    high = rng.random(count) < 1.0 / 12.0
    drawn[high] = rng.uniform(0.9, 1.0, int(high.sum()))
    return np.clip(drawn, 1e-3, 1.0).astype(np.float32)
