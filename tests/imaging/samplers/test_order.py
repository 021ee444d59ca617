"""How fast the error falls: the samplers' order, on a flow known in closed form."""

from collections.abc import Callable

import numpy as np
import pytest

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers import interface
from salon.imaging.samplers.ddim import DDIM
from salon.imaging.samplers.dpm_solver import DPMSolver
from salon.imaging.samplers.euler import Euler
from salon.imaging.samplers.interface import Sampler
from salon.imaging.samplers.pndm import PNDM
from salon.imaging.samplers.unipc import UniPC

MEAN, SPREAD, T, GOAL = 0.3, 0.5, 1000, 499


def _flow(diffusion: GaussianDiffusion, t: int, z: np.ndarray) -> np.ndarray:
    """Where the flow of data N(m, s^2) has z at time t."""
    ab = diffusion.alpha_bar(t)
    return np.sqrt(ab) * MEAN + np.sqrt(ab * SPREAD**2 + 1 - ab) * z


def _error(make: Callable[[GaussianDiffusion], Sampler], n: int) -> float:
    """Of following the flow in n steps of T, measured half way down."""
    diffusion = GaussianDiffusion(betas.linear(T), clip=None)

    def predict(x: np.ndarray, t: int) -> np.ndarray:
        ab = diffusion.alpha_bar(t)
        gain = np.sqrt(ab) * SPREAD**2 / (ab * SPREAD**2 + 1 - ab)
        x_0 = MEAN + gain * (x - np.sqrt(ab) * MEAN)
        return np.asarray(diffusion.predict_noise_from_start(x, t, x_0))

    z, sampler = np.linspace(-2, 2, 9), make(diffusion)
    timesteps = sampler.timesteps(n)
    x = _flow(diffusion, timesteps[0], z)
    for t in timesteps:
        if t <= GOAL:
            return float(np.abs(x - _flow(diffusion, t, z)).max())
        x = sampler.step(predict(x, t), t, x).x
    raise AssertionError


@pytest.mark.parametrize("make", [DDIM, Euler, lambda d: DPMSolver(d, order=1)])
def test_first_order_halves_its_error_with_twice_the_steps(
    make: Callable[[GaussianDiffusion], Sampler],
) -> None:
    coarse, fine = _error(make, 40), _error(make, 80)

    assert 1.7 < coarse / fine < 2.4


@pytest.mark.parametrize("make", [DPMSolver, UniPC, lambda d: PNDM(d, "trailing")])
def test_higher_orders_quarter_it_at_least(
    make: Callable[[GaussianDiffusion], Sampler],
) -> None:
    coarse, fine = _error(make, 100), _error(make, 200)

    assert coarse / fine > 3.7


def test_orders_are_ranked_as_the_papers_say() -> None:
    error = {make: _error(make, 20) for make in (DDIM, DPMSolver, UniPC)}

    assert error[UniPC] < error[DPMSolver] < error[DDIM]


def test_euler_and_ddim_are_one_method_found_twice() -> None:
    for n in (7, 50):
        assert _error(Euler, n) == pytest.approx(_error(DDIM, n), rel=1e-9)


def test_a_run_can_be_left_and_begun_again() -> None:
    """History of an abandoned run must not leak into the next one."""
    diffusion = GaussianDiffusion(betas.linear(100))
    x = np.random.default_rng(0).standard_normal(5)
    for make in (PNDM, DPMSolver, UniPC):
        sampler = make(diffusion)
        for step in (2, 1, 10):
            done = list(
                zip(
                    range(step),
                    interface.sample(lambda x, t: 0.9 * x, sampler, x, 10),
                    strict=False,
                )
            )
        fresh = interface.sample(lambda x, t: 0.9 * x, make(diffusion), x, 10)
        for (_, again), first in zip(done, fresh, strict=False):
            assert np.array_equal(again.x, first.x)
