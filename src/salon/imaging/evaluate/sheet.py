"""The examination to look at: every English composition with its prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_COLUMNS, _CELL, _CAPTION = 20, 72, 12


def composition_sheet(drawn: Sequence[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """(prompt, (128, 128, 4)) pairs, twenty a row, on white."""
    rows = math.ceil(len(drawn) / _COLUMNS)
    size = (_COLUMNS * _CELL, rows * (_CELL + _CAPTION))
    sheet = Image.new("RGB", size, "white")
    ink, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=8)
    for i, (prompt, pixels) in enumerate(drawn):
        x, y = i % _COLUMNS * _CELL, i // _COLUMNS * (_CELL + _CAPTION)
        picture = Image.fromarray(pixels).resize((_CELL - 4, _CELL - 4))
        sheet.paste(picture, (x + 2, y), picture)
        ink.text((x + 2, y + _CELL - 4), prompt[:18], fill=(40, 40, 46), font=font)
    return sheet
