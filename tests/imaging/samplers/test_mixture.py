"""Every sampler draws from a known distribution, and draws it right.

``salon.imaging.samplers`` with the exact denoiser of :mod:`tests.imaging.samplers.mixture`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers import interface
from salon.imaging.samplers.ancestral import Ancestral
from salon.imaging.samplers.ddim import DDIM
from salon.imaging.samplers.dpm_solver import DPMSolver
from salon.imaging.samplers.euler import Euler
from salon.imaging.samplers.interface import Noise, Sampler
from salon.imaging.samplers.pndm import PNDM
from salon.imaging.samplers.unipc import UniPC
from tests.imaging.samplers.mixture import MEAN, SPREAD, Denoiser, posterior_mean

COUNT, T = 20_000, 300
Make = Callable[[GaussianDiffusion, Noise], Sampler]
MAKERS: dict[str, Make] = {
    "ddpm, posterior variance": Ancestral,
    "ddpm, beta": lambda d, z: Ancestral(d, z, "beta"),
    "ddim": lambda d, _: DDIM(d),
    "ddim, eta 1": lambda d, z: DDIM(d, 1.0, z),
    "euler": lambda d, _: Euler(d),
    "pndm": lambda d, _: PNDM(d),
    "dpm++": lambda d, _: DPMSolver(d),
    "unipc": lambda d, _: UniPC(d),
}


def _drawn(make: Make, diffusion: GaussianDiffusion) -> np.ndarray:
    rng = np.random.default_rng(1)
    sampler = make(diffusion, interface.numpy_noise(rng))
    x = rng.standard_normal(COUNT)
    *_, last = interface.sample(Denoiser(diffusion), sampler, x, T)
    return np.asarray(last.x)


def _assert_both_pictures(x: np.ndarray) -> None:
    assert np.abs(x).mean() == pytest.approx(MEAN, abs=0.01)
    assert np.abs(x).std() == pytest.approx(SPREAD, abs=0.01)
    assert (x > 0).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", MAKERS)
def test_the_two_pictures_come_out_with_their_spread(name: str) -> None:
    diffusion = GaussianDiffusion(betas.linear(T), clip=None)

    _assert_both_pictures(_drawn(MAKERS[name], diffusion))


@pytest.mark.parametrize("name", sorted(MAKERS.keys() - {"pndm"}))
def test_the_same_with_v_and_a_zero_terminal_snr(name: str) -> None:
    values = betas.rescale_zero_terminal_snr(betas.linear(T))
    diffusion = GaussianDiffusion(values, "v", clip=None)

    _assert_both_pictures(_drawn(MAKERS[name], diffusion))


def test_s3s_printed_sampler_fails_this_very_test() -> None:
    """So the test can fail. Its forward process lacks the root, its backward one
    re-noises afresh at every step, and t = 0 takes alpha_bar of the *noisiest* step;
    its denoiser is optimal for that forward process.
    """
    rng = np.random.default_rng(1)
    alphas_cumprod = np.cumprod(1.0 - np.linspace(1e-4, 0.02, T))
    x = rng.standard_normal(COUNT)
    for t in reversed(range(T)):
        x_0 = posterior_mean(x, alphas_cumprod[t], np.sqrt(1.0 - alphas_cumprod[t]))
        before = alphas_cumprod[t - 1]
        z = rng.standard_normal(COUNT) if t > 0 else 0.0
        x = before * x_0 + np.sqrt(1.0 - before) * z

    assert np.abs(x).mean() == pytest.approx(0.038, abs=0.01)
