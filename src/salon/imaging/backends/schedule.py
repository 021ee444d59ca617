"""``scheduler_config.json`` of a diffusers folder, as our samplers' chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion, Prediction
from salon.imaging.samplers.interface import Spacing

_PREDICTION: dict[str, Prediction] = {
    "epsilon": "epsilon",
    "v_prediction": "v",
    "sample": "sample",
}
_SAMPLERS = {
    "PNDMScheduler": "pndm",
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler",
    "DPMSolverMultistepScheduler": "dpm++",
    "UniPCMultistepScheduler": "unipc",
    "LCMScheduler": "lcm",
}


_UNSAID: dict[str, Any] = {
    "prediction_type": "epsilon",
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
}
"""What diffusers takes where a file says nothing; Stable Diffusion 1.5's says little."""


class UnknownSchedule(ValueError):
    """A chain that is none of ours, such as flow matching."""


@dataclass(frozen=True)
class Schedule:
    """What a model was trained on, and how it is to be sampled."""

    diffusion: GaussianDiffusion
    spacing: Spacing
    offset: int
    sampler: str
    """The folder's own, or DPM-Solver++ where that is none of ours."""

    @classmethod
    def of_file(cls, values: Mapping[str, Any]) -> Schedule:
        """Read the contents of a ``scheduler_config.json``. Raises UnknownSchedule."""
        name = str(values.get("_class_name"))
        if name not in _SAMPLERS and name != "DDPMScheduler":
            raise UnknownSchedule(f"{name} is not one of Salon's schedules")
        return cls.of(name, {**_UNSAID, **values})

    @classmethod
    def of(cls, name: str, config: Mapping[str, Any]) -> Schedule:
        """Read the configuration of the scheduler class ``name``.

        Guesses of x_0 are never clipped: these are latents. A zero terminal SNR is
        sampled from its very end whatever the configuration says ("trailing"), or the
        network would never see the pure noise it was trained to start from.

        Raises:
            UnknownSchedule: flow matching, EDM, or betas of another kind.
        """
        prediction = _PREDICTION.get(str(config.get("prediction_type", "")))
        if prediction is None or config.get("use_flow_sigmas"):
            raise UnknownSchedule(f"{name} is not one of Salon's schedules")
        values = _betas(config)
        zero = bool(config.get("rescale_betas_zero_snr"))
        if zero:
            values = betas.rescale_zero_terminal_snr(values)
        spacing = config.get("timestep_spacing", "leading")
        return cls(
            GaussianDiffusion(values, prediction, clip=None),
            "trailing" if zero else cast("Spacing", spacing),
            int(config.get("steps_offset", 0)),
            _SAMPLERS.get(name, "dpm++"),
        )


def _betas(config: Mapping[str, Any]) -> NDArray[np.float64]:
    """The betas as diffusers makes them: not scaled with T, unlike ours."""
    steps = int(config.get("num_train_timesteps", 1000))
    if (given := config.get("trained_betas")) is not None:
        return np.asarray(given, np.float64)
    kind = config.get("beta_schedule")
    if kind == "squaredcos_cap_v2":
        return betas.cosine(steps)
    first, last = (float(config[f"beta_{end}"]) for end in ("start", "end"))
    if kind == "linear":
        return np.linspace(first, last, steps)
    if kind == "scaled_linear":
        return np.linspace(first**0.5, last**0.5, steps) ** 2
    raise UnknownSchedule(f"beta_schedule {kind!r} is unknown")
