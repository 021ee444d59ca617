"""Every sampler equals diffusers' scheduler on the same answers and the same noise."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion, Prediction
from salon.imaging.samplers.ancestral import Ancestral
from salon.imaging.samplers.ddim import DDIM
from salon.imaging.samplers.dpm_solver import DPMSolver
from salon.imaging.samplers.euler import Euler
from salon.imaging.samplers.interface import Noise, Sampler
from salon.imaging.samplers.lcm import LCM
from salon.imaging.samplers.pndm import PNDM
from salon.imaging.samplers.unipc import UniPC

pytestmark = [
    pytest.mark.torch,
    # diffusers 0.42 makes numpy arrays of tensors in the way numpy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import diffusers
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")

T = 1000
SHAPE = (2, 3, 4, 4)


class Case(NamedTuple):
    make: Callable[[GaussianDiffusion, Noise], Sampler]
    theirs: str
    options: dict[str, Any]
    clip: float | None = None


LEADING = {"timestep_spacing": "leading"}
TRAILING = {"timestep_spacing": "trailing"}
CUT = {"clip_sample": True}
WHOLE = {"clip_sample": False}
CASES = {
    "ddpm posterior": Case(
        lambda d, z: Ancestral(d, z, spacing="leading"),
        "DDPMScheduler",
        LEADING | WHOLE | {"variance_type": "fixed_small"},
    ),
    "ddpm beta, clipped": Case(
        lambda d, z: Ancestral(d, z, "beta", "leading"),
        "DDPMScheduler",
        LEADING | CUT | {"variance_type": "fixed_large"},
        1.0,
    ),
    "ddim": Case(lambda d, _: DDIM(d), "DDIMScheduler", TRAILING | WHOLE),
    "ddim leading, eta 0.7": Case(
        lambda d, z: DDIM(d, 0.7, z, "leading", 1),
        "DDIMScheduler",
        LEADING | WHOLE | {"steps_offset": 1},
    ),
    "ddim clipped": Case(lambda d, _: DDIM(d), "DDIMScheduler", TRAILING | CUT, 1.0),
    "pndm": Case(
        lambda d, _: PNDM(d),
        "PNDMScheduler",
        LEADING | {"skip_prk_steps": True, "set_alpha_to_one": True},
    ),
    "pndm, stable diffusion's offset": Case(
        lambda d, _: PNDM(d, offset=1),
        "PNDMScheduler",
        LEADING | {"skip_prk_steps": True, "set_alpha_to_one": True, "steps_offset": 1},
    ),
    "euler": Case(lambda d, _: Euler(d), "EulerDiscreteScheduler", TRAILING),
    "euler leading": Case(
        lambda d, _: Euler(d, "leading", 1),
        "EulerDiscreteScheduler",
        LEADING | {"steps_offset": 1},
    ),
    "dpm++ 2M": Case(
        lambda d, _: DPMSolver(d), "DPMSolverMultistepScheduler", TRAILING
    ),
    "dpm++ 1": Case(
        lambda d, _: DPMSolver(d, order=1),
        "DPMSolverMultistepScheduler",
        TRAILING | {"solver_order": 1},
    ),
    "unipc": Case(lambda d, _: UniPC(d), "UniPCMultistepScheduler", TRAILING),
    "lcm": Case(LCM, "LCMScheduler", WHOLE),
}
THEIR_NAME = {"epsilon": "epsilon", "sample": "sample", "v": "v_prediction"}


class _Noise:
    """The same z for both sides: ours is asked, theirs draws from a generator."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(7)

    def __call__(self, x: Any) -> Any:
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype)


def _answers(n: int) -> Any:
    """A fixed sequence, one answer a call (PNDM needs one more)."""
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.standard_normal((n + 1, *SHAPE)))


def _theirs(case: Case, values: betas.Betas, prediction: str) -> Any:
    return getattr(diffusers, case.theirs)(
        num_train_timesteps=T,
        trained_betas=values.tolist(),
        prediction_type=THEIR_NAME[prediction],
        **case.options,
    )


def _scaled(scheduler: Any, x: Any, index: int) -> Any:
    """Theirs to ours: Euler's x is ours times sqrt(sigma^2 + 1)."""
    if type(scheduler).__name__ != "EulerDiscreteScheduler":
        return x
    return x / (scheduler.sigmas[index].double() ** 2 + 1.0) ** 0.5


def _step_options(case: Case, name: str, noise: _Noise) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if case.theirs in ("DDPMScheduler", "LCMScheduler", "DDIMScheduler"):
        options["generator"] = noise.generator
    if ", eta" in name:
        options["eta"] = 0.7
    if case.theirs == "DDIMScheduler":
        options["use_clipped_model_output"] = case.clip is not None
    return options


@pytest.mark.parametrize(
    ("name", "prediction", "n"),
    [
        (name, prediction, n)
        for name in CASES
        for prediction in ("epsilon", "v")
        for n in (1, 4, 20)
        # Their PNDM repeats a step that n = 1 lacks, and mixes v instead of epsilon.
        if not name.startswith("pndm") or (prediction == "epsilon" and n > 1)
    ],
)
def test_a_fixed_sequence_gives_the_same_pictures(
    name: str, prediction: Prediction, n: int
) -> None:
    case, values = CASES[name], betas.scaled_linear(T)
    ours_noise, their_noise = _Noise(), _Noise()
    diffusion = GaussianDiffusion(values, prediction, case.clip)
    ours, theirs = case.make(diffusion, ours_noise), _theirs(case, values, prediction)
    theirs.set_timesteps(n)
    timesteps = ours.timesteps(n)
    assert timesteps == [int(t) for t in theirs.timesteps]

    x = torch.from_numpy(np.random.default_rng(6).standard_normal(SHAPE))
    y = x.clone()
    if case.theirs == "EulerDiscreteScheduler":
        y = x * (theirs.sigmas[0].double() ** 2 + 1.0) ** 0.5
    options = _step_options(case, name, their_noise)
    for index, (t, answer) in enumerate(zip(timesteps, _answers(n), strict=False)):
        x = ours.step(answer, t, x).x
        theirs_t = theirs.timesteps[index]
        if case.theirs == "EulerDiscreteScheduler":
            theirs.is_scale_input_called = True
        y = theirs.step(answer, theirs_t, y, **options).prev_sample
        torch.testing.assert_close(
            x, _scaled(theirs, y, index + 1).double(), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", ["ddim", "euler", "dpm++ 2M", "unipc"])
def test_zero_terminal_snr_is_rescaled_as_theirs_is(name: str) -> None:
    case = CASES[name]
    scheduler = getattr(diffusers, case.theirs)(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        **case.options,
    )
    ours = betas.rescale_zero_terminal_snr(betas.scaled_linear(T))
    found = np.cumprod(1.0 - ours)

    assert scheduler.alphas_cumprod[:-1].numpy() == pytest.approx(found[:-1], abs=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("linear", {"beta_schedule": "linear"}),
        (
            "scaled_linear",
            {
                "beta_schedule": "scaled_linear",
                "beta_start": 0.00085,
                "beta_end": 0.012,
            },
        ),
        ("cosine", {"beta_schedule": "squaredcos_cap_v2"}),
    ],
)
def test_the_schedules_are_theirs(ours: betas.Schedule, theirs: dict[str, Any]) -> None:
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=T, **theirs)

    assert scheduler.betas.numpy() == pytest.approx(betas.betas(ours, T), abs=1e-6)
