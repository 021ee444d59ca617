"""Pictures in and out of a model's square: fit, mask, and put back.

Three promises of inpainting are kept here, after the model is done:

* where the mask is black, the result is the original, bit for bit, in its own size;
* the seam is soft on the *inside* of the mask only: over ``_FEATHER`` of the shorter
  side the drawn picture fades in, so that an edge of brightness does not show;
* colours of half-transparent pixels mix as light does, weighted by alpha.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_FEATHER = 1 / 48
_SAME_SHAPE = 0.05
_HALF = 128
"""A mask's grey from which on a pixel is drawn anew."""


def fitted(
    image: Image.Image, size: tuple[int, int], ground: tuple[int, ...]
) -> Image.Image:
    """The whole picture in the middle of ``size``, the rest filled; never squashed.

    ``ground`` is a colour of the picture's own mode.
    """
    inner, at = _place(image.size, size)
    result = Image.new(image.mode, size, ground)
    result.paste(image.resize(inner, Image.Resampling.LANCZOS), at)
    return result


def unfitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The inverse of :func:`fitted`: the part that is the picture, in its size."""
    inner, (x, y) = _place(size, image.size)
    part = image.crop((x, y, x + inner[0], y + inner[1]))
    return part.resize(size, Image.Resampling.BICUBIC)


def mask_of(image: Image.Image) -> Image.Image:
    """A mask as it counts: "L" with 255 to draw anew and 0 to keep.

    Transparency is no grey: a picture with alpha is read on black.
    """
    if "A" in image.getbands():
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return image.convert("L").point(lambda grey: 255 if grey >= _HALF else 0)


def shrunken(mask: Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) of 0 and 1 at a model's size: 1 where *any* pixel is drawn anew.

    So nothing that must be kept is decided by a model's coarse pixel: the fine mask
    has the last word in :func:`composite`.
    """
    inner, at = _place(mask.size, size)
    square = Image.new("L", size, 0)
    # a box average is 0 only where every pixel is; rounding up what is left of one
    part = mask.point(lambda grey: grey and 255).resize(inner, Image.Resampling.BOX)
    square.paste(part, at)
    return (np.asarray(square) > 0).astype(np.float32)


def composite(
    original: Image.Image, drawn: Image.Image, mask: Image.Image
) -> Image.Image:
    """``drawn`` where the mask is white, ``original`` bit for bit where it is black.

    All of one size; the result has the mode of the original, RGB or RGBA.
    """
    weight = _inside(mask)
    mode = original.mode
    old = np.asarray(original.convert("RGBA"), np.float32) / 255.0
    new = np.asarray(drawn.convert("RGBA"), np.float32) / 255.0
    w = weight[..., None]
    alpha = (1.0 - w) * old[..., 3:] + w * new[..., 3:]
    light = (1.0 - w) * old[..., :3] * old[..., 3:] + w * new[..., :3] * new[..., 3:]
    mixed = np.concatenate([light / np.maximum(alpha, 1e-6), alpha], axis=-1)
    pixels = (np.clip(mixed, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    exact = np.asarray(original.convert("RGBA"))
    result = np.where(w > 0.0, pixels, exact)
    return Image.fromarray(result, "RGBA").convert(mode)


def _inside(mask: Image.Image) -> NDArray[np.float32]:
    """0 in black; in white, rising from the seam to 1 over the feather's width.

    The mean of the mask and its erosions by 1, 2, … pixels: a ramp.
    """
    width = max(1, round(min(mask.size) * _FEATHER))
    layer, total = mask, np.zeros(mask.size[::-1], np.float32)
    for _ in range(width):
        total += np.asarray(layer, np.float32) / 255.0
        layer = layer.filter(ImageFilter.MinFilter(3))
    return (total / width).astype(np.float32)


def expanded(
    image: Image.Image, left: int, top: int, right: int, bottom: int
) -> tuple[Image.Image, Image.Image]:
    """For outpainting: the picture with margins, and the mask that draws only them.

    The margins hold the nearest pixels of the picture, which is what a strength below
    1 starts from; transparent pictures get transparent ones. Pixels, not negative.
    """
    pad = ((top, bottom), (left, right), (0, 0))
    pixels = np.asarray(image)
    if image.mode == "RGBA":
        wide = np.pad(pixels, pad)
    else:
        wide = np.pad(pixels, pad, mode="edge")
    mask = Image.new("L", (wide.shape[1], wide.shape[0]), 255)
    mask.paste(0, (left, top, left + image.width, top + image.height))
    return Image.fromarray(wide, image.mode), mask


def _place(
    size: tuple[int, int], room: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size and corner of a picture that is fitted into the room's middle.

    Shapes that differ by the rounding of sides only fill the room: no thin margins.
    """
    if abs(size[0] * room[1] / (size[1] * room[0]) - 1.0) < _SAME_SHAPE:
        return room, (0, 0)
    scale = min(room[0] / size[0], room[1] / size[1])
    width = max(1, min(room[0], round(size[0] * scale)))
    height = max(1, min(room[1], round(size[1] * scale)))
    return (width, height), ((room[0] - width) // 2, (room[1] - height) // 2)
