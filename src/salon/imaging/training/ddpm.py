"""Training a DDPM: L_simple, on any folder of pictures.

Algorithm 1 of Ho, Jain & Abbeel 2020 (arXiv 2006.11239), equation 14::

    repeat
        x_0 ~ the pictures;  t ~ Uniform({0 .. T-1});  eps ~ N(0, I)
        descend along grad || eps - eps_theta(sqrt(ab_t) x_0 + sqrt(1-ab_t) eps, t) ||^2

with the paper's Adam at 2e-4 after a linear warm-up, gradients clipped to norm 1, and a
moving average (EMA) of the weights, which is what one samples from: single weights
jitter with every batch, and colours shift with them. The loop around it, and how it
resumes to the bit, is ``resumable.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from salon.imaging.data.folder import PictureFolder
from salon.imaging.diffusion.sheet import sheet
from salon.imaging.models import ddpm_folder
from salon.imaging.models.ddpm_folder import DDPM, Process
from salon.imaging.models.ddpm_unet import SIZES, DDPMUNet, UNetConfig
from salon.imaging.training.resumable import BaseRecipe, BaseTrainer, Plan

CHECKPOINT = "ddpm.safetensors"


@dataclass(frozen=True, kw_only=True)
class Recipe(BaseRecipe):
    """Of one DDPM. The paper's average keeps 0.9999, for its 800,000 steps."""

    image_size: int
    """Side of the pictures, in pixels."""
    dropout: float = 0.1
    size: str = "small"
    """One of ``models/ddpm_unet.py::SIZES``."""
    process: Process = field(default_factory=Process)
    flip: bool = False
    """Mirror every second picture; wrong for letters, arrows, clocks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in SIZES:
            known = ", ".join(SIZES)
            raise ValueError(f"size: {self.size!r} is unknown; one of {known}")
        _ = self.shape  # both raise where their parts contradict each other
        self.process.diffusion()

    def bounds(self) -> dict[str, tuple[float, float]]:
        return super().bounds() | {"dropout": (0.0, 0.9)}

    @property
    def shape(self) -> UNetConfig:
        """Of the network."""
        return UNetConfig(self.image_size, SIZES[self.size], self.dropout)

    def network(self) -> DDPMUNet:
        """A new network; its weights depend on the seed only."""
        torch.manual_seed(self.seed)
        return DDPMUNet(self.shape)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        return cls(**{**values, "process": Process(**values["process"])})


class Trainer(BaseTrainer[Recipe]):
    """One training in one folder: ``ddpm.safetensors``, ``model/``, sheets, loss.png.

    Args:
        recipe: see :class:`Recipe`.
        data: pictures of side ``recipe.image_size``.
        out: where to write.
        device: "cpu" or "cuda".
    """

    CHECKPOINT = CHECKPOINT
    LOSS = "L_simple"

    def __init__(
        self, recipe: Recipe, data: PictureFolder, out: Path, device: str = "cpu"
    ) -> None:
        network = recipe.network().to(device)
        super().__init__(
            recipe, network, out, device, count=len(data), digest=data.digest
        )
        self.data = data
        self._diffusion = recipe.process.diffusion()

    def _loss(self) -> torch.Tensor:
        """L_simple of the next batch, equation 14."""
        x_0 = torch.from_numpy(self._batch()).to(self._device)
        t = self._rng.integers(0, self._diffusion.steps, len(x_0))
        eps = self._noise(x_0)
        x_t = self._diffusion.q_sample(x_0, t, eps)
        target = self._diffusion.target(x_0, t, eps)
        self._model.train()
        with self._mixed():
            answer = self._model(x_t, torch.from_numpy(t).to(self._device))
        return F.mse_loss(answer.float(), target)

    def _batch(self) -> NDArray[np.float32]:
        """The next pictures."""
        x_0 = self.data.batch(self._places())
        if self.recipe.flip:
            mirrored = self._rng.random(len(x_0)) < 0.5
            x_0[mirrored] = x_0[mirrored, :, :, ::-1]
        return x_0

    def _save_model(self) -> None:
        folder, process = self.out / "model", self.recipe.process
        ddpm_folder.save(folder, self._average, process, self.card())

    def sheet(self, plan: Plan) -> Image.Image:
        """Pictures of the average, from the same noise at every step."""
        seeds = [(self.recipe.seed, i) for i in range(plan.samples)]
        ddpm = DDPM(self._average, self.recipe.process, {})
        *_, pictures = ddpm.draw(seeds, "dpm++", plan.sample_steps)
        return sheet(pictures)
