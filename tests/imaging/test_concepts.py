"""Prompts that the model does not know."""

from pathlib import Path

import numpy as np
import pytest

from salon.imaging import concepts
from salon.imaging.runtime import EmbeddedModel
from salon.imaging.text import SentenceEncoder


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a yellow submarine", ("yellow", "submarine")),
        ("蓝色的汽车", ("blue", "汽车")),
        ("зелёная машина", ("green", "машина")),
        ("gray ship", ("grey", "ship")),
        ("wizard", (None, "wizard")),
        ("red", ("red", "red")),
    ],
)
def test_a_prompt_is_a_colour_and_a_thing(
    prompt: str, parts: tuple[str | None, str]
) -> None:
    assert concepts.split_colour(prompt) == parts


def test_a_decided_picture_is_certain_and_a_smear_is_not() -> None:
    clear = np.ones((4, 32, 32), np.float32)
    clear[3, :16] = -1
    assert concepts.certainty(clear) == 1.0
    assert concepts.certainty(clear * 0.3) == pytest.approx(0.3)


def test_the_nearest_label_keeps_the_colour_and_survives_the_file(
    tmp_path: Path,
) -> None:
    encoder, labels = SentenceEncoder(), ["banana", "sailboat", "dog"]
    made = concepts.Concepts(labels, encoder.encode(labels))
    made.save(tmp_path / "c.npz")
    loaded = concepts.Concepts.load(tmp_path / "c.npz")
    assert next(loaded.nearest("a yellow submarine", encoder)) == "yellow sailboat"
    assert next(loaded.nearest("小狗", encoder)) == "dog"


@pytest.fixture(scope="module")
def model() -> EmbeddedModel:
    return EmbeddedModel.load()


@pytest.mark.parametrize(
    "prompt", ["red heart", "Red Heart", "blue rose", "пицца", "机器人", "pink car"]
)
def test_what_the_model_knows_is_drawn_as_it_stands(
    model: EmbeddedModel, prompt: str
) -> None:
    assert model.read_as(prompt) == prompt


def test_what_it_does_not_know_is_read_as_something_it_knows(
    model: EmbeddedModel,
) -> None:
    known = model.read_as("yellow submarine")
    assert known != "yellow submarine"
    assert known.startswith("yellow ")
    assert model.read_as(known) == known
