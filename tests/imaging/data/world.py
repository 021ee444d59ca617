"""A library of plain shapes, and packages of them as npm would unpack them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from salon.imaging.data.art import Drawing
from salon.imaging.data.drawings import Library
from salon.imaging.data.emoji import LANGUAGES
from salon.imaging.data.sources import SOURCES, WORDS

SHAPES = {
    # CLDR label: (code point, shape, colour, zh, ru)
    "dog face": ("1F436", "disc", "#c08040", "狗脸", "морда собаки"),
    "cat face": ("1F431", "disc", "#f0c040", "猫脸", "морда кошки"),
    "robot": ("1F916", "square", "#9098a8", "机器人", "робот"),
    "penguin": ("1F427", "tall", "#303848", "企鹅", "пингвин"),
    "red apple": ("1F34E", "disc", "#e03030", "红苹果", "красное яблоко"),
    "banana": ("1F34C", "wide", "#f0d040", "香蕉", "банан"),
    "automobile": ("1F697", "wide", "#d02030", "汽车", "автомобиль"),
    "house": ("1F3E0", "square", "#c06030", "房子", "дом"),
    "glass of milk": ("1F95B", "tall", "#e8e8f0", "一杯奶", "стакан молока"),
    "crown": ("1F451", "wide", "#f0c030", "皇冠", "корона"),
    "glasses": ("1F453", "wide", "#202020", "眼镜", "очки"),
    "ribbon": ("1F380", "wide", "#e03060", "蝴蝶结", "бантик"),
    "film frames": ("1F39E-FE0F", "square", "#404040", "影片帧", "кинопленка"),
}
_BOXES = {"disc": (14, 14, 113, 113), "square": (14, 14, 113, 113)}
_BOXES |= {"tall": (44, 6, 83, 121), "wide": (6, 40, 121, 87)}


def draw(shape: str, colour: str, side: int = 128) -> NDArray[np.uint8]:
    image = Image.new("RGBA", (128, 128))
    ink = ImageDraw.Draw(image)
    paint: Callable[..., None] = ink.ellipse if shape == "disc" else ink.rectangle
    paint(_BOXES[shape], fill=colour)
    return np.asarray(image.resize((side, side)), dtype=np.uint8)


def drawings(source: str = "fluent-flat") -> list[Drawing]:
    return [
        Drawing(
            source,
            label.replace(" ", "-"),
            {"en": label, "zh": zh, "ru": ru, "de": f"{label} (de)"},
            {"en": ["nice"]},
            lambda side, s=shape, c=colour: draw(s, c, side),
        )
        for label, (_, shape, colour, zh, ru) in SHAPES.items()
    ]


def library(*sources: str) -> Library:
    return Library(d for s in sources or ("fluent-flat",) for d in drawings(s))


def packages(folder: Path) -> Path:
    """Unpacked packages of the 3D art and of the words, holding the shapes."""
    art = _unpacked(folder, SOURCES["fluent-3d"].package, SOURCES["fluent-3d"].version)
    (art / "assets").mkdir()
    for code, shape, colour, _, _ in SHAPES.values():
        path = art / "assets" / f"{code.lower()}.webp"
        Image.fromarray(draw(shape, colour)).save(path, lossless=True)
    # Under another code point the same picture: a copy that the set must leave out.
    copy = art / "assets" / "1f95b.webp"
    copy.with_name("1f37c.webp").write_bytes(copy.read_bytes())
    words = _unpacked(folder, WORDS.package, WORDS.version)
    for language in LANGUAGES:
        (words / language).mkdir()
        rows = [
            {
                "hexcode": code,
                "group": 7,
                "order": order,
                "label": {"en": label, "zh": zh, "ru": ru}.get(language, label),
                "tags": ["nice"],
            }
            for order, (label, (code, _, _, zh, ru)) in enumerate(SHAPES.items())
        ]
        rows.append(
            {"hexcode": "1F37C", "group": 4, "order": 99, "label": "baby bottle"}
        )
        (words / language / "data.json").write_text(json.dumps(rows), "utf-8")
    return folder


def _unpacked(folder: Path, package: str, version: str) -> Path:
    place = folder / f"{package.removeprefix('@').replace('/', '-')}-{version}"
    place.mkdir(parents=True)
    (place / "package.json").write_text("{}", "utf-8")
    return place


def islands(mask: NDArray[np.bool_]) -> int:
    """How many connected parts, by flooding."""
    left, count = {tuple(p) for p in np.argwhere(mask)}, 0
    while left:
        count += 1
        todo = [left.pop()]
        while todo:
            y, x = todo.pop()
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left:
                    left.remove(near)
                    todo.append(near)
    return count
