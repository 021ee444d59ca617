"""Training the judge: InfoNCE with vendors as positives.

For a batch of pictures, each seen twice through different disturbances:

* *picture to label*: softmax over all labels' directions (InfoNCE, van den Oord et
  al. 2018, arXiv 1807.03748, with the whole list as negatives);
* *picture to picture*: supervised contrast (Khosla et al. 2020, arXiv 2004.11362);
  a batch holds each label by two vendors, which must find each other.

What makes it work for a hand that was never seen is the disturbance: other vendors
draw outlines, leave surfaces empty, choose other shades and other sizes, so pictures
are given outlines, lose colour, turn, grow and shrink.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.models.contrastive import SIDE, Judge
from salon.imaging.training.loop import Loss, Recipe

BATCH = 64
"""Labels a batch; each comes by two vendors."""
SMOOTHING = 0.05

Bytes = NDArray[np.uint8]
Uniform = Callable[[float, float], Tensor]
Some = Callable[[float], Tensor]


@dataclass(frozen=True)
class Gallery:
    """Pictures by label: what the judge is trained on."""

    pictures: Bytes
    """(n, side, side, 4) RGBA, all of one side of at least 48."""
    label_of: NDArray[np.int32]
    vectors: NDArray[np.float32]
    """(labels, 512) whitened sentence vectors."""

    def rows_by_label(self) -> list[NDArray[np.int64]]:
        """For each label that has a picture, its rows."""
        order = np.argsort(self.label_of, kind="stable")
        cuts = np.flatnonzero(np.diff(self.label_of[order])) + 1
        return [np.asarray(part) for part in np.split(order, cuts)]


def recipe(seconds: float, seed: int = 0) -> Recipe:
    """AdamW 2e-3 with real weight decay: few pictures, many parameters."""
    return Recipe(
        "judge", 2e-3, ema=0.998, seconds=seconds, seed=seed, weight_decay=0.05
    )


def on_white(pictures: Bytes) -> Tensor:
    """(n, h, w, 4) RGBA -> (n, 4, h, w): colour on white and alpha, in [-1, 1]."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0
    alpha = values[:, 3:]
    return torch.cat([values[:, :3] * alpha + 1.0 - alpha, alpha], 1) * 2.0 - 1.0


def loss(gallery: Gallery, batch: int = BATCH) -> Loss:
    """Picture to label, plus half of picture to picture, on one batch."""
    groups = gallery.rows_by_label()
    vectors = torch.from_numpy(gallery.vectors)

    def compute(model: nn.Module, rng: np.random.Generator) -> Tensor:
        assert isinstance(model, Judge)
        rows = _two_of_each(groups, rng, batch)
        labels = torch.from_numpy(gallery.label_of[rows]).long()
        image = disturb(on_white(gallery.pictures[rows]), rng)
        # Half precision where the processor has it (AVX512-BF16): twice as fast.
        with torch.autocast("cpu", torch.bfloat16):
            found = model(image)
        found = F.normalize(found.float(), dim=1)
        scale = model.log_scale.clamp(max=math.log(50.0)).exp()
        scores = scale * found @ model.directions(vectors).T
        to_label = F.cross_entropy(scores, labels, label_smoothing=SMOOTHING)
        return to_label + 0.5 * _supervised_contrast(found, labels, scale)

    return compute


def _two_of_each(
    groups: list[NDArray[np.int64]], rng: np.random.Generator, count: int
) -> NDArray[np.int64]:
    chosen = rng.choice(len(groups), min(count, len(groups)), replace=False)
    pairs = [
        rng.choice(groups[i], 2, replace=len(groups[i]) < 2) for i in map(int, chosen)
    ]
    return np.concatenate(pairs)


