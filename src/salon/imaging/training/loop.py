"""One optimiser loop for all three networks.

* AdamW (Loshchilov & Hutter 2019) with a cosine learning rate and clipped gradients.
* A moving average of the weights (EMA) is what gets shipped.
* The schedule follows a *budget* in seconds or steps, whichever ends first, so that a
  training of "40 minutes" ends after 40 minutes on a slow or busy machine as well.
* Batch number n is drawn with the seed (seed, n): a resumed run sees the batches that
  an uninterrupted one would have seen.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from salon.imaging.training import checkpoint

Loss = Callable[[nn.Module, np.random.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How one network is trained."""

    name: str
    learning_rate: float
    ema: float
    seconds: float = math.inf
    steps: int = 1 << 60
    seed: int = 0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    warmup_steps: int = 100
    save_every: float = 120.0


@dataclass
class Progress:
    """Where a training stands; ``curve`` holds (step, seconds, mean loss)."""

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    def share(self, recipe: Recipe) -> float:
        """0 at the start, 1 when the budget is spent."""
        return min(1.0, max(self.seconds / recipe.seconds, self.step / recipe.steps))

    def as_dict(self) -> dict[str, Any]:
        return {"step": self.step, "seconds": self.seconds, "curve": self.curve}


Watcher = Callable[[Progress, float], None]
"""Called with the progress and the latest mean loss about once a second."""


def learning_rate(recipe: Recipe, progress: Progress) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    warm = min(1.0, (progress.step + 1) / recipe.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress.share(recipe)))
    return recipe.learning_rate * warm * (0.02 + 0.98 * cosine)


def train(
    model: nn.Module,
    loss: Loss,
    recipe: Recipe,
    folder: Path,
    watch: Watcher = lambda _p, _l: None,
) -> tuple[nn.Module, Progress]:
    """Train until the budget is spent; continue from ``folder`` if it was begun.

    Returns the averaged network and the progress. The checkpoint is
    ``folder/<name>.safetensors``.
    """
    average = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    path, progress = folder / f"{recipe.name}.safetensors", Progress()
    if path.exists():
        progress = Progress(**checkpoint.load(path, model, average, optimiser))
    meter = _Meter(recipe.save_every)
    while progress.share(recipe) < 1.0:
        value = _step(model, average, optimiser, loss, recipe, progress)
        meter.add(value, progress, watch)
        if meter.save_is_due():
            checkpoint.save(path, model, average, optimiser, progress.as_dict())
    meter.flush(progress)
    checkpoint.save(path, model, average, optimiser, progress.as_dict())
    return average.eval(), progress


def _step(
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    recipe: Recipe,
    progress: Progress,
) -> float:
    begun = time.perf_counter()
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(recipe, progress)
    value = loss(model, np.random.default_rng((recipe.seed, progress.step)))
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimiser.step()
    # The average of the first steps would remember the random start: warm it up.
    keep = min(recipe.ema, (1.0 + progress.step) / (10.0 + progress.step))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(average.parameters()), list(model.parameters()), 1.0 - keep
        )
    progress.step += 1
    progress.seconds += time.perf_counter() - begun
    return float(value.detach())


class _Meter:
    """Means of the loss for the curve, and when to save and to tell the watcher."""

    def __init__(self, save_every: float) -> None:
        self._save_every = save_every
        self._saved = self._told = time.monotonic()
        self._values: list[float] = []

    def add(self, value: float, progress: Progress, watch: Watcher) -> None:
        self._values.append(value)
        if len(self._values) >= 50:
            self.flush(progress)
        if time.monotonic() - self._told >= 1.0:
            self._told = time.monotonic()
            recent = self._values or [progress.curve[-1][2]]
            watch(progress, sum(recent) / len(recent))

    def flush(self, progress: Progress) -> None:
        if self._values:
            mean = sum(self._values) / len(self._values)
            progress.curve.append((progress.step, progress.seconds, mean))
            self._values = []

    def save_is_due(self) -> bool:
        if time.monotonic() - self._saved < self._save_every:
            return False
        self._saved = time.monotonic()
        return True
