"""What is behind a thing: a colour, a gradient, or a plain scene.

Whole numbers only, so that the pixels are the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data.recolour import PALETTE

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]

SCENES: dict[str, tuple[Colour, Colour, float, Colour, Colour]] = {
    # sky above, sky at the horizon, height of the horizon, ground far, ground near
    "meadow": ((110, 185, 245), (205, 232, 250), 0.62, (120, 200, 90), (70, 160, 60)),
    "beach": ((120, 200, 250), (60, 160, 215), 0.6, (250, 225, 165), (235, 200, 130)),
    "sea": ((140, 205, 250), (215, 238, 252), 0.5, (40, 130, 205), (15, 80, 160)),
    "night": ((12, 16, 50), (35, 45, 100), 1.0, (0, 0, 0), (0, 0, 0)),
    "snow": ((150, 190, 225), (215, 230, 242), 0.6, (248, 250, 253), (225, 234, 244)),
    "sunset": ((95, 60, 130), (255, 150, 80), 0.72, (90, 60, 70), (50, 35, 50)),
    "sky": ((80, 165, 240), (190, 225, 250), 1.0, (0, 0, 0), (0, 0, 0)),
    "desert": ((150, 205, 245), (245, 230, 195), 0.6, (235, 190, 115), (205, 150, 85)),
    "space": ((8, 6, 24), (30, 14, 58), 1.0, (0, 0, 0), (0, 0, 0)),
}
GROUND_SCENES = ("meadow", "beach", "snow", "sunset", "desert")
"""Those with something to stand on."""
_STARS = (
    *((0.08, 0.12), (0.22, 0.3), (0.36, 0.07), (0.55, 0.16), (0.71, 0.06)),
    *((0.9, 0.2), (0.8, 0.36), (0.05, 0.52), (0.94, 0.6), (0.12, 0.78)),
    *((0.3, 0.93), (0.66, 0.95), (0.86, 0.85)),
)
_CLOUDS = ((0.2, 0.2, 0.11), (0.3, 0.23, 0.08), (0.75, 0.72, 0.1), (0.85, 0.75, 0.07))


def paint(background: str, side: int) -> Bytes:
    """(side, side, 4) RGBA; all of it solid, or nothing for no background."""
    canvas = np.zeros((side, side, 4), np.uint8)
    if not background:
        return canvas
    canvas[..., 3] = 255
    if background in SCENES:
        _scene(canvas, background)
        return canvas
    colours = [PALETTE[word] for word in background.split(" to ")]
    canvas[..., :3] = _gradient(colours[0], colours[-1], side)[:, None]
    return canvas


def _gradient(upper: Colour, lower: Colour, rows: int) -> NDArray[np.int64]:
    """(rows, 3) from ``upper`` to ``lower``."""
    step = np.arange(rows, dtype=np.int64)[:, None]
    span = max(rows - 1, 1)
    above, below = np.array(upper, np.int64), np.array(lower, np.int64)
    mixed: NDArray[np.int64] = above * (span - step) + below * step + span // 2
    mixed //= span
    return mixed


def _scene(canvas: Bytes, scene: str) -> None:
    side = len(canvas)
    above, horizon, height, far, near = SCENES[scene]
    edge = round(height * side)
    canvas[:edge, :, :3] = _gradient(above, horizon, edge)[:, None]
    if edge < side:
        canvas[edge:, :, :3] = _gradient(far, near, side - edge)[:, None]
    if scene in ("night", "space"):
        size = max(1, side // 48)
        for x, y in _STARS:
            column, row = round(x * (side - size)), round(y * (side - size))
            canvas[row : row + size, column : column + size, :3] = (255, 250, 215)
    if scene == "sky":
        for x, y, radius in _CLOUDS:
            _disc(canvas, x, y, radius, (255, 255, 255))
    if scene == "sunset":
        _disc(canvas[:edge], 0.8, 0.62, 0.13, (255, 225, 130))


def _disc(canvas: Bytes, x: float, y: float, radius: float, colour: Colour) -> None:
    side = canvas.shape[1]
    rows, columns = np.ogrid[: canvas.shape[0], :side]
    far = (columns - round(x * side)) ** 2 + (rows - round(y * side)) ** 2
    canvas[far <= round(radius * side) ** 2, :3] = colour
