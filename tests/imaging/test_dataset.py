"""The training set, built from a few drawings."""

from pathlib import Path

import numpy as np
import pytest

from salon.imaging.data import dataset
from salon.imaging.text import SentenceEncoder
from tests.imaging.art import few


@pytest.fixture(scope="module")
def data() -> dataset.Dataset:
    return _build()


def _build(seed: int = 0) -> dataset.Dataset:
    return dataset.build(
        few(), SentenceEncoder(), seed=seed, held_out=1, pairs=4, counts=2
    )


def test_building_twice_gives_the_same_set(data: dataset.Dataset) -> None:
    again = _build()
    assert again.entries == data.entries
    assert np.array_equal(again.pictures, data.pictures)
    assert np.array_equal(again.text.pooled, data.text.pooled)
    assert np.array_equal(again.weights, data.weights)


def test_a_held_out_label_is_never_trained(data: dataset.Dataset) -> None:
    assert len(data.held_out) == 1
    assert not any(data.held_out[0] in entry.label for entry in data.entries)


def test_every_kind_of_picture_is_there(data: dataset.Dataset) -> None:
    kinds = {entry.kind for entry in data.entries}
    assert kinds == set(dataset.SHARES)


def test_people_in_roles_are_not_repainted(data: dataset.Dataset) -> None:
    assert not any(
        e.kind == "recolour" and e.label == "baker man" for e in data.entries
    )


def test_pictures_are_drawn_as_often_as_their_kind_deserves(
    data: dataset.Dataset,
) -> None:
    rows, _ = data.draw(np.random.default_rng(0), 20_000)
    original = np.mean([data.entries[row].kind == "original" for row in rows])
    assert original == pytest.approx(dataset.SHARES["original"], abs=0.02)


def test_a_caption_belongs_to_its_picture(data: dataset.Dataset) -> None:
    pairs = set(zip(data.text.pictures.tolist(), data.text.texts.tolist(), strict=True))
    rows, texts = data.draw(np.random.default_rng(1), 500)
    assert set(zip(rows.tolist(), texts.tolist(), strict=True)) <= pairs


def test_the_same_seed_draws_the_same_batch(data: dataset.Dataset) -> None:
    first, second = (data.draw(np.random.default_rng((3, 5)), 64) for _ in range(2))
    assert np.array_equal(first, second)


def test_conditions_are_padded_and_masked(data: dataset.Dataset) -> None:
    pooled, words, mask = data.condition(data.text.texts[:20])
    assert pooled.shape == (20, 512)
    assert words.shape == (20, 6, 512)
    assert not words[mask == 0].any()
    assert (mask.sum(axis=1) >= 1).all()


def test_a_saved_set_is_the_same_when_loaded(
    data: dataset.Dataset, tmp_path: Path
) -> None:
    data.save(tmp_path)
    loaded = dataset.Dataset.load(tmp_path)
    assert loaded.entries == data.entries
    assert loaded.held_out == data.held_out
    rng = (np.random.default_rng(2), np.random.default_rng(2))
    assert np.array_equal(loaded.draw(rng[0], 50), data.draw(rng[1], 50))
