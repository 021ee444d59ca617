"""Colour x object pairs: the same drawing in ten other colours.

A drawing has one dominant hue (the apple's red) and details of other hues (the leaf)
or none (the shine). Only pixels near the dominant hue are moved to the new colour,
keeping their lightness relative to the object's; leaf, eyes and wheels stay. An
object without hue (a grey rocket, a white ghost) is tinted by its lightness instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (248, 49, 47),
    "orange": (255, 130, 45),
    "yellow": (252, 213, 63),
    "green": (0, 190, 95),
    "blue": (20, 120, 225),
    "purple": (141, 101, 197),
    "pink": (255, 140, 195),
    "brown": (139, 90, 60),
    "black": (45, 42, 48),
    "white": (243, 243, 245),
    "grey": (150, 150, 155),
}

_LUMA = (0.2126, 0.7152, 0.0722)
_NEAR, _FAR = 60.0, 100.0
_HUES = 36


def luminance(rgb: Floats) -> Floats:
    """Rec. 709 luma of (..., 3) colours in 0..1."""
    # Term by term: a matrix product rounds differently from machine to machine.
    r, g, b = (rgb[..., i] * np.float32(w) for i, w in enumerate(_LUMA))
    result: Floats = r + g + b
    return result


def hue_chroma(rgb: Floats) -> tuple[Floats, Floats]:
    """Hue in degrees and chroma in 0..1 of (..., 3) colours in 0..1."""
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = high - low
    safe = np.where(chroma > 1e-6, chroma, 1.0)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(
        high == r,
        ((g - b) / safe) % 6.0,
        np.where(high == g, (b - r) / safe + 2.0, (r - g) / safe + 4.0),
    )
    return (hue * 60.0).astype(np.float32), chroma.astype(np.float32)


def _distance(hue: Floats, centre: float) -> Floats:
    gap = np.abs((hue - centre + 180.0) % 360.0 - 180.0)
    result: Floats = gap.astype(np.float32)
    return result


def dominant_hue(rgba: Bytes) -> float | None:
    """Hue that most of the colour has, or None for an object without colour."""
    rgb = rgba[..., :3].astype(np.float32) / 255.0
    alpha = rgba[..., 3].astype(np.float32) / 255.0
    hue, chroma = hue_chroma(rgb)
    weight = chroma * alpha
    if weight.sum() < 0.12 * alpha.sum():
        return None
    bins = np.bincount(
        (hue.ravel() / 360.0 * _HUES).astype(int) % _HUES,
        weights=weight.ravel(),
        minlength=_HUES,
    )
    smooth = bins + np.roll(bins, 1) + np.roll(bins, -1)
    return (float(smooth.argmax()) + 0.5) * 360.0 / _HUES


def dominant_colour(rgba: Bytes) -> str:
    """The palette word nearest to the mean colour of the object's main part."""
    rgb = rgba[..., :3].astype(np.float32) / 255.0
    weight = _share(rgba, dominant_hue(rgba))
    mean = (rgb * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    gaps = {
        name: float(((mean - np.array(value, np.float32) / 255.0) ** 2).sum())
        for name, value in PALETTE.items()
    }
    return min(gaps, key=lambda name: gaps[name])


def _share(rgba: Bytes, hue: float | None) -> Floats:
    """(h, w) how much each pixel belongs to the part that changes colour."""
    rgb = rgba[..., :3].astype(np.float32) / 255.0
    alpha = rgba[..., 3].astype(np.float32) / 255.0
    hues, chroma = hue_chroma(rgb)
    if hue is None:
        grey: Floats = alpha * np.clip((0.35 - chroma) / 0.15, 0.0, 1.0)
        return grey
    near = np.clip((_FAR - _distance(hues, hue)) / (_FAR - _NEAR), 0.0, 1.0)
    part: Floats = alpha * near * np.clip((chroma - 0.06) / 0.1, 0.0, 1.0)
    return part


def recolour(rgba: Bytes, colour: str) -> Bytes:
    """Return the picture (h, w, 4) with its main part in ``colour``."""
    hue = dominant_hue(rgba)
    share = _share(rgba, hue)
    if share.sum() < 1.0:
        return rgba.copy()
    rgb = rgba[..., :3].astype(np.float32) / 255.0
    light = luminance(rgb)
    reference = _weighted_median(light, share)
    ratio = light / max(reference, 0.05)
    target = np.array(PALETTE[colour], np.float32) / 255.0
    dark = target * np.minimum(ratio, 1.0)[..., None]
    # Lighter than the object's own tone: move towards white, half as far.
    lift = np.clip((ratio - 1.0) * 0.5, 0.0, 0.8)[..., None]
    painted = np.where(ratio[..., None] <= 1.0, dark, target + (1.0 - target) * lift)
    mix = np.where(
        rgba[..., 3] > 0, share / np.maximum(rgba[..., 3] / 255.0, 1e-3), 0.0
    )
    mix = np.clip(mix, 0.0, 1.0)[..., None]
    out = rgba.copy()
    out[..., :3] = np.clip((painted * mix + rgb * (1.0 - mix)) * 255.0 + 0.5, 0, 255)
    return out


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, axis=None)
    total = np.cumsum(weights.ravel()[order])
    return float(values.ravel()[order][np.searchsorted(total, total[-1] / 2.0)])
