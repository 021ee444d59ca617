"""Captions of compositions: English, Chinese, Russian, and others where grammar is easy.

Every function gives the best sentence of a language first and other ways to say it
after. Languages whose adjectives need a gender that nobody gives us (German, French …)
only get what needs none: two names and an "and".
"""

from __future__ import annotations

from collections.abc import Mapping

from salon.imaging.data import russian
from salon.imaging.data.captions import ZH_COLOURS
from salon.imaging.data.composition import Composition, Thing
from salon.imaging.data.lexicon import BOW, Noun, nouns

Texts = dict[str, list[str]]
"""language -> captions, the best first"""

_EN_NUMBERS = "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905
_ZH_NUMBERS = "零一两三四五六七八九十"
_AND = {
    "de": "{} und {}",
    "fr": "{} et {}",
    "es": "{} y {}",
    "it": "{} e {}",
    "nl": "{} en {}",
    "pl": "{} i {}",
    "pt": "{} e {}",
    "ja": "{}と{}",
    "ko": "{}하고 {}",
    "th": "{}และ{}",
}
_JA = [
    "赤い",
    "オレンジ色の",
    "黄色い",
    "緑の",
    "青い",
    "紫の",
    "ピンクの",
    "茶色の",
    "黒い",
    "白い",
    "灰色の",
]
_KO = "빨간 주황색 노란 초록색 파란 보라색 분홍색 갈색 검은 하얀 회색".split()  # noqa: SIM905
_JA_COLOURS = dict(zip(ZH_COLOURS, _JA, strict=True))
_KO_COLOURS = dict(zip(ZH_COLOURS, _KO, strict=True))
_EN_RELATIONS = {
    "and": ("{a} and {b}", "{A} and {B}"),
    "next to": ("{A} next to {B}", "{a} next to {b}", "{A} beside {B}"),
    "left of": ("{A} to the left of {B}", "{a} left of {b}"),
    "right of": ("{A} to the right of {B}", "{a} right of {b}"),
    "above": ("{A} above {B}", "{a} over {b}"),
    "below": ("{A} below {B}", "{a} under {b}"),
    "on": ("{A} on {B}", "{a} on top of {b}"),
    "holding": ("{A} holding {B}", "{a} with {B}"),
}
_ZH_RELATIONS = {
    "and": ("{a}和{b}",),
    "next to": ("{b}旁边的{a}", "{a}在{b}旁边"),
    "left of": ("{b}左边的{a}", "{a}在{b}的左边"),
    "right of": ("{b}右边的{a}", "{a}在{b}的右边"),
    "above": ("{b}上方的{a}", "{a}在{b}的上方"),
    "below": ("{b}下方的{a}", "{a}在{b}的下方"),
    "on": ("{b}上的{a}", "{a}在{b}上面"),
    "holding": ("拿着{b}的{a}", "{a}拿着{b}"),
}
_RU_RELATIONS: dict[str, tuple[str, russian.Case]] = {
    "and": ("{} и {}", "nom"),
    "next to": ("{} рядом с {}", "ins"),
    "left of": ("{} слева от {}", "gen"),
    "right of": ("{} справа от {}", "gen"),
    "above": ("{} над {}", "ins"),
    "below": ("{} под {}", "ins"),
    "on": ("{} на {}", "pre"),
    "holding": ("{} держит {}", "acc"),
}
_SCENES = {
    # scene: English, Chinese ("{}" is the thing), Russian
    "meadow": ("on a green meadow", "草地上的{}", "на зелёном лугу"),
    "beach": ("on the beach", "海滩上的{}", "на пляже"),
    "sea": ("at sea", "大海上的{}", "на море"),
    "night": ("at night", "夜空下的{}", "ночью"),
    "snow": ("in the snow", "雪地里的{}", "на снегу"),
    "sunset": ("at sunset", "夕阳下的{}", "на закате"),
    "sky": ("in the sky", "天空中的{}", "в небе"),
    "desert": ("in the desert", "沙漠里的{}", "в пустыне"),
    "space": ("in space", "太空中的{}", "в космосе"),
}
_STYLES = {
    "outline": ("outline drawing of {}", "{}的线条画", "контурный рисунок: {}"),
    "pixel art": ("pixel art {}", "像素风格的{}", "{} в стиле пиксель-арт"),
    "flat": ("flat {}", "扁平风格的{}", "{} в плоском стиле"),
    "3d": ("3d {}", "3D风格的{}", "{} в стиле 3D"),
    "glossy": ("glossy {}", "光泽风格的{}", "{} в глянцевом стиле"),
}


def texts_of(
    composition: Composition, labels: Mapping[str, Mapping[str, str]] | None = None
) -> Texts:
    """All captions of a composition.

    Args:
        composition: what to describe; its things must be in the lexicon.
        labels: CLDR label -> language -> name, for the languages beyond three.
    """
    known = nouns()
    named = [(known[t.label], t) for t in composition.things]
    if composition.kind == "count":
        found = _count(*named[0], composition.count)
    elif composition.kind == "accessory":
        found = _worn(*named[0], *named[1])
    elif composition.relation:
        found = _related(*named[0], *named[1], composition.relation)
    else:
        found = _single(*named[0])
    if composition.background:
        found = _in_front_of(found, composition.background)
    if composition.style:
        found = _in_style(found, composition.style)
    elif not composition.background:
        found |= _others(composition, labels or {})
    return found


def _en(noun: Noun, thing: Thing) -> str:
    return f"{thing.colour} {noun.en}".strip()


def _zh(noun: Noun, thing: Thing) -> str:
    return f"{ZH_COLOURS[thing.colour]}的{noun.zh}" if thing.colour else noun.zh


