"""Where a run begins, and what an inpainting keeps."""

import numpy as np
import pytest

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.pipelines.denoising import Known, denoise
from salon.imaging.samplers import registry

SHAPE = (2, 3, 8, 8)
DIFFUSION = GaussianDiffusion(betas.scaled_linear(1000), clip=None)


def _network(x, t):
    """Any function will do: what is promised does not depend on it."""
    return np.tanh(0.7 * x + 0.01 * np.sin(t)) + 0.1 * np.roll(x, 1, axis=-1)


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def _sampler(name: str, diffusion=DIFFUSION):
    rng = np.random.default_rng(9)
    return registry.make(name, diffusion, lambda x: rng.standard_normal(x.shape))


def _last(steps):
    *_, last = steps
    return last.x


PICTURE = np.random.default_rng(5).uniform(-1, 1, SHAPE)
REPAINT = np.zeros((1, 1, 8, 8))
REPAINT[..., 3:] = 1.0


@pytest.mark.parametrize("name", registry.SAMPLERS)
@pytest.mark.parametrize(("skip", "calls"), [(0, 10), (2, 8), (8, 2)])
def test_the_share_that_is_left_is_the_number_of_calls(name, skip, calls) -> None:
    asked = []

    def network(x, t):
        asked.append(t)
        return _network(x, t)

    base = PICTURE if skip else None
    run = denoise(
        network, _sampler(name), DIFFUSION, _noise(0), 10, skip=skip, base=base
    )
    assert len(list(run)) == len(asked)
    assert len(asked) == calls + (name == "pndm")


def test_a_run_from_a_picture_begins_with_it_noised_to_the_level_due() -> None:
    seen = []

    def network(x, t):
        seen.append((x, t))
        return _network(x, t)

    list(
        denoise(
            network, _sampler("ddim"), DIFFUSION, _noise(0), 10, skip=8, base=PICTURE
        )
    )
    x, t = seen[0]
    assert t == 199
    assert np.allclose(x, DIFFUSION.q_sample(PICTURE, t, _noise(0)))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v"])
@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_what_is_known_is_the_result(name: str, prediction) -> None:
    diffusion = GaussianDiffusion(betas.scaled_linear(1000), prediction, None)
    known = Known(PICTURE, REPAINT)
    sampler = _sampler(name, diffusion)
    run = denoise(_network, sampler, diffusion, _noise(0), 10, known=known)
    result = _last(run)
    # LCM's last jump mixes in a little of its x, 6e-6 of it at t = 20
    assert np.allclose(result[..., :3], PICTURE[..., :3], atol=1e-4)
    assert not np.allclose(result[..., 3:], PICTURE[..., 3:], atol=0.05)


def test_for_ddim_it_is_the_original_noised_again_at_every_step() -> None:
    """Stable Diffusion's legacy way, written out."""
    sampler, noise = _sampler("ddim"), _noise(0)
    grid = sampler.timesteps(10)
    x = REPAINT * noise + (1 - REPAINT) * DIFFUSION.q_sample(PICTURE, grid[0], noise)
    for t, s in zip(grid, [*grid[1:], None], strict=True):
        x = sampler.step(_network(x, t), t, x).x
        level = PICTURE if s is None else DIFFUSION.q_sample(PICTURE, s, noise)
        x = REPAINT * x + (1 - REPAINT) * level
    known = Known(PICTURE, REPAINT)
    ours = _last(denoise(_network, _sampler("ddim"), DIFFUSION, noise, 10, known=known))
    assert np.allclose(ours, x, atol=1e-9)


@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_a_mask_that_is_all_white_is_no_mask(name: str) -> None:
    known = Known(PICTURE, np.ones_like(REPAINT))
    with_mask = _last(
        denoise(_network, _sampler(name), DIFFUSION, _noise(0), 10, known=known)
    )
    without = _last(denoise(_network, _sampler(name), DIFFUSION, _noise(0), 10))
    assert np.allclose(with_mask, without, atol=1e-6)
