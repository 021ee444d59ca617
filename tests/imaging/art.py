"""A handful of drawings made here, in place of the packaged art."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from salon.imaging.data.emoji import Emoji


def drawing(shape: str, colour: str, detail: str = "green") -> NDArray[np.uint8]:
    image = Image.new("RGBA", (128, 128))
    ink = ImageDraw.Draw(image)
    box = (20, 24, 108, 112)
    if shape == "disc":
        ink.ellipse(box, fill=colour)
    elif shape == "square":
        ink.rectangle(box, fill=colour)
    else:
        ink.polygon([(64, 20), (108, 110), (20, 110)], fill=colour)
    ink.rectangle((56, 8, 72, 20), fill=detail)
    return np.asarray(image)


def emoji(
    label: str,
    shape: str,
    colour: str,
    group: int = 4,
    subgroup: int = 42,
    **names: str,
) -> Emoji:
    labels = {"en": label, **names}
    tags = {"en": ["round", label.rsplit(maxsplit=1)[-1], "nice", "tasty"]}
    if "zh" in names:
        tags["zh"] = ["好"]
    picture = drawing(shape, colour)
    return Emoji(label.encode().hex(), group, subgroup, labels, tags, picture)


def few() -> list[Emoji]:
    return [
        emoji("red apple", "disc", "#e03030", zh="红苹果", ru="красное яблоко"),
        emoji("banana", "triangle", "#f0d040", zh="香蕉", ru="банан"),
        emoji("blue box", "square", "#3060e0", zh="蓝盒子", ru="синяя коробка"),
        emoji("grey stone", "disc", "#909090", 5, 53, zh="石头", ru="камень"),
        emoji("fox", "triangle", "#f08030", 3, 34, zh="狐狸", ru="лиса"),
        emoji("crown", "triangle", "#f0c030", 7, 65, zh="皇冠", ru="корона"),
        emoji("glasses", "square", "#202020", 7, 65, zh="眼镜", ru="очки"),
        emoji("baker man", "disc", "#d0a080", 1, 25),
    ]
