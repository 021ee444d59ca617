"""Timesteps and the loop that every sampler shares."""

from itertools import pairwise

import numpy as np
import pytest

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers import interface, names, registry
from tests.imaging.samplers.mixture import Denoiser


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion(betas.linear(1000))


def test_the_three_spacings_are_those_of_lin_et_al() -> None:
    assert interface.spaced(1000, 10, "trailing")[:2] == [999, 899]
    assert interface.spaced(1000, 10, "leading")[-2:] == [100, 0]
    assert interface.spaced(1000, 10, "leading", offset=1)[0] == 901
    linspace = interface.spaced(1000, 10, "linspace")
    assert (linspace[0], linspace[-1]) == (999, 0)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 299, 300])
def test_timesteps_fall_and_stay_in_the_chain(
    spacing: interface.Spacing, n: int
) -> None:
    grid = interface.spaced(300, n, spacing)

    assert len(grid) == n
    assert all(a > b for a, b in pairwise(grid))
    assert 0 <= grid[-1] <= grid[0] < 300


@pytest.mark.parametrize("n", [0, -1, 1001])
@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_an_impossible_number_of_steps_is_refused(
    diffusion: GaussianDiffusion, name: str, n: int
) -> None:
    sampler = registry.make(name, diffusion, np.zeros_like)

    with pytest.raises(ValueError, match="steps must be between 1 and"):
        sampler.timesteps(n)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_every_sampler_ends_at_a_picture_whatever_the_steps(
    diffusion: GaussianDiffusion, name: str, n: int
) -> None:
    """Its last guess is the result: no noise is left, nothing is NaN.

    PNDM alone extrapolates to the very end and may overshoot its own guess.
    """
    denoiser = Denoiser(diffusion)
    noise = interface.numpy_noise(np.random.default_rng(0))
    sampler = registry.make(name, diffusion, noise)
    x = np.random.default_rng(1).standard_normal(64).astype(np.float32)
    steps = list(interface.sample(denoiser, sampler, x, n))

    assert len(steps) == len(denoiser.asked) == n + (name == "pndm" and n > 1)
    if name != "pndm":
        assert np.abs(steps[-1].x - steps[-1].x_0).max() < 1e-3
    assert all(np.isfinite(step.x).all() for step in steps)
    assert {step.x.dtype for step in steps} == {np.dtype(np.float32)}


def test_a_step_out_of_turn_is_the_callers_mistake(
    diffusion: GaussianDiffusion,
) -> None:
    sampler = registry.make("ddim", diffusion, np.zeros_like)
    x = np.zeros(3)
    with pytest.raises(ValueError, match="None is due"):
        sampler.step(x, 999, x)
    sampler.timesteps(10)
    with pytest.raises(ValueError, match="t = 999 is due"):
        sampler.step(x, 899, x)


def test_pndm_says_why_it_cannot_begin_at_zero_snr() -> None:
    values = betas.rescale_zero_terminal_snr(betas.linear(100))

    with pytest.raises(ValueError, match="DPM-Solver"):
        registry.make("pndm", GaussianDiffusion(values, "v"), np.zeros_like)


def test_names_and_spacings_that_do_not_exist_are_answered_with_those_that_do(
    diffusion: GaussianDiffusion,
) -> None:
    with pytest.raises(ValueError, match="unipc"):
        registry.make("heun", diffusion, np.zeros_like)
    with pytest.raises(ValueError, match="leading, trailing"):
        interface.spaced(10, 2, "karras")
    with pytest.raises(ValueError, match="offset 5"):
        interface.spaced(10, 10, "leading", offset=5)


def test_ddim_wants_noise_for_eta_and_eta_in_range(
    diffusion: GaussianDiffusion,
) -> None:
    from salon.imaging.samplers.ddim import DDIM

    with pytest.raises(ValueError, match="noise="):
        DDIM(diffusion, eta=0.5)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        DDIM(diffusion, eta=1.5)


def test_ddim_at_eta_one_is_ancestral_sampling(diffusion: GaussianDiffusion) -> None:
    from salon.imaging.samplers.ancestral import Ancestral
    from salon.imaging.samplers.ddim import DDIM

    drawn = []
    for make in (
        lambda z: Ancestral(diffusion, z),
        lambda z: DDIM(diffusion, 1.0, z),
    ):
        sampler = make(interface.numpy_noise(np.random.default_rng(3)))
        x = np.random.default_rng(4).standard_normal(100)
        *_, last = interface.sample(Denoiser(diffusion), sampler, x, 50)
        drawn.append(last.x)

    assert drawn[0] == pytest.approx(drawn[1], abs=1e-9)


def test_full_ancestral_sampling_is_algorithm_two(diffusion: GaussianDiffusion) -> None:
    """The strided sampler at n = T and the paper's line, coefficient by coefficient."""
    from salon.imaging.samplers.ancestral import Ancestral

    x = np.random.default_rng(5).standard_normal(10)
    for variance in ("beta", "posterior"):
        sampler = Ancestral(diffusion, np.ones_like, variance)
        for t in sampler.timesteps(1000)[:3]:
            eps = np.random.default_rng(t).standard_normal(10)
            expected = diffusion.p_sample(eps, x, t, np.ones_like, variance)
            assert sampler.step(eps, t, x).x == pytest.approx(expected)


def test_a_consistency_model_jumps_again_from_less_noise(
    diffusion: GaussianDiffusion,
) -> None:
    sampler = registry.make("lcm", diffusion, np.zeros_like)

    assert sampler.timesteps(4) == [999, 759, 499, 259]
    x = np.full(3, 0.2)
    jumped = sampler.step(x, 999, x)
    ab = diffusion.alpha_bar(759)
    assert jumped.x == pytest.approx(np.sqrt(ab) * jumped.x_0, rel=1e-3)


def test_the_names_that_requests_know_are_those_of_the_samplers() -> None:
    assert tuple(registry.SAMPLERS) == names.NAMES
    assert set(names.TITLES) == set(names.NAMES)


@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_a_run_may_leave_out_its_first_steps(
    diffusion: GaussianDiffusion, name: str
) -> None:
    sampler = registry.make(name, diffusion, np.zeros_like)
    whole, rest = sampler.timesteps(10), sampler.timesteps(10, 7)

    assert list(dict.fromkeys(rest)) == list(dict.fromkeys(whole))[-3:]
    with pytest.raises(ValueError, match="skip must be between 0 and 9"):
        sampler.timesteps(10, 10)


def test_a_zero_terminal_snr_is_for_all_but_pndm() -> None:
    flat = betas.rescale_zero_terminal_snr(betas.scaled_linear(1000))
    usable = registry.usable(GaussianDiffusion(flat, "v"))

    assert set(registry.SAMPLERS) - set(usable) == {"pndm"}
