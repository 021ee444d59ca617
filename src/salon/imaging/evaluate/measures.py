"""The measures themselves: numbers out of pictures, no model and no prompt.

* *Retrieval*: rank the real pictures by likeness to a drawn one; top-1 and top-5 are
  the shares whose own picture comes first, or among the first five.
* *KID* (Bińkowski et al. 2018, arXiv 1801.01401): the unbiased squared maximum mean
  discrepancy of features under a cubic kernel; 0 for two samples of one kind.
* *Colour*: the dominant hue of what is not transparent, against that of the word.
* *Count*: connected figures of the alpha channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data.recolour import PALETTE, dominant_hue, hue_chroma

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

HUE_GAP = 30.0
"""Degrees a colour may be off its word's hue."""
SMALLEST_FIGURE = 0.012
"""Share of the picture below which a figure is a crumb and not counted."""


def unit(rows: Floats) -> Floats:
    """Rows of norm 1, so that distance ranks by angle."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Floats = rows / np.maximum(norms, 1e-9)
    return result


def ranks(queries: Floats, gallery: Floats, own: Sequence[int]) -> NDArray[np.int64]:
    """Place (0 = first) of each query's own row among the gallery, by distance."""
    squares = (gallery**2).sum(1)[None, :] - 2.0 * queries @ gallery.T
    truth = squares[np.arange(len(queries)), list(own)]
    result: NDArray[np.int64] = (squares < truth[:, None]).sum(axis=1)
    return result


def top(found: NDArray[np.int64]) -> dict[str, float]:
    """Top-1 and top-5 in percent."""
    return {f"top{k}": percent(found < k) for k in (1, 5)}


def percent(right: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Share of what is true, in percent with one digit."""
    return round(100.0 * float(np.mean(right)), 1) if len(right) else 0.0


def kid(a: Floats, b: Floats) -> float:
    """Unbiased squared MMD of two samples (n, d) under the kernel (x.y / d + 1)^3."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def kernel(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = (p @ q.T / p.shape[1] + 1.0) ** 3
        return result

    within = 0.0
    for z in (x, y):
        k = kernel(z, z)
        within += (k.sum() - np.trace(k)) / (len(z) * (len(z) - 1))
    return float(within - 2.0 * kernel(x, y).mean())


def has_colour(picture: Bytes, colour: str) -> bool:
    """Whether the dominant hue of what is visible is that of the (chromatic) word."""
    hue = dominant_hue(picture)
    if hue is None:
        return False
    wanted, _ = hue_chroma(np.array([PALETTE[colour]], np.float32) / 255.0)
    return bool(abs((hue - float(wanted[0]) + 180.0) % 360.0 - 180.0) <= HUE_GAP)


def figures(alpha: Bytes) -> int:
    """How many connected figures (8-neighbourhood) an alpha channel (h, w) holds."""
    sizes = _component_sizes(alpha > 127)
    return sum(size >= SMALLEST_FIGURE * alpha.size for size in sizes)


def _component_sizes(mask: NDArray[np.bool_]) -> list[int]:
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    # Every cell takes the largest label around it until nothing changes.
    while True:
        padded = np.pad(labels, 1)
        h, w = labels.shape
        around = [padded[y : y + h, x : x + w] for y in range(3) for x in range(3)]
        spread = np.where(mask, np.maximum.reduce(around), 0)
        if np.array_equal(spread, labels):
            break
        labels = spread
    return [int(n) for n in np.unique(labels[labels > 0], return_counts=True)[1]]


def half_transparent(alpha: Bytes) -> float:
    """Share of the picture that is neither there nor not: veils, and soft edges."""
    return float(((alpha > 12) & (alpha < 243)).mean())


def clean_corners(alpha: Bytes, side: int = 6) -> bool:
    """Whether the four corners are empty."""
    s = side
    corners = (alpha[:s, :s], alpha[:s, -s:], alpha[-s:, :s], alpha[-s:, -s:])
    return max(float(corner.mean()) for corner in corners) < 13.0


def mean_gap(rows: Floats) -> float:
    """Mean squared difference over all pairs of rows (n, d)."""
    n = len(rows)
    gaps = [
        float(((rows[i] - rows[j]) ** 2).mean()) for i in range(n) for j in range(i)
    ]
    return float(np.mean(gaps)) if gaps else 0.0


def nearest(rows: Floats, gallery: Floats) -> Floats:
    """Mean squared difference of each row (n, d) to the nearest of the gallery."""
    squares = (gallery**2).sum(1)[None, :] - 2.0 * rows @ gallery.T
    result: Floats = (squares.min(axis=1) + (rows**2).sum(1)) / rows.shape[1]
    return np.maximum(result, 0.0)