def _supervised_contrast(found: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    scores = scale * found @ found.T
    scores = scores - 1e4 * torch.eye(len(found))
    same = (labels[:, None] == labels[None, :]).float().fill_diagonal_(0.0)
    logs = F.log_softmax(scores, dim=1)
    return -((same * logs).sum(1) / same.sum(1).clamp(min=1.0)).mean()


def examine(
    model: Judge, pictures: Bytes, label_of: NDArray[np.int32], vectors: Tensor
) -> dict[str, Any]:
    """Pictures of a hand that was not trained on -> top-1 and top-5 over all labels."""
    image = F.interpolate(on_white(pictures)[:, :3], size=(SIDE, SIDE), mode="area")
    with torch.no_grad():
        found = torch.cat([model.eval()(part) for part in image.split(256)])
        scores = found @ model.directions(vectors).T
    own = torch.from_numpy(label_of).long()[:, None]
    place = (scores > scores.gather(1, own)).sum(dim=1)
    shares = {f"top{k}": float((place < k).float().mean()) for k in (1, 5)}
    rounded = {name: round(100.0 * share, 1) for name, share in shares.items()}
    return {**rounded, "pictures": len(pictures), "labels": scores.shape[1]}


def disturb(canvas: Tensor, rng: np.random.Generator) -> Tensor:
    """(n, 4, h, w) canvases -> (n, 3, 48, 48) as another hand might have drawn them."""
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    n = len(canvas)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    def some(share: float) -> Tensor:
        return (torch.rand(n, 1, 1, 1, generator=generator) < share).float()

    angle = uniform(-0.3, 0.3)
    size, stretch = uniform(0.9, 1.3), uniform(0.9, 1.12)
    affine = torch.stack(
        [
            torch.stack(
                [angle.cos() * size * stretch, -angle.sin() * size, uniform(-0.1, 0.1)],
                1,
            ),
            torch.stack(
                [angle.sin() * size, angle.cos() * size / stretch, uniform(-0.1, 0.1)],
                1,
            ),
        ],
        1,
    )
    grid = F.affine_grid(affine, [n, 4, SIDE, SIDE], align_corners=False)
    moved = F.grid_sample((canvas + 1.0) / 2.0 - _WHITE, grid, align_corners=False)
    moved = moved + _WHITE
    colour, alpha = moved[:, :3], moved[:, 3:]
    colour = _other_shades(colour, uniform, some)
    colour = _emptied(colour, alpha, uniform, some)
    colour = _outlined(colour, alpha, uniform, some)
    noise = 0.03 * torch.randn(colour.shape, generator=generator)
    return (colour + noise).clamp(0.0, 1.0) * 2.0 - 1.0


_WHITE = torch.tensor([1.0, 1.0, 1.0, 0.0])[None, :, None, None]


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _other_shades(colour: Tensor, uniform: Uniform, some: Some) -> Tensor:
    grey = colour.mean(1, keepdim=True)
    saturation = _column(uniform(0.4, 1.4))
    colour = grey + saturation * (colour - grey)
    contrast = _column(uniform(0.75, 1.25))
    colour = 1.0 - contrast * (1.0 - colour)
    tint = torch.stack([uniform(0.85, 1.1) for _ in range(3)], 1)[:, :, None, None]
    colour = colour * tint.clamp(max=1.0)
    # Blur of a random share: some art is soft, and so are drawn pictures.
    soft = F.avg_pool2d(F.pad(colour, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = some(0.3) * _column(uniform(0.2, 1.0))
    return colour + share * (soft - colour)


def _edges(values: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 1, h, w): how much neighbours differ, 0 to 1."""
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    high = F.max_pool2d(padded, 3, 1)
    low = -F.max_pool2d(-padded, 3, 1)
    return (high - low).amax(1, keepdim=True).clamp(0.0, 1.0)


def _emptied(colour: Tensor, alpha: Tensor, uniform: Uniform, some: Some) -> Tensor:
    """Line art leaves surfaces pale; the edges stay."""
    pale = some(0.25) * _column(uniform(0.3, 0.9)) * (1.0 - _edges(colour)) * alpha
    return colour + pale * (1.0 - colour)


def _outlined(colour: Tensor, alpha: Tensor, uniform: Uniform, some: Some) -> Tensor:
    """A dark line around the figure and, weaker, between its surfaces."""
    outer = _edges(alpha)
    inner = _column(uniform(0.0, 1.0)) * ((_edges(colour) - 0.15) * 2.0).clamp(0, 1)
    line = torch.maximum(outer, inner) * some(0.55) * _column(uniform(0.5, 1.0))
    return colour * (1.0 - line)
