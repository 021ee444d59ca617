"""Captions of compositions."""

import pytest

from salon.imaging.data.composition import Composition, Thing
from salon.imaging.data.phrases import texts_of

CAT, DOG, CAR = Thing("cat face"), Thing("dog face"), Thing("automobile", "blue")
APPLE, CROWN = Thing("red apple"), Thing("crown")


def _said(*things: Thing, kind: str = "relation", **facts: object) -> dict[str, str]:
    composition = Composition(kind, "noto", things, (), **facts)  # type: ignore[arg-type]
    return {language: found[0] for language, found in texts_of(composition).items()}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            _said(CAR, kind="recolour"),
            {"en": "blue car", "zh": "蓝色的汽车", "ru": "синяя машина"},
        ),
        (
            _said(APPLE, kind="count", count=3),
            {"en": "three apples", "zh": "三个苹果", "ru": "три яблока"},
        ),
        (
            _said(CAR, kind="count", count=2),
            {"en": "two blue cars", "zh": "两辆蓝色的汽车", "ru": "две синие машины"},
        ),
        (
            _said(CAT, CROWN, kind="accessory"),
            {"en": "cat wearing a crown", "zh": "戴着皇冠的猫", "ru": "кот в короне"},
        ),
        (
            _said(CAT, CAR, relation="left of"),
            {
                "en": "a cat to the left of a blue car",
                "zh": "蓝色的汽车左边的猫",
                "ru": "кот слева от синей машины",
            },
        ),
        (
            _said(CAT, CAR, relation="on"),
            {
                "en": "a cat on a blue car",
                "zh": "蓝色的汽车上的猫",
                "ru": "кот на синей машине",
            },
        ),
        (
            _said(CAT, DOG, relation="holding", kind="holding"),
            {
                "en": "a cat holding a dog",
                "zh": "拿着狗的猫",
                "ru": "кот держит собаку",
            },
        ),
        (
            _said(APPLE, kind="background", background="blue"),
            {
                "en": "apple on a blue background",
                "zh": "蓝色背景上的苹果",
                "ru": "яблоко на синем фоне",
            },
        ),
        (
            _said(APPLE, kind="background", background="red to blue"),
            {
                "en": "apple on a red to blue gradient",
                "zh": "红色到蓝色渐变背景上的苹果",
                "ru": "яблоко на фоне с переходом цвета от красного к синему",
            },
        ),
        (
            _said(APPLE, kind="background", background="snow"),
            {
                "en": "apple in the snow",
                "zh": "雪地里的苹果",
                "ru": "яблоко на снегу",
            },
        ),
        (
            _said(CAR, kind="style", style="pixel art"),
            {
                "en": "pixel art blue car",
                "zh": "像素风格的蓝色的汽车",
                "ru": "синяя машина в стиле пиксель-арт",
            },
        ),
    ],
)
def test_it_is_said_in_three_languages(
    said: dict[str, str], expected: dict[str, str]
) -> None:
    assert said == expected


def test_other_languages_are_there_where_their_grammar_asks_nothing() -> None:
    labels = {
        "cat face": {"de": "Katze", "ja": "猫"},
        "red apple": {"de": "Apfel", "ja": "リンゴ"},
    }
    both = Composition("relation", "noto", (CAT, APPLE), (), relation="and")
    assert texts_of(both, labels)["de"] == ["Katze und Apfel"]
    blue = Composition("recolour", "noto", (Thing("red apple", "blue"),), ())
    assert texts_of(blue, labels)["ja"] == ["青いリンゴ"]
    assert "de" not in texts_of(blue, labels)
