"""Training the U-Net: from a noised picture and the prior's guess to the picture.

The prior is exact for captions it knows and a smear for those it does not. The U-Net
must learn to repair smears, so it is shown what the prior makes of a *disturbed*
caption: noise on the vectors, words missing, and now and then a step towards some
other caption, which gives the ghostly averages that new prompts give.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from salon.imaging.data.dataset import Dataset
from salon.imaging.pixels import fold, to_canvas
from salon.imaging.schedules import c_out, mix, training_times
from salon.imaging.training.loop import Loss, Recipe

BATCH = 32
CAPTION_DROP = 0.1
_WEIGHT_FLOOR = 0.08
"""c_out below which the loss weight grows no further: under half a grey level."""

Floats = NDArray[np.float32]


def recipe(seconds: float, seed: int = 0) -> Recipe:
    """AdamW 1e-3; an average over about 300 steps."""
    return Recipe("unet", 1e-3, ema=0.997, seconds=seconds, seed=seed)


def disturb(
    rng: np.random.Generator, pooled: Floats, words: Floats, mask: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return text vectors that the prior has not seen, near the given ones."""
    n = len(pooled)
    noise = rng.uniform(0.05, 0.5, (n, 1)).astype(np.float32)
    far = (rng.random((n, 1)) < 0.35) * rng.uniform(0.1, 0.45, (n, 1))
    other = rng.permutation(n)
    blend = far.astype(np.float32)
    moved = (1.0 - blend) * pooled + blend * pooled[other]
    moved += noise * rng.standard_normal(pooled.shape, np.float32)
    shaken = words + noise[:, None] * rng.standard_normal(words.shape, np.float32)
    kept = mask * (rng.random(mask.shape) >= 0.15)
    return moved.astype(np.float32), shaken, kept.astype(np.float32)


def loss(data: Dataset, prior: nn.Module, batch: int = BATCH) -> Loss:
    """|x0_hat - x0|^2 / max(c_out, floor)^2 on one batch, the prior frozen."""

    def compute(model: nn.Module, rng: np.random.Generator) -> Tensor:
        rows, texts = data.draw(rng, batch)
        pooled, words, mask = data.condition(texts)
        with torch.no_grad():
            guess = prior(*map(torch.from_numpy, disturb(rng, pooled, words, mask)))
        reference = torch.from_numpy(fold(guess.clamp(-1.0, 1.0).numpy()))
        x0 = torch.from_numpy(fold(to_canvas(data.pictures[rows])))
        eps = torch.from_numpy(rng.standard_normal(x0.shape, np.float32))
        t = torch.from_numpy(training_times(rng, batch))
        at = t[:, None, None, None]
        kept = (rng.random(batch) >= CAPTION_DROP).astype(np.float32)
        answer = model(
            mix(x0, eps, at),
            t,
            reference,
            torch.from_numpy(pooled * kept[:, None]),
            torch.from_numpy(words * kept[:, None, None]),
            torch.from_numpy(mask * kept[:, None]),
        )
        weight = 1.0 / c_out(at).clamp(min=_WEIGHT_FLOOR) ** 2
        return (weight * (answer - x0) ** 2).mean()

    return compute
