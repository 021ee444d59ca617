"""A hundred compositions in three languages; never to be changed, only added to.

40 ask for a colour, 24 for a number, 20 for something worn, 16 for two things. What
they are made of stands in two small tables, with the words that grammar needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

LANGUAGES = ("en", "zh", "ru")
Kind = Literal["colour", "count", "worn", "pair"]


@dataclass(frozen=True)
class Composition:
    """One thing asked for, in three languages."""

    kind: Kind
    prompts: dict[str, str]
    """language -> prompt"""
    colour: str = ""
    count: int = 1
    parts: tuple[str, ...] = ()
    """English names of the things: labels of the gallery for "worn" and "pair"."""


@dataclass(frozen=True)
class Thing:
    """A noun and what grammar needs of it."""

    en: str
    plural: str
    zh: str
    counter: str
    ru: str
    gender: Literal["m", "f", "n"]
    ru_few: str
    """After 2, 3 and 4."""
    label: str
    """Of the gallery."""


THINGS = {
    thing.en: thing
    for thing in (
        Thing("heart", "hearts", "心", "颗", "сердце", "n", "сердца", "red heart"),
        Thing("car", "cars", "汽车", "辆", "машина", "f", "машины", "automobile"),
        Thing("cat", "cats", "猫", "只", "кот", "m", "кота", "cat"),
        Thing("dog", "dogs", "狗", "只", "собака", "f", "собаки", "dog"),
        Thing("fish", "fish", "鱼", "条", "рыба", "f", "рыбы", "fish"),
        Thing("star", "stars", "星星", "颗", "звезда", "f", "звезды", "star"),
        Thing("apple", "apples", "苹果", "个", "яблоко", "n", "яблока", "red apple"),
        Thing("house", "houses", "房子", "座", "дом", "m", "дома", "house"),
        Thing("rocket", "rockets", "火箭", "枚", "ракета", "f", "ракеты", "rocket"),
        Thing("rose", "roses", "玫瑰", "朵", "роза", "f", "розы", "rose"),
        Thing(
            "butterfly", "butterflies", "蝴蝶", "只", "бабочка", "f", "бабочки",
            "butterfly",
        ),
        Thing("mushroom", "mushrooms", "蘑菇", "个", "гриб", "m", "гриба", "mushroom"),
        Thing("elephant", "elephants", "大象", "头", "слон", "m", "слона", "elephant"),
        Thing("pizza", "pizzas", "披萨", "块", "пицца", "f", "пиццы", "pizza"),
        Thing("frog", "frogs", "青蛙", "只", "лягушка", "f", "лягушки", "frog"),
        Thing("panda", "pandas", "熊猫", "只", "панда", "f", "панды", "panda"),
    )
}  # fmt: skip
COLOURS = {
    # en: zh, ru masculine, feminine, neuter
    "red": ("红色", "красный", "красная", "красное"),
    "yellow": ("黄色", "жёлтый", "жёлтая", "жёлтое"),
    "green": ("绿色", "зелёный", "зелёная", "зелёное"),
    "blue": ("蓝色", "синий", "синяя", "синее"),
    "purple": ("紫色", "фиолетовый", "фиолетовая", "фиолетовое"),
    "pink": ("粉色", "розовый", "розовая", "розовое"),
}
_COLOURED = (
    *("heart", "car", "cat", "fish", "star"),
    *("house", "rocket", "butterfly", "elephant", "mushroom"),
)
_COUNTED = ("heart", "car", "cat", "fish", "star", "apple", "rose", "rocket")
_NUMBERS = {
    2: ("two", "两", "два"),
    3: ("three", "三", "три"),
    4: ("four", "四", "четыре"),
}
WORN = {
    # label: zh, ru after "в"
    "crown": ("皇冠", "короне"),
    "top hat": ("礼帽", "цилиндре"),
    "glasses": ("眼镜", "очках"),
    "sunglasses": ("墨镜", "солнцезащитных очках"),
}
WEARERS = ("cat", "dog", "frog", "panda", "pizza")
_PAIRS = (
    *(("cat", "dog"), ("dog", "car"), ("apple", "fish"), ("rocket", "star")),
    *(("house", "rose"), ("heart", "star"), ("frog", "mushroom"), ("car", "house")),
    *(("pizza", "cat"), ("elephant", "apple"), ("butterfly", "rose")),
    *(("fish", "frog"), ("panda", "heart"), ("star", "rocket"), ("rose", "dog")),
    ("mushroom", "house"),
)


def compositions() -> list[Composition]:
    """All hundred, in one order for ever."""
    return [*_colours(), *_counts(), *_worn(), *_pairs()]


def _colours() -> list[Composition]:
    found, colours = [], list(COLOURS)
    for i, name in enumerate(_COLOURED):
        thing = THINGS[name]
        for j in range(4):
            colour = colours[(i + j) % len(colours)]
            zh, *russian = COLOURS[colour]
            adjective = russian["mfn".index(thing.gender)]
            prompts = {
                "en": f"{colour} {thing.en}",
                "zh": f"{zh}的{thing.zh}",
                "ru": f"{adjective} {thing.ru}",
            }
            found.append(Composition("colour", prompts, colour=colour, parts=(name,)))
    return found


def _counts() -> list[Composition]:
    found = []
    for name, number in product(_COUNTED, _NUMBERS):
        thing, (en, zh, ru) = THINGS[name], _NUMBERS[number]
        if number == 2 and thing.gender == "f":
            ru = "две"
        prompts = {
            "en": f"{en} {thing.plural}",
            "zh": f"{zh}{thing.counter}{thing.zh}",
            "ru": f"{ru} {thing.ru_few}",
        }
        found.append(Composition("count", prompts, count=number, parts=(name,)))
    return found


def _worn() -> list[Composition]:
    found = []
    for name, what in product(WEARERS, WORN):
        thing, (zh, ru) = THINGS[name], WORN[what]
        article = "" if what.endswith("glasses") else "a "
        prompts = {
            "en": f"{thing.en} wearing {article}{what}",
            "zh": f"戴着{zh}的{thing.zh}",
            "ru": f"{thing.ru} в {ru}",
        }
        found.append(Composition("worn", prompts, parts=(name, what)))
    return found


def _pairs() -> list[Composition]:
    found = []
    for left, right in _PAIRS:
        a, b = THINGS[left], THINGS[right]
        prompts = {
            "en": f"{a.en} and {b.en}",
            "zh": f"{a.zh}和{b.zh}",
            "ru": f"{a.ru} и {b.ru}",
        }
        found.append(Composition("pair", prompts, parts=(left, right)))
    return found
