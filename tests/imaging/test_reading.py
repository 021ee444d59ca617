"""How the shipped model reads prompts."""

import pytest

from salon.imaging.runtime import EmbeddedModel


@pytest.fixture(scope="module")
def model() -> EmbeddedModel:
    return EmbeddedModel.load()


@pytest.mark.parametrize("prompt", ["red heart", "fork and knife", "dog and car"])
def test_what_is_known_is_drawn_as_it_stands(model: EmbeddedModel, prompt: str) -> None:
    assert model.read_as(prompt) == prompt


def test_a_thing_named_by_its_colour_only_gets_its_first_colour(
    model: EmbeddedModel,
) -> None:
    assert model.read_as("apple") == "red apple"
    assert model.read_as("three apples") == "3 x red apple"


def test_each_thing_of_a_pair_is_read_by_itself(model: EmbeddedModel) -> None:
    read = model.read_as("yellow submarine and red heart")
    assert read.endswith(" and red heart")
    assert not read.startswith("yellow submarine")
