"""Words, whitening and the sentence encoder."""

from pathlib import Path

import numpy as np
import pytest

from salon.imaging import text


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A red  Heart", ["red", "heart"]),
        ("jack-o-lantern with a T-shirt", ["jack-o-lantern", "t-shirt"]),
        ("绿色的心", ["绿色", "心"]),
        ("蓝色汽车", ["蓝色", "汽车"]),
        ("戴着皇冠的猫", ["戴", "皇冠", "猫"]),
        ("кот и собака", ["кот", "собака"]),
        ("!!! ...", []),
        ("cat cat cat", ["cat"]),
    ],
)
def test_a_prompt_is_cut_into_its_content_words(prompt: str, words: list[str]) -> None:
    assert text.words_of(prompt) == words


def test_only_so_many_words_count() -> None:
    assert len(text.words_of("one two three four five six seven eight")) == 6


def test_full_width_and_curly_forms_mean_the_same() -> None:
    assert text.normalise("Ｒｅｄ  o’clock") == "red o'clock"


def test_whitening_gives_unit_variance_and_spreads_the_crowded_direction(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    scales = np.array([10.0, 1.0, 0.1], np.float32)
    rows = (rng.standard_normal((5000, 3)) * scales).astype(np.float32) + 4
    whitening = text.Whitening.fit(rows)
    white = whitening(rows)
    assert white.mean() == pytest.approx(0, abs=0.01)
    assert (white**2).mean() == pytest.approx(1, rel=0.01)
    assert white.std(0)[0] / white.std(0)[2] < 100 / 3
    whitening.save(tmp_path / "w.npz")
    assert text.Whitening.load(tmp_path / "w.npz")(rows) == pytest.approx(
        white, abs=0.02
    )


@pytest.fixture(scope="module")
def encoder() -> text.SentenceEncoder:
    return text.SentenceEncoder()


def test_translations_lie_closer_than_other_things(
    encoder: text.SentenceEncoder,
) -> None:
    rows = encoder.encode(["red heart", "красное сердце", "红心", "blue car"])
    likeness = rows @ rows.T
    assert likeness[0, 1] > likeness[0, 3]
    assert likeness[0, 2] > likeness[0, 3]


def test_an_empty_prompt_is_the_empty_condition(encoder: text.SentenceEncoder) -> None:
    whitening = text.Whitening(np.zeros(512, np.float32), np.eye(512, dtype=np.float32))
    conditioner = text.TextConditioner(encoder, whitening)
    assert not conditioner("  ").pooled.any()
    full = conditioner("red heart")
    assert full.mask.tolist() == [1, 1, 0, 0, 0, 0]
    assert not full.words[2:].any()
    assert np.linalg.norm(full.pooled) == pytest.approx(1, abs=1e-3)
