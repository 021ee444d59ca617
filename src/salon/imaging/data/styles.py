"""Looks that can be given to any picture: an outline, pixel art.

Both take and give (side, side, 4) premultiplied RGBA.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]

_INK = (35, 35, 45)
_STEP = 64
"""How much a colour must change, of 255, to be worth a line."""
_CELLS = 16
_LEVELS = 5


def outline(rgba: Bytes) -> Bytes:
    """Dark lines where the colour changes or the thing ends; white inside."""
    side = len(rgba)
    alpha = rgba[..., 3].astype(np.int32)
    line = _range(alpha) > 127
    for channel in range(3):
        on_white = rgba[..., channel].astype(np.int32) + (255 - alpha)
        line |= _range(on_white) > _STEP
    for _ in range(side // 256):
        line |= _range(line.astype(np.int32)) > 0
    out = np.zeros_like(rgba)
    out[alpha > 127] = 255
    out[line] = (*_INK, 255)
    return out


def _range(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Largest less smallest value of the three by three pixels around each."""
    padded = np.pad(values, 1, mode="edge")
    rows, columns = values.shape
    around = np.stack(
        [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    )
    spread: NDArray[np.int32] = around.max(axis=0) - around.min(axis=0)
    return spread


def pixel_art(rgba: Bytes) -> Bytes:
    """Sixteen by sixteen hard squares of few colours."""
    side = len(rgba)
    image = Image.frombytes("RGBa", (side, side), rgba.tobytes())
    small = np.asarray(
        image.resize((_CELLS, _CELLS), Image.Resampling.BOX).convert("RGBA"), np.uint8
    )
    step = 255 // _LEVELS
    few = (small.astype(np.int32) + step // 2) // step * step
    few[..., 3] = np.where(small[..., 3] > 110, 255, 0)
    few[few[..., 3] == 0] = 0
    cells = np.arange(side) * _CELLS // side
    return few.clip(0, 255).astype(np.uint8)[cells][:, cells]


STYLES: dict[str, Callable[[Bytes], Bytes]] = {
    "outline": outline,
    "pixel art": pixel_art,
}
