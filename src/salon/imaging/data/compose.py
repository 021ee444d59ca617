"""New pictures out of old ones: a hat on a cat, three apples, a dog and a car.

Plain emoji data does not compose: no emoji shows two of anything the alphabet has no
sign for. The art is plain shapes on nothing, so scenes can be pasted together, as
many as wanted, from one vendor's style.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]

SIDE = 128
_COUNT_LAYOUT: dict[int, tuple[float, tuple[tuple[float, float], ...]]] = {
    # share of the side, centres
    2: (0.43, ((0.27, 0.5), (0.73, 0.5))),
    3: (0.44, ((0.5, 0.27), (0.26, 0.72), (0.74, 0.72))),
    4: (0.44, ((0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74))),
}


def shrink(rgba: Bytes, side: int) -> Bytes:
    """Resize to (side, side, 4) with premultiplied alpha, so that no edge darkens."""
    image = Image.fromarray(rgba).convert("RGBa")
    small = image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.convert("RGBA"), dtype=np.uint8)


def _crop(rgba: Bytes) -> Image.Image:
    image = Image.fromarray(rgba)
    return image.crop(image.getchannel("A").getbbox() or (0, 0, SIDE, SIDE))


def _fit(image: Image.Image, width: float, height: float) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resized = image.convert("RGBa").resize(size, Image.Resampling.BOX)
    return resized.convert("RGBA")


def _paste(canvas: Image.Image, part: Image.Image, x: float, y: float) -> None:
    """Put ``part`` with its centre at (x, y) pixels."""
    corner = (round(x - part.width / 2), round(y - part.height / 2))
    layer = Image.new("RGBA", canvas.size)
    layer.paste(part, corner)
    canvas.alpha_composite(layer)


def _blank() -> Image.Image:
    return Image.new("RGBA", (SIDE, SIDE))


def several(rgba: Bytes, count: int) -> Bytes:
    """``count`` (2, 3 or 4) copies of one object."""
    share, centres = _COUNT_LAYOUT[count]
    part, canvas = _fit(_crop(rgba), SIDE * share * 0.94, SIDE * share * 0.94), _blank()
    for x, y in centres:
        _paste(canvas, part, SIDE * x, SIDE * y)
    return np.asarray(canvas, dtype=np.uint8)


def beside(left: Bytes, right: Bytes) -> Bytes:
    """Two objects next to each other, standing on one line."""
    canvas = _blank()
    for rgba, x in ((left, 0.26), (right, 0.74)):
        part = _fit(_crop(rgba), SIDE * 0.48, SIDE * 0.62)
        _paste(canvas, part, SIDE * x, SIDE * 0.8 - part.height / 2)
    return np.asarray(canvas, dtype=np.uint8)


def wearing_hat(subject: Bytes, hat: Bytes) -> Bytes:
    """The subject, lower and smaller, with the hat on the middle of its top edge."""
    canvas, body = _blank(), _fit(_crop(subject), SIDE * 0.82, SIDE * 0.7)
    top = SIDE * 0.98 - body.height
    _paste(canvas, body, SIDE / 2, top + body.height / 2)
    head_x = SIDE / 2 - body.width / 2 + _top_centre(body)
    part = _fit(_crop(hat), SIDE * 0.5, SIDE * 0.36)
    _paste(canvas, part, head_x, top + 0.12 * body.height - part.height * 0.4)
    return np.asarray(canvas, dtype=np.uint8)


def wearing_glasses(face: Bytes, glasses: Bytes) -> Bytes:
    """Glasses over the eyes of a face drawn from the front."""
    canvas, head = _blank(), _crop(face)
    _paste(canvas, head, SIDE / 2, SIDE / 2)
    part = _fit(_crop(glasses), head.width * 0.78, head.height * 0.4)
    _paste(canvas, part, SIDE / 2, SIDE / 2 - head.height * 0.07)
    return np.asarray(canvas, dtype=np.uint8)


def _top_centre(body: Image.Image) -> float:
    alpha = np.asarray(body.getchannel("A"), dtype=np.float32)
    rows = alpha[: max(1, body.height // 5)].sum(axis=0)
    return float((rows * np.arange(body.width)).sum() / max(float(rows.sum()), 1.0))


def choose(rng: np.random.Generator, items: Sequence[int], count: int) -> list[int]:
    """``count`` distinct items, or all of them where there are fewer."""
    picked = rng.permutation(len(items))[:count]
    return [items[int(i)] for i in picked]
