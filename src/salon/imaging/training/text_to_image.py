"""Training the U-Net of latent diffusion on captioned pictures.

Rombach et al. 2022 (arXiv 2112.10752), equation 3; autoencoder and text encoder are
frozen, and the latents come from a cache (``latent/cache.py``)::

    z_0 = scaling_factor * (a draw from q(z | x));   z_t = sqrt(ab_t) z_0 + sqrt(1-ab_t) eps
    L   = || target - net(z_t, t, text) ||^2

* **Caption drop**: with probability ``drop`` the text is the empty one, so that the same
  network also learns "any picture". Classifier-free guidance (Ho & Salimans 2022,
  ``samplers/guidance.py``) is the difference of the two; without the drop there would
  be nothing to subtract.
* **The target** is epsilon; or v = sqrt(ab) eps - sqrt(1-ab) z_0 (Salimans & Ho 2022).
* **Zero terminal SNR** (Lin et al. 2023, arXiv 2305.08891): Stable Diffusion's schedule
  leaves 7 % of the picture's amplitude at the last step, and what it leaves first is
  the mean colour; such a model can draw neither white nor black grounds. Rescaled betas
  end at nothing, where epsilon is the input itself: it needs v. For emoji on white it
  pays, so these two are the defaults here.

AdamW at 1e-4 (S4), average of weights, clipping and resuming as in ``resumable.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.backends.schedule import Schedule
from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.diffusion.sheet import sheet, titled
from salon.imaging.latent import folder as model_folder
from salon.imaging.latent.cache import Latents
from salon.imaging.latent.folder import LatentModel, Wish
from salon.imaging.latent.texts import Texts
from salon.imaging.models import autoencoder_folder
from salon.imaging.models.ddpm_folder import Process
from salon.imaging.models.unet_2d_condition import (
    STABLE_DIFFUSION_1,
    ConditionConfig,
    UNet2DCondition,
)
from salon.imaging.training.resumable import BaseRecipe, BaseTrainer, Plan

CHECKPOINT = "text2image.safetensors"
PROMPTS = 4
"""On a sheet, where none are given: captions of the data."""

SHAPES: dict[str, ConditionConfig] = {
    "tiny": ConditionConfig(8, (16, 32), (False, True), 1, heads=(2, 4), groups=8),
    "small": ConditionConfig(8, (64, 128), (True, True), 1, heads=(4, 4)),
    "default": ConditionConfig(
        16, (128, 256, 384), (True, True, True), 2, heads=(4, 8, 8)
    ),
    "sd": STABLE_DIFFUSION_1,
}
_EMOJI = Process(1000, "scaled_linear", "v", zero_snr=True)


def shape(size: str, side: int, latents: int, cross: int) -> ConditionConfig:
    """The network of that name for latents of that side and text of that width.

    Raises:
        ValueError: no such name, or the side cannot be halved often enough.
    """
    if size not in SHAPES:
        raise ValueError(f"size: {size!r} is unknown; one of {', '.join(SHAPES)}")
    return replace(SHAPES[size], sample_size=side, latents=latents, cross=cross)


@dataclass(frozen=True, kw_only=True)
class Recipe(BaseRecipe):
    """Of one text-to-image model."""

    shape: ConditionConfig
    image_size: int
    autoencoder: str
    """Its digest."""
    texts: str
    """Digest of the text encoder."""
    captions: str = "text"
    """See ``data/captioned.py::Column``."""
    process: Process = field(default_factory=lambda: _EMOJI)
    drop: float = 0.1
    """Share of captions that are left empty."""
    learning_rate: float = 1e-4
    decay: float = 0.01
    """Of the weights (Loshchilov & Hutter 2019)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.process.zero_snr and self.process.prediction == "epsilon":
            raise ValueError(
                "prediction: epsilon cannot be trained with a zero terminal SNR: at "
                "the last step the noise is the whole input and says nothing about "
                "the picture; choose --prediction v_prediction, or "
                "--no-zero-terminal-snr"
            )
        self.process.diffusion()  # raises where its parts contradict each other

    def bounds(self) -> dict[str, tuple[float, float]]:
        return super().bounds() | {"drop": (0.0, 0.99), "decay": (0.0, 1.0)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        given = values["shape"]
        tuples = {name: tuple(given[name]) for name in ("widths", "words", "heads")}
        inner = {
            "shape": ConditionConfig(**given | tuples),
            "process": Process(**values["process"]),
        }
        return cls(**{**values, **inner})


@dataclass(frozen=True)
class Frozen:
    """What is used and not trained."""

    autoencoder: Path
    """Its folder."""
    texts: Texts


class Trainer(BaseTrainer[Recipe]):
    """One training in one folder: checkpoint, ``model/``, sheets, loss.png.

    Args:
        recipe: see :class:`Recipe`.
        data: latents with captions.
        frozen: autoencoder and texts, of the recipe's digests.
        out: where to write.
        device: "cpu" or "cuda".
        prompts: what the sheets show; some captions where empty.
    """

    CHECKPOINT = CHECKPOINT
    LOSS = "latent loss"

    def __init__(
        self,
        recipe: Recipe,
        data: Latents,
        frozen: Frozen,
        out: Path,
        device: str = "cpu",
        prompts: Sequence[str] = (),
    ) -> None:
        torch.manual_seed(recipe.seed)
        network = UNet2DCondition(recipe.shape).to(device)
        super().__init__(
            recipe, network, out, device, count=len(data), digest=data.digest
        )
        self.data, self.frozen = data, frozen
        self.prompts = list(prompts) or _spread_out(data.captions)
        self._vae = autoencoder_folder.load(frozen.autoencoder, device)
        self._diffusion: GaussianDiffusion = self._schedule().diffusion

    def _schedule(self) -> Schedule:
        """As whoever reads the folder will have it: a guess of z_0 is not cut."""
        return Schedule.of_file(model_folder.scheduler_config(self.recipe.process))

    def optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters,
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.decay,
            fused=True,
        )

    def _loss(self) -> Tensor:
        z_0, text = self._batch()
        t = self._rng.integers(0, self._diffusion.steps, len(z_0))
        eps = self._noise(z_0)
        z_t = self._diffusion.q_sample(z_0, t, eps)
        target = self._diffusion.target(z_0, t, eps)
        self._model.train()
        with self._mixed():
            answer = self._model(z_t, torch.from_numpy(t).to(self._device), text)
        return F.mse_loss(answer.float(), target)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Scaled latents, and what the U-Net reads of their captions."""
        places = self._places()
        q = self.data.q(places)
        drawn = self._rng.standard_normal(q.mean.shape, np.float32)
        z = q.sample(torch.from_numpy(drawn)) * self._vae.config.scaling_factor
        said = [self.data.captions[i] for i in places]
        which = self._rng.random(len(said))
        dropped = self._rng.random(len(said)) < self.recipe.drop
        texts = [
            "" if gone else captions[int(share * len(captions))]
            for captions, share, gone in zip(said, which, dropped, strict=True)
        ]
        return z.to(self._device), self.frozen.texts(texts)

    def _save_model(self) -> None:
        model_folder.save(
            self.out / "model",
            self._average,
            self.frozen.autoencoder,
            self.frozen.texts,
            self.recipe.process,
            self.card(),
        )

    def sheet(self, plan: Plan) -> Image.Image:
        """A row for each prompt, with the same noise at every step of the training."""
        each = max(1, plan.samples // len(self.prompts))
        wishes = [
            Wish(prompt, (self.recipe.seed, i))
            for prompt in self.prompts
            for i in range(each)
        ]
        model = LatentModel(
            self._average, self._vae, self.frozen.texts, self._schedule()
        )
        pictures = model.draw(wishes, steps=plan.sample_steps)
        step = self.progress.step
        return titled(sheet(pictures, each), f"step {step}", *lines(self.prompts))


def lines(prompts: Sequence[str]) -> list[str]:
    """Prompts as lines of a sheet, one for each row; what cannot be written is "?".

    Pillow's own font knows Latin letters only.
    """
    written = [p.encode("latin-1", "replace").decode("latin-1") for p in prompts]
    return [f"{i}: {text[:60]}" for i, text in enumerate(written, start=1)]


def _spread_out(captions: Sequence[Sequence[str]]) -> list[str]:
    """The first captions of a few pictures from all over the data."""
    firsts = list(dict.fromkeys(said[0] for said in captions))
    places = np.linspace(0, len(firsts) - 1, min(PROMPTS, len(firsts))).round()
    return [firsts[int(place)] for place in places]
