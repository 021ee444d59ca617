"""Three forms of one small picture, and the ways between them.

* **picture**: RGBA, 8 bits, straight alpha, (h, w, 4), what a PNG holds.
* **canvas**: float32 in [-1, 1], (4, h, w): colour composited on white, and alpha.
  On white, because a transparent pixel then has one colour and not an arbitrary one.
* **patches**: a 32 x 32 canvas folded 2 x 2 into channels, (16, 16, 16), the form
  the U-Net works on: four times fewer positions for the same numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

CANVAS = 32
"""Side of the picture that prior and U-Net draw, in pixels."""
PICTURE = 128
"""Side of the finished picture, after the upscaler."""


def to_canvas(rgba: Bytes) -> Floats:
    """(..., h, w, 4) picture -> (..., 4, h, w) canvas."""
    values = rgba.astype(np.float32) / 255.0
    colour, alpha = values[..., :3], values[..., 3:]
    on_white = colour * alpha + (1.0 - alpha)
    canvas = np.concatenate([on_white, alpha], axis=-1) * 2.0 - 1.0
    return np.moveaxis(canvas, -1, -3).astype(np.float32)


def to_picture(canvas: Floats) -> Bytes:
    """(..., 4, h, w) canvas -> (..., h, w, 4) picture; values out of range are cut.

    Alpha below 5 % becomes 0 and above 95 % becomes 1, so that the background is
    empty and the inside solid; the colour on white is divided by alpha again.
    """
    values = np.clip((np.moveaxis(canvas, -3, -1) + 1.0) / 2.0, 0.0, 1.0)
    alpha = np.clip((values[..., 3:] - 0.05) / 0.9, 0.0, 1.0)
    colour = (values[..., :3] - (1.0 - alpha)) / np.maximum(alpha, 0.05)
    picture = np.concatenate([np.clip(colour, 0.0, 1.0), alpha], axis=-1)
    picture[..., :3] *= alpha > 0
    return (picture * 255.0 + 0.5).astype(np.uint8)


def fold(canvas: Floats) -> Floats:
    """(n, 4, 32, 32) canvas -> (n, 16, 16, 16) patches (space to depth)."""
    n, c, h, w = canvas.shape
    blocks = canvas.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(blocks.reshape(n, c * 4, h // 2, w // 2))


def unfold(patches: Floats) -> Floats:
    """(n, 16, 16, 16) patches -> (n, 4, 32, 32) canvas, the inverse of ``fold``."""
    n, c, h, w = patches.shape
    blocks = patches.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(blocks.reshape(n, c // 4, h * 2, w * 2))
