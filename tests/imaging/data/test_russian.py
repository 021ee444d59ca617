"""Cases, numbers and agreement; the expected forms are a grammar book's."""

import pytest

from salon.imaging.data import russian
from salon.imaging.data.lexicon import nouns


@pytest.mark.parametrize(
    ("n", "category"),
    [
        *((0, "many"), (1, "one"), (2, "few"), (4, "few"), (5, "many"), (11, "many")),
        *((12, "many"), (14, "many"), (21, "one"), (22, "few"), (111, "many")),
    ],
)
def test_plural_categories_are_those_of_cldr(n: int, category: str) -> None:
    assert russian.plural_category(n) == category


@pytest.mark.parametrize(
    ("noun", "n", "colour", "expected"),
    [
        ("машина", 1, "blue", "одна синяя машина"),
        ("машина", 2, "blue", "две синие машины"),
        ("машина", 5, "blue", "пять синих машин"),
        ("кот", 1, "black", "один чёрный кот"),
        ("кот", 3, "black", "три чёрных кота"),
        ("кот", 6, "", "шесть котов"),
        ("яблоко", 2, "green", "два зелёных яблока"),
        ("яблоко", 7, "", "семь яблок"),
        ("стакан молока", 4, "", "четыре стакана молока"),
        ("божья коровка", 5, "", "пять божьих коровок"),
        ("цветок", 5, "", "пять цветов"),
        ("очки", 2, "red", "две пары красных очков"),
        ("киви", 8, "", "восемь киви"),
        ("звезда", 10, "", "десять звёзд"),
        ("мышь", 9, "white", "девять белых мышей"),
    ],
)
def test_a_number_asks_for_its_form(
    noun: str, n: int, colour: str, expected: str
) -> None:
    assert russian.counted(noun, n, colour) == expected


@pytest.mark.parametrize(
    ("phrase", "case", "colour", "expected"),
    [
        ("собака", "gen", "", "собаки"),
        ("лев", "gen", "", "льва"),
        ("медведь", "ins", "white", "белым медведем"),
        ("летучая мышь", "ins", "red", "красной летучей мышью"),
        ("машина скорой помощи", "acc", "", "машину скорой помощи"),
        ("замок", "pre", "", "замке"),
        ("мяч", "ins", "", "мячом"),
        ("муравей", "gen", "", "муравья"),
        ("плюшевый мишка", "acc", "blue", "синего плюшевого мишку"),
        ("дом", "acc", "red", "красный дом"),
        ("кот", "acc", "red", "красного кота"),
        ("тёмные очки", "pre", "", "тёмных очках"),
        ("мороженое", "gen", "pink", "розового мороженого"),
        ("растение в горшке", "ins", "", "растением в горшке"),
        ("такси", "gen", "yellow", "жёлтого такси"),
        ("чашка кофе", "acc", "", "чашку кофе"),
        ("груша", "ins", "", "грушей"),
        ("свеча", "ins", "", "свечой"),
    ],
)
def test_names_are_declined(
    phrase: str, case: russian.Case, colour: str, expected: str
) -> None:
    assert russian.decline(phrase, case, colour=colour) == expected


def test_every_noun_of_the_lexicon_has_every_form() -> None:
    for noun in nouns().values():
        for case in ("nom", "gen", "acc", "ins", "pre"):
            assert russian.decline(noun.ru, case, colour="blue").isprintable()  # type: ignore[arg-type]
        for n in range(1, 11):
            assert russian.counted(noun.ru, n, "red").count(" ") >= 1


def test_two_consonants_need_a_vowel_between() -> None:
    assert russian.with_preposition("в", "короне") == "в короне"
    assert russian.with_preposition("в", "льве") == "во льве"
