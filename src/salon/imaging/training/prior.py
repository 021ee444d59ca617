"""Training the prior: mean squared error between its picture and the real one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from salon.imaging.data.dataset import Dataset
from salon.imaging.pixels import to_canvas
from salon.imaging.training.loop import Loss, Recipe

BATCH = 128
TEXT_NOISE = 0.1
WORD_DROP = 0.08


def recipe(seconds: float, seed: int = 0) -> Recipe:
    """AdamW 1.2e-3 and a short average: the loss falls until the last minute."""
    return Recipe("prior", 1.2e-3, ema=0.997, seconds=seconds, seed=seed)


def loss(data: Dataset, batch: int = BATCH) -> Loss:
    """The loss of one batch of (caption, picture) pairs.

    Noise on the vectors and dropped words keep the network from depending on the
    exact wording.
    """

    def compute(model: nn.Module, rng: np.random.Generator) -> Tensor:
        rows, texts = data.draw(rng, batch)
        pooled, words, mask = data.condition(texts)
        mask = mask * (rng.random(mask.shape) >= WORD_DROP)
        pooled += TEXT_NOISE * rng.standard_normal(pooled.shape, np.float32)
        # The prior sums the words over sqrt(n): noise of sqrt(n) on one of them is
        # noise on the sum, at a sixth of the random numbers.
        number = np.sqrt(np.maximum(mask.sum(axis=1, keepdims=True), 1.0))
        words[:, 0] += (TEXT_NOISE * number) * rng.standard_normal(
            pooled.shape, np.float32
        )
        target = torch.from_numpy(to_canvas(data.pictures[rows]))
        canvas = model(
            torch.from_numpy(pooled),
            torch.from_numpy(words),
            torch.from_numpy(mask.astype(np.float32)),
        )
        return torch.nn.functional.mse_loss(canvas, target)

    return compute
