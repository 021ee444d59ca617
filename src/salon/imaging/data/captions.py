"""What people might call a picture, in many languages, each with its weight.

A picture's captions are drawn in proportion to their weights: mostly its English
label, often a tag or a translation. Chinese and Russian weigh more than the other
translations because the product promises prompts in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from salon.imaging.data.emoji import Emoji
from salon.imaging.text import normalise

Captions = dict[str, float]

ZH_COLOURS = {
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "black": "黑色",
    "white": "白色",
    "grey": "灰色",
}
RU_COLOURS = {
    # masculine, feminine, neuter, plural
    "red": ("красный", "красная", "красное", "красные"),
    "orange": ("оранжевый", "оранжевая", "оранжевое", "оранжевые"),
    "yellow": ("жёлтый", "жёлтая", "жёлтое", "жёлтые"),
    "green": ("зелёный", "зелёная", "зелёное", "зелёные"),
    "blue": ("синий", "синяя", "синее", "синие"),
    "purple": ("фиолетовый", "фиолетовая", "фиолетовое", "фиолетовые"),
    "pink": ("розовый", "розовая", "розовое", "розовые"),
    "brown": ("коричневый", "коричневая", "коричневое", "коричневые"),
    "black": ("чёрный", "чёрная", "чёрное", "чёрные"),
    "white": ("белый", "белая", "белое", "белые"),
    "grey": ("серый", "серая", "серое", "серые"),
}
_EN_COLOUR = re.compile(
    r"\b(light |dark )?(red|orange|yellow|green|blue|purple|pink|brown|black|white"
    r"|gr[ae]y)\b(?! fruit)"
)
_ZH_COLOUR = re.compile(r"^[红橙黄绿蓝紫粉棕黑白灰]色?的?(?=.)")
_RU_STEM = r"(красн|оранжев|ж[её]лт|зел[её]н|син|голуб|фиолетов|розов|коричнев|ч[её]рн|бел|сер)"
_RU_COLOUR = re.compile(rf"\b{_RU_STEM}(ый|ий|ой|ая|яя|ое|ее|ые|ие)\b")
_PARTICLES = {
    "hat": ("{s} wearing a {a}", "戴着{a}的{s}", "{s} и {a}"),
    "glasses": ("{s} wearing {a}", "戴着{a}的{s}", "{s} и {a}"),
}


def without_colour(label: str, language: str = "en") -> str:
    """The object's name alone: "red heart" -> "heart"; unchanged if only a colour."""
    pattern = {"en": _EN_COLOUR, "zh": _ZH_COLOUR, "ru": _RU_COLOUR}[language]
    bare = " ".join(pattern.sub(" ", normalise(label)).split())
    return bare or normalise(label)


def rare_tags(emoji: Iterable[Emoji], at_most: int = 3) -> set[tuple[str, str]]:
    """(language, tag) that name at most so many drawings: good prompts on their own."""
    counts = Counter(
        (lang, tag) for e in emoji for lang, tags in e.tags.items() for tag in tags
    )
    return {key for key, n in counts.items() if n <= at_most}


def captions_of(
    emoji: Emoji,
    colour: str,
    rare: set[tuple[str, str]],
    rng: np.random.Generator,
) -> Captions:
    """Captions of an unchanged drawing whose main colour is ``colour``."""
    label = emoji.label
    found: Captions = {label: 4.0, f"a {label}": 0.5, f"{label} emoji": 0.2}
    found[f"{colour} {without_colour(label)}"] = 0.8
    tags = emoji.tags.get("en", [])
    for tag in tags[:8]:
        found.setdefault(f"{label} {tag}", 0.2)
    if len(tags) >= 3:
        three = rng.permutation(len(tags))[:3]
        found.setdefault(" ".join(tags[int(i)] for i in three), 0.25)
    for language, name in emoji.labels.items():
        found.setdefault(name, 0.6 if language in ("zh", "ru") else 0.16)
    for language in ("en", "zh", "ru"):
        for tag in emoji.tags.get(language, [])[:8]:
            if (language, tag) in rare:
                found.setdefault(tag, 0.2)
            elif language != "en":
                found.setdefault(f"{emoji.labels[language]} {tag}", 0.06)
    return found


def captions_in_colour(emoji: Emoji, colour: str) -> Captions:
    """Captions of the drawing repainted in ``colour``, in English, Chinese, Russian."""
    bare = without_colour(emoji.label)
    found: Captions = {f"{colour} {bare}": 2.0, f"a {colour} {bare}": 0.6}
    if colour == "grey":
        found[f"gray {bare}"] = 0.4
    if zh := emoji.labels.get("zh"):
        name = without_colour(zh, "zh")
        found[f"{ZH_COLOURS[colour]}的{name}"] = 0.4
        found[f"{ZH_COLOURS[colour]}{name}"] = 0.2
    if ru := emoji.labels.get("ru"):
        found[_russian_colour(colour, without_colour(ru, "ru"))] = 0.5
    return found


def _russian_colour(colour: str, noun: str) -> str:
    """Adjective in the gender that the noun's ending suggests, then the noun."""
    words = noun.split()
    head = words[-1] if words[0].endswith(("ий", "ый")) else words[0]
    masculine, feminine, neuter, plural = RU_COLOURS[colour]
    if head.endswith(("а", "я")):
        return f"{feminine} {noun}"
    if head.endswith(("о", "е")):
        return f"{neuter} {noun}"
    return f"{plural if head.endswith(('ы', 'и')) else masculine} {noun}"


def captions_of_accessory(subject: Emoji, thing: Emoji, kind: str) -> Captions:
    """Captions of ``subject`` wearing ``thing``; ``kind`` is "hat" or "glasses"."""
    en, zh, ru = _PARTICLES[kind]
    name = subject.label.removesuffix(" face") if subject.group else subject.label
    found: Captions = {
        en.format(s=subject.label, a=thing.label): 1.0,
        f"{name} with a {thing.label}"
        if kind == "hat"
        else f"{name} with glasses": 0.7,
    }
    return found | _translated(subject, thing, zh, ru)


def _translated(subject: Emoji, thing: Emoji, zh: str, ru: str) -> Captions:
    found: Captions = {}
    for language, template in (("zh", zh), ("ru", ru)):
        if language in subject.labels and language in thing.labels:
            s, a = subject.labels[language], thing.labels[language]
            found[template.format(s=s, a=a)] = 0.3
    return found


def captions_of_pair(left: Emoji, right: Emoji) -> Captions:
    """Captions of two objects side by side."""
    found: Captions = {f"{left.label} and {right.label}": 1.0}
    return found | _translated(left, right, "{s}和{a}", "{s} и {a}")


_NUMBERS = {2: ("two", "两个"), 3: ("three", "三个"), 4: ("four", "四个")}


def captions_of_count(emoji: Emoji, count: int) -> Captions:
    """Captions of ``count`` copies of one object, English and Chinese."""
    english, chinese = _NUMBERS[count]
    found: Captions = {f"{english} {_plural(emoji.label)}": 1.0}
    if zh := emoji.labels.get("zh"):
        found[f"{chinese}{zh}"] = 0.3
    return found


def _plural(noun: str) -> str:
    if noun.endswith(("s", "sh", "ch", "x")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
