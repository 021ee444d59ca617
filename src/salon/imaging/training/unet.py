"""Training the U-Net: from a noised picture and the prior's guess to the picture.

The prior is exact for captions it knows and a smear for those it does not. The U-Net
must learn to repair smears, so it is shown what the prior makes of a *disturbed*
caption: noise on the vectors, words missing, and now and then a step towards some
other caption, which gives the ghostly averages that new prompts give.

For counts, pairs and things that are worn, the reference is composed from the prior's
pictures of the single things, exactly as when drawing (``layout.py``); what the U-Net
learns there is to make one picture of parts.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from salon.imaging.data.dataset import Dataset, Entry
from salon.imaging.layout import Layout, compose_reference
from salon.imaging.pixels import fold, to_canvas
from salon.imaging.schedules import c_out, mix, training_times
from salon.imaging.training.loop import Loss, Recipe
from salon.imaging.training.prior import in_shares

BATCH = 32
CAPTION_DROP = 0.1
_WEIGHT_FLOOR = 0.08
"""c_out below which the loss weight grows no further: under half a grey level."""

Floats = NDArray[np.float32]


SHARES = {
    "original": 0.40,
    "recolour": 0.22,
    "hat": 0.08,
    "glasses": 0.05,
    "count": 0.12,
    "pair": 0.13,
}
"""How often each kind of picture is drawn."""


def recipe(seconds: float, seed: int = 0, begun: bool = False) -> Recipe:
    """AdamW 1e-3; an average over about 300 steps.

    ``begun``: the network comes from an earlier model and needs smaller steps.
    """
    rate = 5e-4 if begun else 1e-3
    return Recipe("unet", rate, ema=0.997, seconds=seconds, seed=seed)


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


class References:
    """What the U-Net is given to start from: the prior's answers to disturbed texts."""

    def __init__(self, data: Dataset, prior: nn.Module) -> None:
        self._data = data
        self._prior = prior
        self._layouts = [_layout_of(entry) for entry in data.entries]
        self._caption = _main_captions(data)

    def __call__(
        self,
        rng: np.random.Generator,
        rows: NDArray[np.int32],
        texts: NDArray[np.int32],
    ) -> Floats:
        """Canvases (n, 4, 32, 32) for pictures ``rows`` under captions ``texts``."""
        asked = [int(text) for text in texts]
        places: list[tuple[int, Layout, list[int]]] = []
        for i, row in enumerate(rows):
            layout = self._layouts[row]
            if layout is None or any(t not in self._caption for t in layout.things):
                continue
            places.append(
                (i, layout, list(range(len(asked), len(asked) + len(layout.things))))
            )
            asked += [self._caption[thing] for thing in layout.things]
        condition = self._data.condition(np.asarray(asked, np.int32))
        with torch.no_grad():
            guess = self._prior(*map(torch.from_numpy, disturb(rng, *condition)))
        canvases: Floats = guess.clamp(-1.0, 1.0).numpy()
        answer = canvases[: len(rows)].copy()
        for i, layout, parts in places:
            answer[i] = compose_reference(layout, [canvases[p] for p in parts])
        return answer


def _layout_of(entry: Entry) -> Layout | None:
    """How a composed picture of the training set was put together."""
    if entry.kind == "count":
        number, thing = entry.label.split(" x ", 1)
        return Layout("count", (thing,), int(number))
    if entry.kind in ("pair", "hat", "glasses"):
        first, second = entry.label.split(" + ", 1)
        return Layout(entry.kind, (first, second))  # type: ignore[arg-type]
    return None


def _main_captions(data: Dataset) -> dict[str, int]:
    """Label -> its weightiest caption, which is the label itself."""
    found: dict[str, tuple[float, int]] = {}
    columns = (data.text.pictures, data.text.texts, data.text.weights)
    for row, text, weight in zip(*map(np.ndarray.tolist, columns), strict=True):
        entry = data.entries[row]
        if entry.kind == "original" and weight > found.get(entry.label, (0.0, 0))[0]:
            found[entry.label] = (weight, text)
    return {label: text for label, (_, text) in found.items()}


def loss(data: Dataset, prior: nn.Module, batch: int = BATCH) -> Loss:
    """|x0_hat - x0|^2 / max(c_out, floor)^2 on one batch, the prior frozen."""
    data = in_shares(data, SHARES)
    references = References(data, prior)

    def compute(model: nn.Module, rng: np.random.Generator) -> Tensor:
        rows, texts = data.draw(rng, batch)
        pooled, words, mask = data.condition(texts)
        reference = torch.from_numpy(fold(references(rng, rows, texts)))
        x0 = torch.from_numpy(fold(to_canvas(data.pictures[rows])))
        eps = torch.from_numpy(rng.standard_normal(x0.shape, np.float32))
        t = torch.from_numpy(training_times(rng, batch))
        at = t[:, None, None, None]
        kept = (rng.random(batch) >= CAPTION_DROP).astype(np.float32)
        # Half precision where the processor has it: two steps in the time of one.
        with torch.autocast("cpu", torch.bfloat16):
            answer = model(
                mix(x0, eps, at),
                t,
                reference,
                torch.from_numpy(pooled * kept[:, None]),
                torch.from_numpy(words * kept[:, None, None]),
                torch.from_numpy(mask * kept[:, None]),
            )
        weight = 1.0 / c_out(at).clamp(min=_WEIGHT_FLOOR) ** 2
        return (weight * (answer.float() - x0) ** 2).mean()

    return compute
