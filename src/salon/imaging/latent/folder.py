"""A text-to-image model on the disk, with our own networks: a diffusers folder.

::

    model_index.json                          StableDiffusionPipeline of what follows
    unet/         config.json, weights        models/unet_2d_condition.py
    vae/          config.json, weights        a copy of the autoencoder, to the bit
    scheduler/    scheduler_config.json       the schedule and what is predicted
    text_encoder/ tokenizer/                  CLIP, copied; or instead of both
    text.npz                                  the whitening of the sentence encoder
    card.json                                 how it was trained

Stock diffusers loads it. Without CLIP it must be told so, as for every folder without a
text encoder: ``from_pretrained(folder, text_encoder=None, tokenizer=None)``, and rows are
given as ``prompt_embeds``; ``salon sample`` and ``salon imagine`` do that themselves.
Read is any Stable Diffusion 1 or 2 whose networks are those of ``models/``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salon.imaging.backends.schedule import Schedule
from salon.imaging.latent import texts as text_encoders
from salon.imaging.latent.reconstruct import decoded
from salon.imaging.latent.texts import ClipTexts, Texts
from salon.imaging.models import autoencoder_folder, disk
from salon.imaging.models.autoencoder_kl import AutoencoderKL
from salon.imaging.models.ddpm_folder import Process
from salon.imaging.models.unet_2d_condition import ConditionConfig, UNet2DCondition
from salon.imaging.pipelines.denoising import denoise
from salon.imaging.samplers import guidance as guiding
from salon.imaging.samplers import registry

INDEX = "model_index.json"
_SCHEDULER = "scheduler_config.json"


@dataclass(frozen=True)
class Wish:
    """One picture to draw."""

    prompt: str
    seed: tuple[int, ...]
    """A picture depends on its own seed, not on what is drawn with it."""
    negative: str = ""


@dataclass(frozen=True)
class LatentModel:
    """Networks and schedule, ready to draw."""

    unet: UNet2DCondition
    autoencoder: AutoencoderKL
    texts: Texts
    schedule: Schedule

    @property
    def image_size(self) -> int:
        """Side of its pictures, in pixels."""
        return self.unet.config.sample_size * self.autoencoder.config.factor

    def draw(
        self,
        wishes: Sequence[Wish],
        sampler: str = "dpm++",
        steps: int = 25,
        guidance: float = 4.0,
        told: Callable[[], None] = lambda: None,
    ) -> NDArray[np.uint8]:
        """Draw all at once: (n, side, side, 3). ``told`` is called after each step.

        With guidance 1 the network is asked once a step and negative prompts have no
        say.

        Raises:
            ValueError: sampler or steps are unknown or impossible, before any work.
        """
        device = next(self.unet.parameters()).device
        config = self.unet.config
        shape = (config.latents, config.sample_size, config.sample_size)
        chances = [np.random.default_rng(wish.seed) for wish in wishes]

        def noise(_: Tensor | None = None) -> Tensor:
            each = [rng.standard_normal(shape, np.float32) for rng in chances]
            return torch.from_numpy(np.stack(each)).to(device)

        schedule = self.schedule
        made = registry.make(
            sampler, schedule.diffusion, noise, schedule.spacing, schedule.offset
        )
        made.timesteps(steps)  # refuses an impossible number before any work
        predict = self._predict(wishes, guidance)
        with torch.inference_mode():
            z = noise()
            for step in denoise(predict, made, schedule.diffusion, z, steps):
                z = step.x
                told()
            return decoded(self.autoencoder, z / self.autoencoder.config.scaling_factor)

    def _predict(
        self, wishes: Sequence[Wish], scale: float
    ) -> Callable[[Tensor, int], Tensor]:
        """The U-Net under classifier-free guidance."""
        guided = scale != 1.0
        before = [wish.negative for wish in wishes] if guided else []
        rows = self.texts([*before, *(wish.prompt for wish in wishes)])

        def predict(z: Tensor, t: int) -> Tensor:
            both = torch.cat([z, z]) if guided else z
            steps = torch.full((len(both),), t, device=z.device)
            answer: Tensor = self.unet(both, steps, rows)
            if not guided:
                return answer
            negative, positive = answer.chunk(2)
            mixed: Tensor = guiding.mixed(positive, negative, scale)
            return mixed

        return predict


def scheduler_config(process: Process) -> dict[str, Any]:
    """``scheduler_config.json`` of latents: nothing is cut, and DDIM is always there."""
    values = process.as_diffusers() | {
        "_class_name": "DDIMScheduler",
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 1,  # what Stable Diffusion's pipeline insists on
    }
    del values["variance_type"]
    return values


def save(
    folder: Path,
    unet: UNet2DCondition,
    autoencoder: Path,
    texts: Texts,
    process: Process,
    card: dict[str, Any],
) -> None:
    """Write the folder, the index last; what is frozen only once. Raises OSError."""
    autoencoder_folder.copy(autoencoder, folder / "vae")
    texts.save(folder)
    disk.write_weights(folder / "unet" / disk.WEIGHTS, unet)
    disk.write_json(folder / "unet" / disk.CONFIG, unet.config.as_diffusers())
    disk.write_json(folder / "scheduler" / _SCHEDULER, scheduler_config(process))
    disk.write_json(folder / "card.json", card)
    clip = isinstance(texts, ClipTexts)
    nothing = [None, None]
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"] if clip else nothing,
        "tokenizer": ["transformers", "CLIPTokenizer"] if clip else nothing,
        "safety_checker": nothing,
        "feature_extractor": nothing,
        "image_encoder": nothing,
        "requires_safety_checker": False,
    }
    disk.write_json(folder / INDEX, index)


def is_one(folder: Path) -> bool:
    """Whether a folder says that it draws from text over latents."""
    try:
        index = disk.read_json(folder / INDEX)
    except (OSError, ValueError):
        return False
    return str(index.get("_class_name", "")).startswith("StableDiffusionPipeline")


def load(folder: Path, device: str = "cpu") -> LatentModel:
    """Read such a folder.

    Raises:
        ModelUnreadable: files are missing, damaged, or of a model of another kind.
    """
    autoencoder = autoencoder_folder.load(folder / "vae", device)
    with disk.reading(folder, "text-to-image model"):
        config = ConditionConfig.from_diffusers(
            disk.read_json(folder / "unet" / disk.CONFIG)
        )
        unet = UNet2DCondition(config)
        unet.load_state_dict(disk.read_weights(folder / "unet" / disk.WEIGHTS))
        schedule = Schedule.of_file(disk.read_json(folder / "scheduler" / _SCHEDULER))
    texts = text_encoders.load(folder, device)
    with disk.reading(folder, "text-to-image model"):
        _fits(config, autoencoder, texts)
    network = unet.to(device).requires_grad_(False).eval()
    return LatentModel(network, autoencoder, texts, schedule)


def _fits(config: ConditionConfig, autoencoder: AutoencoderKL, texts: Texts) -> None:
    """Raise ValueError where the parts do not belong together."""
    if config.cross != texts.width:
        raise ValueError(
            f"its U-Net reads rows of {config.cross} numbers, its text encoder gives "
            f"{texts.width}"
        )
    if config.latents != autoencoder.config.latents:
        raise ValueError(
            f"its U-Net draws latents of {config.latents} channels, its autoencoder "
            f"reads {autoencoder.config.latents}"
        )
