"""Many small pictures on one sheet."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_GAP = 2
_LINE = 13
"""Height of a line of words, in pixels."""


def sheet(pictures: NDArray[np.uint8], columns: int | None = None) -> Image.Image:
    """(N, h, w, 3) -> one picture, row by row, as square as may be unless told."""
    n, h, w, _ = pictures.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    size = (columns * (w + _GAP) + _GAP, rows * (h + _GAP) + _GAP)
    result = Image.new("RGB", size, "white")
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        at = (_GAP + column * (w + _GAP), _GAP + row * (h + _GAP))
        result.paste(Image.fromarray(picture), at)
    return result


def titled(image: Image.Image, *lines: str) -> Image.Image:
    """The picture under lines of small words, as wide as both need."""
    font = ImageFont.load_default(size=10)
    width = max([image.width, *(math.ceil(font.getlength(line)) + 8 for line in lines)])
    top = _LINE * len(lines) + 3
    result = Image.new("RGB", (width, top + image.height), "white")
    ink = ImageDraw.Draw(result)
    for i, line in enumerate(lines):
        ink.text((4, 1 + i * _LINE), line, fill=(40, 40, 48), font=font)
    result.paste(image, (0, top))
    return result
