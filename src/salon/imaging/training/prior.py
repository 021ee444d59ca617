"""Training the prior: mean squared error between its picture and the real one.

It learns single things, plain, repainted and wearing something. Counts and pairs are
not its business: their layout is read from the prompt (``layout.py``), and what it
would spend on averages of all pairs, it has for the things themselves.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from salon.imaging.data.dataset import Dataset
from salon.imaging.pixels import to_canvas
from salon.imaging.training.loop import Loss, Recipe

BATCH = 128
TEXT_NOISE = 0.1
WORD_DROP = 0.08


SHARES = {"original": 0.5, "recolour": 0.38, "hat": 0.07, "glasses": 0.05}
"""How often each kind of picture is drawn."""


def recipe(seconds: float, seed: int = 0, begun: bool = False) -> Recipe:
    """AdamW 1.2e-3 and a short average: the loss falls until the last minute.

    ``begun``: the network comes from an earlier model and needs smaller steps.
    """
    rate = 6e-4 if begun else 1.2e-3
    return Recipe("prior", rate, ema=0.997, seconds=seconds, seed=seed)


def in_shares(data: Dataset, shares: dict[str, float]) -> Dataset:
    """The same set, its kinds drawn in these shares and others never."""
    weights, kinds = data.weights.copy(), np.array([e.kind for e in data.entries])
    weights[~np.isin(kinds, list(shares))] = 0.0
    for kind, share in shares.items():
        if (total := weights[kinds == kind].sum()) > 0:
            weights[kinds == kind] *= share / total
    return dataclasses.replace(data, weights=weights / weights.sum())


def loss(data: Dataset, batch: int = BATCH) -> Loss:
    """The loss of one batch of (caption, picture) pairs.

    Noise on the vectors and dropped words keep the network from depending on the
    exact wording.
    """
    data = in_shares(data, SHARES)

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
        # Half precision where the processor has it: products cost half as much.
        with torch.autocast("cpu", torch.bfloat16):
            canvas = model(
                torch.from_numpy(pooled),
                torch.from_numpy(words),
                torch.from_numpy(mask.astype(np.float32)),
            )
        return torch.nn.functional.mse_loss(canvas.float(), target)

    return compute
