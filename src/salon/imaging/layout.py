"""What goes where: prompts of more than one thing, taken apart and put together.

The prior answers "dog and car" with the average of all pairs it can imagine, a blob:
its layout is regressed from the sum of the words, and a sum has no order. It does know
"dog" and "car". So a prompt of several things is read as a *layout*, its things are
given to the prior one by one, and the reference that the U-Net starts from is composed
of their pictures, in the way in which the training set is composed
(``data/compose.py``). The U-Net then draws the whole. Text -> layout -> picture is
how large models are made to count as well (Lian et al. 2023, arXiv 2305.13655); here
the grammar is small enough to be written down:

    count      two .. four THINGS       三个苹果           три яблока
    pair       A and B, A next to B     A和B, A与B         A и B, A рядом с B
    wearing    A wearing B, A with B    戴着B的A           A в B, A с B

Counting and "wearing" need the listed words; everything else is any thing the prior
knows, in any language. A prompt that is itself a known label ("fork and knife") is
never taken apart; that check is the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.data import compose
from salon.imaging.pixels import CANVAS, PICTURE, to_canvas, to_picture
from salon.imaging.text import normalise

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Kind = Literal["count", "pair", "hat", "glasses"]

_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "2": 2, "3": 3, "4": 4,
    "两": 2, "二": 2, "三": 3, "四": 4,
    "два": 2, "две": 2, "три": 3, "четыре": 4,
}  # fmt: skip
_COUNT = (
    re.compile(r"^(two|three|four|[234]) (?:big |small |little )?(.+)$"),
    re.compile(r"^([两二三四234])[个只朵颗辆条匹头本把张枚座棵块片杯架艘顶件](.+)$"),
    re.compile(r"^(два|две|три|четыре|[234]) (.+)$"),
)
_GLASSES = r"(?:sun)?glasses|goggles|spectacles|眼镜|墨镜|太阳镜|护目镜|(?:солнцезащитн\w+ )?очк\w+"
_HATS = (
    r"(?:[\w-]+ )*?(?:hat|cap|crown|helmet|tiara)|皇冠|王冠|[^的]*帽子?|头盔"
    r"|(?:\w+ )?(?:шляп|корон|кепк|шапк|цилиндр|шлем)\w*"
)
_WEARING = (
    r"^(?P<who>.+?) (?:wearing|wears|with|in|has) (?:an? |the |his |her )?(?P<what>{})$",
    r"^(?:一[只个头匹]|带|的)*戴着?(?P<what>{})的(?P<who>.+)$",
    r"^(?P<who>.+?)戴着?(?P<what>{})$",
    r"^(?P<who>.+?) (?:в|с|со|носит) (?P<what>{})$",
)
_PAIR = (
    re.compile(r"^(?P<a>.+?) (?:and|next to|beside|left of|to the left of) (?P<b>.+)$"),
    re.compile(r"^(?P<b>.+?) (?:to the )?right of (?P<a>.+)$"),
    re.compile(r"^(?P<a>.+?)[和与跟](?P<b>.+)$"),
    re.compile(r"^(?P<a>.+?) (?:и|рядом с|слева от) (?P<b>.+)$"),
    re.compile(r"^(?P<b>.+?) справа от (?P<a>.+)$"),
)
_IRREGULAR = {
    "mice": "mouse", "fishes": "fish", "wolves": "wolf", "leaves": "leaf",
    "knives": "knife", "children": "child", "people": "person", "men": "man",
    "women": "woman", "geese": "goose", "cherries": "cherries", "glasses": "glasses",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The things of a prompt and how they stand to one another."""

    kind: Kind
    things: tuple[str, ...]
    """The prompts of the single things; for "wearing" the wearer comes first."""
    count: int = 1


def parse(prompt: str) -> Layout | None:
    """The layout of a prompt of several things; None for a single one."""
    text = re.sub(r"^(?:an? |the )", "", normalise(prompt))
    for pattern in _COUNT:
        if found := pattern.match(text):
            number, thing = _NUMBERS[found[1]], singular(found[2])
            return Layout("count", (thing,), number)
    return _wearing(text) or _pair(text)


def _wearing(text: str) -> Layout | None:
    for kind, things in (("glasses", _GLASSES), ("hat", _HATS)):
        for pattern in _WEARING:
            if found := re.match(pattern.format(things), text):
                known: Kind = "glasses" if kind == "glasses" else "hat"
                return Layout(known, (_bare(found["who"]), worn(found["what"])))
    return None


def _pair(text: str) -> Layout | None:
    for pattern in _PAIR:
        if found := pattern.match(text):
            return Layout("pair", (_bare(found["a"]), _bare(found["b"])))
    return None


_WORN = (
    (r"sunglasses|墨镜|太阳镜|солнцезащитн\w+ очк\w+", "sunglasses"),
    (r"glasses|spectacles|眼镜|очк\w+", "glasses"),
    (r"crown|tiara|皇冠|王冠|корон\w*", "crown"),
    (r"hat|帽子?|шляп\w*|цилиндр\w*", "top hat"),
    (r"cap|кепк\w*|шапк\w*", "billed cap"),
)


def worn(thing: str) -> str:
    """The label of what is worn, where it is one of the usual things."""
    for pattern, label in _WORN:
        if re.fullmatch(pattern, thing):
            return label
    return thing


_TOLD = {
    "count": "{n} x {0}",
    "pair": "{0} and {1}",
    "hat": "{0} wearing {1}",
    "glasses": "{0} wearing {1}",
}


def told(layout: Layout, things: tuple[str, ...]) -> str:
    """The layout in English words, with these things in it."""
    return _TOLD[layout.kind].format(*things, n=layout.count)


def _bare(thing: str) -> str:
    return re.sub(r"^(?:an? |the |一[个只辆条朵]?)", "", thing)


def singular(noun: str) -> str:
    """English plural -> singular; anything else is left alone."""
    *before, last = noun.split()
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif re.search(r"[^aeiou]ies$", last):
        last = f"{last[:-3]}y"
    elif re.search(r"(?:ss|sh|ch|x|to|[^o]us)es$", last):
        last = last[:-2]
    elif re.search(r"[a-z][^su]s$", last):
        last = last[:-1]
    return " ".join([*before, last])


def arrange(layout: Layout, pictures: list[Bytes]) -> Bytes:
    """Put the things' pictures, (128, 128, 4) each, into one of the same size."""
    clean = [_without_haze(picture) for picture in pictures]
    if layout.kind == "count":
        return compose.several(clean[0], layout.count)
    if layout.kind == "pair":
        return compose.beside(clean[0], clean[1])
    if layout.kind == "hat":
        return compose.wearing_hat(clean[0], clean[1])
    return compose.wearing_glasses(clean[0], clean[1])


def compose_reference(layout: Layout, canvases: list[Floats]) -> Floats:
    """The prior's canvases of the things, (4, 32, 32) each -> one of the whole."""
    large = [_enlarged(to_picture(canvas)) for canvas in canvases]
    return to_canvas(compose.shrink(arrange(layout, large), CANVAS))


def _enlarged(picture: Bytes) -> Bytes:
    image = Image.fromarray(_without_haze(picture)).convert("RGBa")
    large = image.resize((PICTURE, PICTURE), Image.Resampling.BICUBIC)
    return np.asarray(large.convert("RGBA"), dtype=np.uint8)


def _without_haze(picture: Bytes) -> Bytes:
    """A regressed picture has a faint veil; it would count as part of the thing."""
    clean = picture.copy()
    clean[picture[..., 3] < 90] = 0
    return clean
