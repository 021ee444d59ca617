"""A world of two pictures, +0.8 and -0.8 with spread 0.05, and its perfect denoiser.

Everything is known in closed form, so a sampler that draws from it wrongly has no
network to blame.
"""

import numpy as np

from salon.imaging.diffusion.ddpm import GaussianDiffusion

MEAN, SPREAD = 0.8, 0.05


def posterior_mean(x: np.ndarray, signal: float, noise: float) -> np.ndarray:
    """E[x_0 | x] where x = signal x_0 + noise eps."""
    variance = (signal * SPREAD) ** 2 + noise**2
    gain = signal * SPREAD**2 / variance
    plus = MEAN + gain * (x - signal * MEAN)
    minus = -MEAN + gain * (x + signal * MEAN)
    share = 0.5 * (1.0 + np.tanh(signal * MEAN * x / variance))
    return share * plus + (1.0 - share) * minus


class Denoiser:
    """Answers with what ``diffusion`` wants predicted; counts how often it is asked."""

    def __init__(self, diffusion: GaussianDiffusion) -> None:
        self._diffusion = diffusion
        self.asked: list[int] = []

    def __call__(self, x: np.ndarray, t: int) -> np.ndarray:
        self.asked.append(t)
        d = self._diffusion
        x_0 = posterior_mean(
            x,
            float(d.sqrt_alphas_cumprod[t]),
            float(d.sqrt_one_minus_alphas_cumprod[t]),
        )
        answer = d.target(x_0, t, d.predict_noise_from_start(x, t, x_0))
        return np.asarray(answer, x.dtype)
