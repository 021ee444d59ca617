"""Many small pictures on one sheet."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP = 2


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
