"""What things are called, in English and with Chinese classifiers."""

import pytest

from salon.imaging.data.lexicon import BOW, GLASSES, HATS, nouns


@pytest.mark.parametrize(
    ("label", "plural"),
    [
        ("mouse", "mice"),
        ("red apple", "apples"),
        ("automobile", "cars"),
        ("strawberry", "strawberries"),
        ("hot beverage", "cups of coffee"),
        ("fish", "fish"),
        ("snowman without snow", "snowmen"),
        ("glasses", "pairs of glasses"),
        ("racing car", "racing cars"),
        ("watch", "watches"),
        ("key", "keys"),
    ],
)
def test_english_plurals(label: str, plural: str) -> None:
    assert nouns()[label].plural == plural


@pytest.mark.parametrize(
    ("label", "colour", "phrase"),
    [
        ("red apple", "", "an apple"),
        ("automobile", "orange", "an orange car"),
        ("flying saucer", "", "a UFO"),
        ("hourglass done", "", "an hourglass"),
        ("unicorn", "", "a unicorn"),
        ("glasses", "red", "red glasses"),
    ],
)
def test_english_articles(label: str, colour: str, phrase: str) -> None:
    assert nouns()[label].with_article(colour) == phrase


def test_every_noun_is_complete() -> None:
    assert len(nouns()) > 380
    for noun in nouns().values():
        assert noun.en.isascii()
        assert len(noun.classifier) == 1
        assert any("\u4e00" <= c <= "\u9fff" for c in noun.zh)
        assert set(noun.roles) <= set("fbaps-")


def test_everything_that_can_be_worn_has_a_name() -> None:
    assert {*HATS, *GLASSES, BOW} <= set(nouns())
