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

from salon.imaging.data import compose
from salon.imaging.data.compose import shrink
from salon.imaging.data.dataset import Dataset
from salon.imaging.pixels import CANVAS, to_canvas
from salon.imaging.training.loop import Loss, Recipe

Floats = NDArray[np.float32]
BATCH = 16
CROP = 24


def recipe(seconds: float, seed: int = 0) -> Recipe:
    """AdamW 2e-3, no weight decay: every weight of so few is needed."""
    return Recipe(
        "upscaler", 2e-3, ema=0.998, seconds=seconds, seed=seed, weight_decay=0.0
    )


def polish_recipe(seconds: float, seed: int = 0) -> Recipe:
    """The last minutes, with the model's own small pictures as input."""
    return Recipe(
        "polish", 7e-4, ema=0.998, seconds=seconds, seed=seed, weight_decay=0.0
    )


def with_compositions(data: Dataset, count: int = 1200) -> NDArray[np.uint8]:
    """The art, then ``count`` counts and pairs of it: small things have fine edges.

    (n, 128, 128, 4). Labels that are held out are in none of them; their rows stay, so
    that row i is label i.
    """
    rng = np.random.default_rng(5)
    known = [i for i, label in enumerate(data.labels) if label not in data.held_out]
    art, made = data.originals.copy(), []
    hidden = np.setdiff1d(np.arange(len(art)), known)
    art[hidden] = art[rng.choice(known, len(hidden))]
    for i in range(count):
        first, second = rng.choice(known, 2)
        if i % 2:
            number = int(rng.integers(2, 5))
            made.append(compose.several(data.originals[first], number))
        else:
            made.append(compose.beside(data.originals[first], data.originals[second]))
    return np.concatenate([art, np.stack(made)])


def loss(
    originals: NDArray[np.uint8],
    batch: int = BATCH,
    max_noise: float = 0.16,
    own: tuple[NDArray[np.int64], Floats] | None = None,
) -> Loss:
    """L1 plus half the L1 of neighbouring differences, which asks for sharp edges.

    ``own`` are rows of ``originals`` and what the model itself drew for them, canvases
    (n, 4, 32, 32); given them, two crops of three come from there, unspoiled.
    """
    smalls = to_canvas(np.stack([shrink(picture, CANVAS) for picture in originals]))

    def compute(model: nn.Module, rng: np.random.Generator) -> Tensor:
        rows = rng.integers(len(smalls), size=batch)
        lows = smalls[rows]
        from_model = np.zeros(batch, bool)
        if own is not None:
            from_model = rng.random(batch) < 2 / 3
            picked = rng.integers(len(own[0]), size=batch)
            rows = np.where(from_model, own[0][picked], rows)
            lows = np.where(from_model[:, None, None, None], own[1][picked], lows)
        small, large = _crops(lows, to_canvas(originals[rows]), rng)
        low, high = torch.from_numpy(small), torch.from_numpy(large)
        spoiled = _spoil(low, rng, max_noise)
        shown = torch.where(
            torch.from_numpy(from_model)[:, None, None, None], low, spoiled
        )
        # Half precision where the processor has it; the differences are summed in full.
        with torch.autocast("cpu", torch.bfloat16):
            answer = model(shown)
        answer = answer.float()
        return F.l1_loss(answer, high) + 0.5 * _edge_loss(answer, high)

    return compute


def _crops(
    lows: Floats, highs: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """The same window, mirroring and order of colours for both sizes."""
    small, large = [], []
    for low, high in zip(lows, highs, strict=True):
        y, x = rng.integers(CANVAS - CROP + 1, size=2)
        order = [*rng.permutation(3), 3]
        turn = -1 if rng.random() < 0.5 else 1
        window = low[order, y : y + CROP, x : x + CROP]
        wide = high[order, 4 * y : 4 * (y + CROP), 4 * x : 4 * (x + CROP)]
        small.append(window[..., ::turn])
        large.append(wide[..., ::turn])
    return np.stack(small), np.stack(large)


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
