"""A finished DDPM on the disk: an ordinary diffusers folder of JSON and safetensors.

::

    model_index.json                          DDPMPipeline of the two below
    unet/config.json                          models/ddpm_unet.py::UNetConfig
    unet/diffusion_pytorch_model.safetensors  the averaged weights
    scheduler/scheduler_config.json           the schedule and what is predicted
    card.json                                 how it was trained

``salon sample`` reads it, and so does ``DDPMPipeline.from_pretrained``. Nothing in it
is code: no pickle is ever read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion, Prediction
from salon.imaging.models import disk
from salon.imaging.models.ddpm_unet import DDPMUNet, UNetConfig
from salon.imaging.samplers import interface, registry

WEIGHTS = f"unet/{disk.WEIGHTS}"
_BETA_SCHEDULES: dict[betas.Schedule, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
_PREDICTION: dict[Prediction, str] = {
    "epsilon": "epsilon",
    "sample": "sample",
    "v": "v_prediction",
}


@dataclass(frozen=True)
class Process:
    """The noise that a model was trained to remove, in three words."""

    steps: int = 1000
    """T."""
    schedule: betas.Schedule = "linear"
    prediction: Prediction = "epsilon"
    zero_snr: bool = False
    """Rescaled so that the last step holds no picture (Lin et al. 2023)."""

    def diffusion(self) -> GaussianDiffusion:
        """Its coefficients. Raises ValueError if the words contradict each other."""
        values = betas.betas(self.schedule, self.steps)
        if self.zero_snr:
            values = betas.rescale_zero_terminal_snr(values)
        return GaussianDiffusion(values, self.prediction)

    def as_diffusers(self) -> dict[str, Any]:
        """``scheduler_config.json``; beta_start and _end already scaled with T."""
        described = dict(_BETA_SCHEDULES[self.schedule])
        for end in ("beta_start", "beta_end"):
            if end in described:
                described[end] *= betas.REFERENCE_STEPS / self.steps
        return {
            "_class_name": "DDPMScheduler",
            "num_train_timesteps": self.steps,
            **described,
            "prediction_type": _PREDICTION[self.prediction],
            "variance_type": "fixed_small",
            "clip_sample": True,
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": self.zero_snr,
        }

    @classmethod
    def from_diffusers(cls, values: dict[str, Any]) -> Process:
        """The inverse; raises ValueError for a schedule that is none of ours."""
        for schedule in get_args(betas.Schedule):
            for prediction in get_args(Prediction):
                process = cls(
                    int(values.get("num_train_timesteps", 1000)),
                    schedule,
                    prediction,
                    bool(values.get("rescale_betas_zero_snr", False)),
                )
                wanted = process.as_diffusers()
                keys = (*_BETA_SCHEDULES[schedule], "prediction_type")
                if all(values.get(key) == wanted[key] for key in keys):
                    return process
        raise ValueError("scheduler_config.json describes a schedule unknown here")


@dataclass(frozen=True)
class DDPM:
    """A network and the process it was trained for, ready to draw."""

    network: DDPMUNet
    process: Process
    card: dict[str, Any]

    @property
    def image_size(self) -> int:
        """Side of its pictures, in pixels."""
        return self.network.config.image_size

    def predict(self, x: torch.Tensor, t: int) -> torch.Tensor:
        """What samplers call: (B, 3, H, W) at one t; without gradients or dropout."""
        with torch.inference_mode():
            steps = torch.full((x.shape[0],), t, device=x.device)
            result: torch.Tensor = self.network(x, steps)
        return result

    def draw(
        self,
        seeds: Sequence[tuple[int, ...]],
        sampler: str = "ddpm",
        steps: int | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Draw one picture for each seed, all at once; yield the preview of each step.

        The last one, (N, side, side, 3), is the result. A picture depends on its own
        seed only, not on what else is drawn with it.

        Raises:
            ValueError: sampler or steps are unknown or impossible, before any work.
        """
        device = next(self.network.parameters()).device
        chances = [np.random.default_rng(seed) for seed in seeds]

        def noise(x: torch.Tensor) -> torch.Tensor:
            each = [rng.standard_normal(x.shape[1:], np.float32) for rng in chances]
            return torch.from_numpy(np.stack(each)).to(device)

        diffusion = self.process.diffusion()
        made = registry.make(sampler, diffusion, noise)
        n = steps or (50 if sampler == "lcm" else diffusion.steps)
        made.timesteps(n)  # refuses an impossible number now and not after loading
        self.network.eval()
        side = self.image_size
        x = noise(torch.empty(len(seeds), 3, side, side))
        return self._steps(made, x, n)

    def _steps(
        self, made: interface.Sampler, x: torch.Tensor, n: int
    ) -> Iterator[NDArray[np.uint8]]:
        last = x
        for step in interface.sample(self.predict, made, x, n):
            last = step.x
            yield _to_bytes(step.x_0)
        yield _to_bytes(last)


def _to_bytes(x: torch.Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3); what lies outside is cut."""
    values = x.float().cpu().numpy().transpose(0, 2, 3, 1)
    result: NDArray[np.uint8] = (values * 127.5 + 128.0).clip(0, 255).astype(np.uint8)
    return result


def save(
    folder: Path,
    network: DDPMUNet,
    process: Process,
    card: dict[str, Any],
) -> None:
    """Write the folder; every file is written aside and renamed. Raises OSError."""
    scheduler = process.as_diffusers()
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", scheduler["_class_name"]],
    }
    disk.write_weights(folder / WEIGHTS, network)
    disk.write_json(folder / "unet" / disk.CONFIG, network.config.as_diffusers())
    disk.write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    disk.write_json(folder / "card.json", card)
    disk.write_json(folder / "model_index.json", index)


def load(folder: Path, device: str = "cpu") -> DDPM:
    """Read a folder that :func:`save` wrote.

    Raises:
        ModelUnreadable: files are missing, damaged, or of a model of another kind.
    """
    with disk.reading(folder, "trained DDPM"):
        config = UNetConfig.from_diffusers(disk.read_json(folder / "unet/config.json"))
        scheduler = disk.read_json(folder / "scheduler" / "scheduler_config.json")
        network = DDPMUNet(config)
        network.load_state_dict(disk.read_weights(folder / WEIGHTS))
        card = folder / "card.json"
        facts = disk.read_json(card) if card.exists() else {}
        process = Process.from_diffusers(scheduler)
    return DDPM(network.to(device).eval(), process, facts)
