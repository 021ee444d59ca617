"""From a composition to pixels, at any size. Whole numbers only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.data import backgrounds
from salon.imaging.data.composition import Composition, Part
from salon.imaging.data.drawings import Library, sprite
from salon.imaging.data.styles import STYLES

Bytes = NDArray[np.uint8]

_INKED = 128
"""Pixels that outlines are drawn with, at least."""


class Painter:
    """Paints compositions of one library at one size.

    Args:
        library: where the drawings are.
        side: of the pictures, in pixels, 16 to 1024.
    """

    def __init__(self, library: Library, side: int) -> None:
        if not 16 <= side <= 1024:
            raise ValueError(f"size must be 16 to 1024 pixels, got {side}")
        self.side = side
        self._library = library
        self._large: Painter | None = None
        # About 60 MB either way: small sprites are many, large ones few.
        self._sprite = lru_cache(65_536 if side <= 48 else 512)(self._fresh_sprite)

    def paint(self, composition: Composition) -> Bytes:
        """(side, side, 4) RGBA, alpha *premultiplied*."""
        if composition.style == "outline" and self.side < _INKED:
            return self._shrunk(composition)
        canvas = backgrounds.paint(composition.background, self.side)
        for part in self._back_to_front(composition):
            self._put(canvas, part)
        style = STYLES.get(composition.style)
        return style(canvas) if style else canvas

    def _shrunk(self, composition: Composition) -> Bytes:
        """Lines are drawn large and shrunk: thinner than a pixel, they turn grey."""
        large = self._inked().paint(composition)
        image = Image.frombytes("RGBa", (_INKED, _INKED), large.tobytes())
        small = image.resize((self.side, self.side), Image.Resampling.HAMMING)
        return np.asarray(small, dtype=np.uint8)

    def _inked(self) -> Painter:
        if self._large is None:
            self._large = Painter(self._library, _INKED)
        return self._large

    def picture(self, composition: Composition) -> Bytes:
        """(side, side, 4) RGBA with straight alpha, as a PNG holds it."""
        image = Image.frombytes(
            "RGBa", (self.side, self.side), self.paint(composition).tobytes()
        )
        return np.asarray(image.convert("RGBA"), dtype=np.uint8)

    def _back_to_front(self, composition: Composition) -> tuple[Part, ...]:
        # What rests on a thing stands before it; all else is in order already.
        resting = composition.relation == "on"
        return composition.parts[::-1] if resting else composition.parts

    def _fresh_sprite(self, key: str, colour: str, width: int, height: int) -> Bytes:
        return sprite(self._library, key, colour, (width, height))

    def _put(self, canvas: Bytes, part: Part) -> None:
        side = self.side
        width = max(1, round(part.width * side))
        height = max(1, round(part.height * side))
        pixels = self._sprite(part.art, part.colour, width, height)
        left = round(part.x * side - width / 2)
        top = round(part.y * side - height / 2)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, side), min(top + height, side)
        seen = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
        below = canvas[y0:y1, x0:x1]
        # Porter and Duff's "over", premultiplied, rounded to nearest.
        through = below.astype(np.uint16) * (255 - seen[..., 3:].astype(np.uint16))
        canvas[y0:y1, x0:x1] = seen + ((through + 127) // 255).astype(np.uint8)
