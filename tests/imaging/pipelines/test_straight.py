"""The straight path as a chain: any sampler, against closed-form flows."""

import numpy as np
import pytest

from salon.imaging import schedules
from salon.imaging.pipelines.denoising import denoise
from salon.imaging.pipelines.straight import StraightPath
from salon.imaging.samplers import registry


def _drawn(x0, name, steps, noise, base=None, start=1.0, seed=0):
    path = StraightPath(steps, start)
    rng = np.random.default_rng(seed)
    sampler = registry.make(
        name, path.diffusion, lambda x: rng.standard_normal(x.shape), spacing="trailing"
    )
    predict = path.predict(x0)
    *_, last = denoise(predict, sampler, path.diffusion, noise, steps, base=base)
    return last.x


def _two_kinds(x, t):
    """x0 is +-0.8 with sd 0.05; this is the exact posterior mean."""
    spread = 0.05
    variance = ((1 - t) * spread) ** 2 + t**2
    gain = (1 - t) * spread**2 / variance
    means = [m + gain * (x - (1 - t) * m) for m in (-0.8, 0.8)]
    share = 1 / (1 + np.exp(-2 * (1 - t) * 0.8 * x / variance))
    return np.asarray(share * means[1] + (1 - share) * means[0])


@pytest.mark.parametrize(
    ("name", "steps"), [("dpm++", 50), ("ddim", 50), ("euler", 50), ("unipc", 50)]
)
def test_two_kinds_of_picture_come_out_as_two_kinds(name: str, steps: int) -> None:
    noise = np.random.default_rng(1).standard_normal(20_000)
    found = _drawn(_two_kinds, name, steps, noise)
    assert np.abs(found).mean() == pytest.approx(0.8, abs=0.01)
    assert np.abs(found).std() == pytest.approx(0.05, abs=0.015)
    assert (found > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_the_network_is_asked_at_evenly_spaced_times_on_the_straight_path() -> None:
    asked = []

    def x0(x, t):
        asked.append((t, float(x[0])))
        return np.full_like(x, 0.5)

    noise = np.full(1, 2.0)
    _drawn(x0, "dpm++", 12, noise, base=np.full(1, 0.5), start=0.8)
    times = [t for t, _ in asked]
    assert times == pytest.approx(list(schedules.times(12, 0.8)[:-1]))
    for t, x in asked:
        assert x == pytest.approx(schedules.mix(0.5, 2.0, t))


@pytest.mark.parametrize("name", registry.SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_every_sampler_reaches_the_only_possible_picture(name: str, steps: int) -> None:
    picture = np.linspace(-1, 1, 16)
    noise = np.random.default_rng(0).standard_normal(16)
    reached = _drawn(lambda x, t: picture, name, steps, noise, base=picture, start=0.8)
    assert reached == pytest.approx(picture, abs=1e-6)