def _ru(noun: Noun, thing: Thing, case: russian.Case = "nom") -> str:
    return russian.decline(noun.ru, case, colour=thing.colour)


def _single(noun: Noun, thing: Thing) -> Texts:
    english = [_en(noun, thing), noun.with_article(thing.colour)]
    if thing.colour == "grey":
        english.append(f"gray {noun.en}")
    chinese = [_zh(noun, thing), f"一{noun.classifier}{_zh(noun, thing)}"]
    if thing.colour:
        chinese.append(f"{ZH_COLOURS[thing.colour]}{noun.zh}")
    return {"en": english, "zh": chinese, "ru": [_ru(noun, thing)]}


def _count(noun: Noun, thing: Thing, count: int) -> Texts:
    if noun.is_pair:
        coloured = f"{thing.colour} {noun.en}".strip()
        many = f"pairs of {coloured}"
    else:
        many = f"{thing.colour} {noun.plural}".strip()
    number, hanzi = _EN_NUMBERS[count], _ZH_NUMBERS[count]
    return {
        "en": [f"{number} {many}", f"{count} {many}"],
        "zh": [
            f"{hanzi}{noun.classifier}{_zh(noun, thing)}",
            f"{count}{noun.classifier}{_zh(noun, thing)}",
        ],
        "ru": [russian.counted(noun.ru, count, thing.colour)],
    }


def _worn(who: Noun, wearer: Thing, what: Noun, worn: Thing) -> Texts:
    bow = what.label == BOW
    preposition, phrase = "с" if bow else "в", _ru(what, worn, "ins" if bow else "pre")
    article = what.with_article(worn.colour)
    return {
        "en": [
            f"{_en(who, wearer)} wearing {article}",
            f"{who.with_article(wearer.colour)} wearing {article}",
            f"{_en(who, wearer)} with {article}",
        ],
        "zh": [f"戴着{_zh(what, worn)}的{_zh(who, wearer)}"],
        "ru": [f"{_ru(who, wearer)} {russian.with_preposition(preposition, phrase)}"],
    }


def _related(a: Noun, first: Thing, b: Noun, second: Thing, relation: str) -> Texts:
    english = {
        "a": _en(a, first),
        "b": _en(b, second),
        "A": a.with_article(first.colour),
        "B": b.with_article(second.colour),
    }
    chinese = {"a": _zh(a, first), "b": _zh(b, second)}
    template, case = _RU_RELATIONS[relation]
    return {
        "en": [t.format(**english) for t in _EN_RELATIONS[relation]],
        "zh": [t.format(**chinese) for t in _ZH_RELATIONS[relation]],
        "ru": [template.format(_ru(a, first), _ru(b, second, case))],
    }


def _in_front_of(texts: Texts, background: str) -> Texts:
    first = {language: found[0] for language, found in texts.items()}
    if background in _SCENES:
        english, chinese, russian_ = _SCENES[background]
        return {
            "en": [f"{first['en']} {english}", f"{texts['en'][-1]} {english}"],
            "zh": [chinese.format(first["zh"])],
            "ru": [f"{first['ru']} {russian_}"],
        }
    colours = background.split(" to ")
    article = "an" if colours[0] == "orange" else "a"
    hanzi = "到".join(ZH_COLOURS[c] for c in colours)
    if len(colours) == 1:
        adjective = russian.decline("фон", "pre", colour=colours[0])
        return {
            "en": [f"{first['en']} on {article} {background} background"],
            "zh": [f"{hanzi}背景上的{first['zh']}"],
            "ru": [f"{first['ru']} на {adjective}"],
        }
    return {
        "en": [f"{first['en']} on {article} {background} gradient"],
        "zh": [f"{hanzi}渐变背景上的{first['zh']}"],
        "ru": [f"{first['ru']} на фоне с переходом цвета {_from_to(*colours)}"],
    }


def _from_to(upper: str, lower: str) -> str:
    """A change of colour: "от красного к синему"."""
    genitive = russian.decline("фон", "gen", colour=upper).split(" ")[0]
    stem = russian.decline("фон", "gen", colour=lower).split(" ")[0].removesuffix("го")
    return f"от {genitive} к {stem}му"


def _in_style(texts: Texts, style: str) -> Texts:
    english, chinese, russian_ = _STYLES.get(
        style, (f"{style} style {{}}", f"{style}风格的{{}}", f"{{}} в стиле {style}")
    )
    return {
        "en": [english.format(texts["en"][0]), f"{texts['en'][0]}, {style} style"],
        "zh": [chinese.format(texts["zh"][0])],
        "ru": [russian_.format(texts["ru"][0])],
    }


def _others(composition: Composition, labels: Mapping[str, Mapping[str, str]]) -> Texts:
    names = [labels.get(thing.label, {}) for thing in composition.things]
    coloured = any(thing.colour for thing in composition.things)
    found: Texts = {}
    if composition.kind == "original":
        known = {k: v for k, v in names[0].items() if k not in ("en", "zh", "ru")}
        return {language: [name] for language, name in known.items()}
    if composition.relation == "and" and not coloured:
        for language, template in _AND.items():
            if all(language in name for name in names):
                words = (name[language] for name in names)
                found[language] = [template.format(*words)]
    if composition.kind == "recolour":
        colour = composition.things[0].colour
        for language, table in (("ja", _JA_COLOURS), ("ko", _KO_COLOURS)):
            if language in names[0]:
                space = " " if language == "ko" else ""
                found[language] = [f"{table[colour]}{space}{names[0][language]}"]
    return found
