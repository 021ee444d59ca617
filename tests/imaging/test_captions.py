"""What a picture is called."""

import numpy as np
import pytest

from salon.imaging.data import captions
from tests.imaging.art import few

APPLE, BANANA, BOX, STONE, FOX, CROWN, GLASSES, _ = few()


@pytest.mark.parametrize(
    ("label", "language", "bare"),
    [
        ("red heart", "en", "heart"),
        ("light blue heart", "en", "heart"),
        ("redwood tree", "en", "redwood tree"),
        ("orange", "en", "orange"),
        ("红色的心", "zh", "心"),
        ("红苹果", "zh", "苹果"),
        ("синяя коробка", "ru", "коробка"),
        ("серебро", "ru", "серебро"),
    ],
)
def test_the_name_without_its_colour(label: str, language: str, bare: str) -> None:
    assert captions.without_colour(label, language) == bare


def test_the_english_label_weighs_most_and_translations_are_there() -> None:
    found = captions.captions_of(APPLE, "red", set(), np.random.default_rng(0))
    assert max(found, key=lambda text: found[text]) == "red apple"
    assert {"红苹果", "красное яблоко"} <= set(found)


def test_a_tag_that_names_few_things_is_a_caption_on_its_own() -> None:
    rare = captions.rare_tags([APPLE, BANANA, BOX], at_most=1)
    assert ("en", "apple") in rare
    assert ("en", "round") not in rare
    assert "apple" in captions.captions_of(APPLE, "red", rare, np.random.default_rng(0))


def test_a_repainted_object_is_named_by_its_new_colour_in_three_languages() -> None:
    found = captions.captions_in_colour(APPLE, "blue")
    assert {"blue apple", "蓝色的苹果", "синее яблоко"} <= set(found)
    assert not any("red" in text for text in found)


@pytest.mark.parametrize(
    ("emoji", "russian"),
    [(BANANA, "зелёный банан"), (BOX, "зелёная коробка"), (FOX, "зелёная лиса")],
)
def test_the_russian_adjective_agrees_with_its_noun(emoji, russian: str) -> None:
    assert russian in captions.captions_in_colour(emoji, "green")


def test_compositions_are_described() -> None:
    hat = captions.captions_of_accessory(FOX, CROWN, "hat")
    assert {"fox wearing a crown", "戴着皇冠的狐狸"} <= set(hat)
    assert "fox wearing glasses" in captions.captions_of_accessory(
        FOX, GLASSES, "glasses"
    )
    assert "fox and banana" in captions.captions_of_pair(FOX, BANANA)
    assert {"three foxes", "三个狐狸"} <= set(captions.captions_of_count(FOX, 3))
    assert "two strawberries" not in captions.captions_of_count(FOX, 2)
