"""Two pictures for people: the sample sheet and the loss curves. Pillow draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from salon.imaging.request import PictureRequest
from salon.imaging.runtime import EmbeddedModel

Curve = Sequence[tuple[int, float, float]]
"""(step, seconds, loss) points."""

_GLOSSES = {
    "красное сердце": "red heart",
    "пицца": "pizza",
    "ракета": "rocket",
    "синий кот": "blue cat",
    "улыбающееся лицо": "smiling face",
    "зелёная машина": "green car",
    "披萨": "pizza",
    "太阳": "sun",
    "机器人": "robot",
    "绿色的心": "green heart",
    "蓝色的汽车": "blue car",
    "小狗": "little dog",
}
"""What the prompts say that Pillow's own font cannot write."""

SHEET: dict[str, list[str]] = {
    "seen labels": [
        *("red heart", "pizza", "cat face", "dog face", "rocket", "grinning face"),
        *("fire", "house", "robot", "frog", "ghost", "penguin"),
        *("hamburger", "bicycle", "guitar", "crown", "police car", "butterfly"),
        *("sunflower", "cactus", "birthday cake", "alarm clock", "snowman", "rainbow"),
    ],
    "colour and object, never trained together": [
        *("pink automobile", "purple banana", "purple cat face", "green dog face"),
        *("pink elephant", "red frog", "green ghost", "blue pizza"),
        *("blue rose", "purple strawberry", "brown t-shirt", "blue teddy bear"),
    ],
    "Russian, then Chinese": list(_GLOSSES),
    "free prompts": [
        *("a red fox", "frog wearing a crown", "cat with glasses", "three apples"),
        *("christmas tree", "angry red face", "spaceship", "yellow submarine"),
        *("chocolate cake", "dog and car", "wizard", "pirate ship"),
    ],
}
_COLUMNS, _CELL, _CAPTION, _TITLE = 12, 96, 14, 18
_INK, _FAINT = (30, 30, 36), (150, 150, 158)


def sample_sheet(model: EmbeddedModel) -> Image.Image:
    """Every prompt of ``SHEET`` with seeds 0, 1, 2 ... on white."""
    rows = [
        _TITLE + (_CELL + _CAPTION) * math.ceil(len(p) / _COLUMNS)
        for p in SHEET.values()
    ]
    sheet = Image.new("RGB", (_COLUMNS * _CELL, sum(rows)), "white")
    ink, y, seed = ImageDraw.Draw(sheet), 0, 0
    for title, prompts in SHEET.items():
        ink.text((3, y + 3), title, fill=_FAINT, font=_font())
        y += _TITLE
        for i, prompt in enumerate(prompts):
            column, row = i % _COLUMNS, i // _COLUMNS
            left, top = column * _CELL, y + row * (_CELL + _CAPTION)
            picture = model.draw(PictureRequest(prompt, seed)).resize((_CELL - 6,) * 2)
            sheet.paste(picture, (left + 3, top), picture)
            caption = _GLOSSES.get(prompt, prompt)
            ink.text((left + 3, top + _CELL - 5), caption, fill=_INK, font=_font())
            seed += 1
        y += (_CELL + _CAPTION) * math.ceil(len(prompts) / _COLUMNS)
    return sheet


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=9)


def loss_curves(
    curves: dict[str, Curve], size: tuple[int, int] = (720, 240)
) -> Image.Image:
    """One small plot per network: loss (logarithmic) over minutes."""
    plot = Image.new("RGB", size, "white")
    width = size[0] // max(1, len(curves))
    for i, (name, curve) in enumerate(curves.items()):
        _plot(
            ImageDraw.Draw(plot), (i * width, 0, (i + 1) * width, size[1]), name, curve
        )
    return plot


def _plot(
    ink: ImageDraw.ImageDraw, box: tuple[int, int, int, int], name: str, curve: Curve
) -> None:
    left, top, right, bottom = box[0] + 34, box[1] + 22, box[2] - 10, box[3] - 20
    minutes = [seconds / 60.0 for _, seconds, _ in curve]
    logs = [math.log10(max(loss, 1e-9)) for _, _, loss in curve]
    low, high, end = min(logs), max(logs), max(minutes) or 1.0
    span = (high - low) or 1.0
    ink.rectangle((left, top, right, bottom), outline=_FAINT)
    ink.text((left, box[1] + 6), f"{name}: loss", fill=_INK, font=_font())
    ink.text((box[0] + 4, top), f"{10**high:.3g}", fill=_FAINT, font=_font())
    ink.text((box[0] + 4, bottom - 10), f"{10**low:.3g}", fill=_FAINT, font=_font())
    ink.text((right - 38, bottom + 5), f"{end:.0f} min", fill=_FAINT, font=_font())
    points = [
        (left + (right - left) * m / end, bottom - (bottom - top) * (v - low) / span)
        for m, v in zip(minutes, logs, strict=True)
    ]
    ink.line(points, fill=(80, 90, 220), width=2)
