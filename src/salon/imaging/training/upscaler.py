"""Training the upscaler: 32 x 32 crops of spoiled small pictures -> the sharp art.

The small pictures it will meet come from the U-Net and are not perfect, so they are
spoiled in training: blurred, noised. Colours are permuted, since an edge is an edge
in any colour.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.data.compose import shrink
from salon.imaging.pixels import CANVAS, to_canvas
from salon.imaging.training.loop import Loss, Recipe

BATCH = 16
CROP = 24


def recipe(seconds: float, seed: int = 0) -> Recipe:
    """AdamW 2e-3, no weight decay: every weight of so few is needed."""
    return Recipe(
        "upscaler", 2e-3, ema=0.998, seconds=seconds, seed=seed, weight_decay=0.0
    )


def loss(
    originals: NDArray[np.uint8], batch: int = BATCH, max_noise: float = 0.16
) -> Loss:
    """L1 plus half the L1 of neighbouring differences, which asks for sharp edges."""
    smalls = np.stack([shrink(picture, CANVAS) for picture in originals])

    def compute(model: nn.Module, rng: np.random.Generator) -> Tensor:
        small, large = _crops(smalls, originals, rng, batch)
        low, high = torch.from_numpy(small), torch.from_numpy(large)
        answer = model(_spoil(low, rng, max_noise))
        return F.l1_loss(answer, high) + 0.5 * _edge_loss(answer, high)

    return compute


def _crops(
    smalls: NDArray[np.uint8],
    originals: NDArray[np.uint8],
    rng: np.random.Generator,
    batch: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    lows, highs = [], []
    for row in rng.integers(len(smalls), size=batch):
        y, x = rng.integers(CANVAS - CROP + 1, size=2)
        low = smalls[row, y : y + CROP, x : x + CROP]
        high = originals[row, 4 * y : 4 * (y + CROP), 4 * x : 4 * (x + CROP)]
        if rng.random() < 0.5:
            low, high = low[:, ::-1], high[:, ::-1]
        order = [*rng.permutation(3), 3]
        lows.append(low[..., order])
        highs.append(high[..., order])
    return to_canvas(np.stack(lows)), to_canvas(np.stack(highs))


def _spoil(canvas: Tensor, rng: np.random.Generator, max_noise: float) -> Tensor:
    """A random share of a 3 x 3 blur, then noise of a random strength, per picture."""
    n = len(canvas)
    padded = F.pad(canvas, (1, 1, 1, 1), mode="replicate")
    blurred = F.avg_pool2d(padded, 3, stride=1)
    blur = torch.from_numpy((rng.random((n, 1, 1, 1)) ** 2 * 0.7).astype(np.float32))
    strength = (rng.random((n, 1, 1, 1)) ** 2 * max_noise).astype(np.float32)
    noise = strength * rng.standard_normal(tuple(canvas.shape), np.float32)
    return canvas + blur * (blurred - canvas) + torch.from_numpy(noise)


def _edge_loss(answer: Tensor, target: Tensor) -> Tensor:
    gap = answer - target
    across = (gap[..., :, 1:] - gap[..., :, :-1]).abs().mean()
    down = (gap[..., 1:, :] - gap[..., :-1, :]).abs().mean()
    return across + down
