"""The Gaussian diffusion of DDPM: every closed form of the paper, once, in float64.

Equation numbers are those of Ho, Jain and Abbeel 2020 (arXiv 2006.11239); names of
coefficients are those of their formulas.

Forward. Noise is added in T steps, and T Gaussian steps are one Gaussian::

    q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)                     (2)
    q(x_t | x_0)     = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)             (4)
    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, I)

Note the square roots: alpha_bar is a share of *variance*. Without them signal and
noise no longer add up to unit variance, and nothing that follows is true.

Backward. q(x_{t-1} | x_t) alone depends on the distribution of all pictures. But if
x_0 is given it is, by Bayes, a product of Gaussians and so a Gaussian::

    q(x_{t-1} | x_t, x_0) = N(mu~_t(x_t, x_0), beta~_t I)                        (6)
    mu~_t   = sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t) x_0
            + sqrt(alpha_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) x_t        (7)
    beta~_t = (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) beta_t

The network's guess stands in for x_0. What it answers with is ``prediction``::

    epsilon   the noise                          x_0 = (x_t - sqrt(1-ab) eps) / sqrt(ab)
    sample    the picture itself                 x_0
    v         sqrt(ab) eps - sqrt(1-ab) x_0      x_0 = sqrt(ab) x_t - sqrt(1-ab) v

(v: Salimans & Ho 2022, arXiv 2202.00512; the only one of the first and last that
says something where ab = 0.)

Arrays are numpy's or torch's alike: torch is never imported here. A tensor is known by
its ``new_tensor``, which moves coefficients to its device and type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = Any
"""A float numpy array or torch tensor, (B, C, H, W) unless said otherwise."""
Steps = ArrayLike
"""t: one int for the whole batch, or ints of shape (B,)."""
Prediction = Literal["epsilon", "sample", "v"]
Variance = Literal["beta", "posterior"]
"""sigma_t^2: ``beta`` is right if x_0 ~ N(0, I), ``posterior`` (beta~) if x_0 is one
point; real pictures lie between (section 3.2)."""

_ALMOST_ZERO = 2.0**-24


class GaussianDiffusion:
    """Coefficients of one schedule, and what the equations above make of them.

    Args:
        betas: (T,), each in (0, 1]; only the last may be 1 (zero terminal SNR).
        prediction: what the network answers with.
        clip: guesses of x_0 are cut to [-clip, clip]; None for latents.

    Raises:
        ValueError: for betas out of range, or epsilon with a zero terminal SNR, where
            the noise is the input itself and says nothing about the picture.
    """

    def __init__(
        self,
        betas: NDArray[np.float64],
        prediction: Prediction = "epsilon",
        clip: float | None = 1.0,
    ) -> None:
        betas = np.asarray(betas, np.float64)
        if betas.ndim != 1 or len(betas) < 2:
            raise ValueError(
                f"betas must be one row of T >= 2 values, got {betas.shape}"
            )
        if not ((betas > 0.0) & (betas <= 1.0)).all() or (betas[:-1] == 1.0).any():
            raise ValueError("betas must lie in (0, 1), only the last one may be 1")
        if prediction not in get_args(Prediction):
            known = ", ".join(get_args(Prediction))
            raise ValueError(f"prediction: {prediction!r} is unknown; one of {known}")
        if betas[-1] == 1.0 and prediction == "epsilon":
            raise ValueError("a zero terminal SNR needs prediction 'v' or 'sample'")
        self.prediction: Prediction = prediction
        self.clip = clip

        alphas = 1.0 - betas
        self.betas = betas
        self.alphas_cumprod = np.cumprod(alphas)
        self.alphas_cumprod_prev = np.append(1.0, self.alphas_cumprod[:-1])
        one_minus = 1.0 - self.alphas_cumprod
        self.sqrt_alphas_cumprod = np.sqrt(self.alphas_cumprod)
        self.sqrt_one_minus_alphas_cumprod = np.sqrt(one_minus)
        with np.errstate(
            divide="ignore"
        ):  # inf at a zero terminal SNR; never used there
            self.sqrt_recip_alphas_cumprod = 1.0 / self.sqrt_alphas_cumprod
            self.sqrt_recipm1_alphas_cumprod = np.sqrt(1.0 / self.alphas_cumprod - 1.0)
        # Equation 7, the two weights of the posterior's mean.
        self.posterior_mean_coef1 = (
            betas * np.sqrt(self.alphas_cumprod_prev) / one_minus
        )
        self.posterior_mean_coef2 = (
            np.sqrt(alphas) * (1.0 - self.alphas_cumprod_prev) / one_minus
        )
        self.posterior_variance = betas * (1.0 - self.alphas_cumprod_prev) / one_minus

    @property
    def steps(self) -> int:
        """T, the number of steps of the chain."""
        return len(self.betas)

    def alpha_bar(self, t: int) -> float:
        """alpha_bar_t; 1 for t < 0, before the first noise."""
        return 1.0 if t < 0 else float(self.alphas_cumprod[t])

    def positive_alpha_bar(self, t: int) -> float:
        """alpha_bar_t for solvers that divide by it: above 0 also at zero SNR.

        There it is 2^-24, or less where the step before is already close to that, so
        that it still falls from step to step.
        """
        almost_zero = min(_ALMOST_ZERO, 0.25 * float(self.alphas_cumprod[-2]))
        return max(self.alpha_bar(t), almost_zero)

    def q_sample(self, x_0: Array, t: Steps, eps: Array) -> Array:
        """x_t ~ q(x_t | x_0) for the given noise (eq. 4), at any t in one go."""
        return (
            self._at(self.sqrt_alphas_cumprod, t, x_0) * x_0
            + self._at(self.sqrt_one_minus_alphas_cumprod, t, x_0) * eps
        )

    def predict_start_from_noise(self, x_t: Array, t: Steps, eps: Array) -> Array:
        """x_0 = x_t / sqrt(alpha_bar) - sqrt(1 / alpha_bar - 1) eps (eq. 4 solved)."""
        return (
            self._at(self.sqrt_recip_alphas_cumprod, t, x_t) * x_t
            - self._at(self.sqrt_recipm1_alphas_cumprod, t, x_t) * eps
        )

    def predict_noise_from_start(self, x_t: Array, t: Steps, x_0: Array) -> Array:
        """The noise (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar) (eq. 4 solved)."""
        signal = self._at(self.sqrt_alphas_cumprod, t, x_t) * x_0
        return (x_t - signal) / self._at(self.sqrt_one_minus_alphas_cumprod, t, x_t)

    def velocity(self, x_0: Array, t: Steps, eps: Array) -> Array:
        """V = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans & Ho, app. D)."""
        return (
            self._at(self.sqrt_alphas_cumprod, t, x_0) * eps
            - self._at(self.sqrt_one_minus_alphas_cumprod, t, x_0) * x_0
        )

    def predict_start_from_velocity(self, x_t: Array, t: Steps, v: Array) -> Array:
        """x_0 = sqrt(alpha_bar) x_t - sqrt(1 - alpha_bar) v."""
        return (
            self._at(self.sqrt_alphas_cumprod, t, x_t) * x_t
            - self._at(self.sqrt_one_minus_alphas_cumprod, t, x_t) * v
        )

    def target(self, x_0: Array, t: Steps, eps: Array) -> Array:
        """What the network must answer for this noise: the target of L_simple (14)."""
        if self.prediction == "epsilon":
            return eps
        if self.prediction == "sample":
            return x_0
        return self.velocity(x_0, t, eps)

    def split(self, model_output: Array, t: Steps, x_t: Array) -> tuple[Array, Array]:
        """(x_0, eps) that the answer stands for: the two always make up x_t.

        If x_0 had to be cut to the range of a picture, eps is what then remains, so
        that every sampler sees one consistent pair whichever of the two it uses.
        """
        if self.prediction == "epsilon":
            x_0 = self.predict_start_from_noise(x_t, t, model_output)
        elif self.prediction == "sample":
            x_0 = model_output
        else:
            x_0 = self.predict_start_from_velocity(x_t, t, model_output)
        if self.clip is not None:
            x_0 = x_0.clip(-self.clip, self.clip)
        elif self.prediction == "epsilon":
            return x_0, model_output
        return x_0, self.predict_noise_from_start(x_t, t, x_0)

    def q_posterior_mean_variance(
        self, x_0: Array, x_t: Array, t: Steps, variance: Variance = "posterior"
    ) -> tuple[Array, Array]:
        """Mean (eq. 7) of q(x_{t-1} | x_t, x_0), and the chosen sigma_t^2 for it."""
        mean = (
            self._at(self.posterior_mean_coef1, t, x_t) * x_0
            + self._at(self.posterior_mean_coef2, t, x_t) * x_t
        )
        fixed = self.posterior_variance if variance == "posterior" else self.betas
        return mean, self._at(fixed, t, x_t)

    def p_sample(
        self,
        model_output: Array,
        x_t: Array,
        t: int,
        noise: Callable[[Array], Array],
        variance: Variance = "posterior",
    ) -> Array:
        """x_{t-1}: one line of algorithm 2, with x_0 from the network's answer.

        ``noise(x)`` draws z ~ N(0, I) of x's shape; it is not called at t = 0, where
        the mean is the picture.
        """
        x_0, _ = self.split(model_output, t, x_t)
        mean, sigma2 = self.q_posterior_mean_variance(x_0, x_t, t, variance)
        return mean if t == 0 else mean + sigma2**0.5 * noise(x_t)

    def _at(self, coefficients: NDArray[np.float64], t: Steps, like: Array) -> Array:
        """coefficients[t] in the type of ``like``, shaped to multiply it: (B, 1, 1, 1)."""
        index = np.asarray(t)
        if index.size and (index.min() < 0 or index.max() >= self.steps):
            raise ValueError(f"t must lie in 0..{self.steps - 1}, got {index}")
        values = np.asarray(coefficients[index])
        if values.ndim:
            values = values.reshape(values.shape + (1,) * (like.ndim - 1))
        if hasattr(like, "new_tensor"):
            return like.new_tensor(values)
        return values.astype(like.dtype)
