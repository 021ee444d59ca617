"""Batches for training."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from salon.imaging.data.composer import Composer
from salon.imaging.data.drawings import RESERVED_LABELS
from salon.imaging.data.recolour import dominant_colour
from salon.imaging.pixels import to_canvas
from tests.imaging.data.world import library

ROOT = Path(__file__).parents[3]
LIBRARY = library("fluent-flat", "noto")


def _digest() -> str:
    batch = Composer(5, LIBRARY).sample(120)
    words = "\n".join(batch.texts).encode()
    return hashlib.sha256(batch.pictures.tobytes() + words).hexdigest()


def test_another_process_with_another_hash_seed_makes_the_same() -> None:
    code = "from tests.imaging.data.test_composer import _digest; print(_digest())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "4", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == _digest()


def test_a_number_is_the_same_composition_whoever_asks_and_when() -> None:
    first, second = Composer(1, LIBRARY), Composer(1, LIBRARY)
    drawn = first.sample(30).compositions
    assert [second.composition(n) for n in reversed(range(30))] == drawn[::-1]
    assert first.number == 30
    assert Composer(2, LIBRARY).sample(30).compositions != drawn


def test_pictures_are_canvases() -> None:
    composer = Composer(0, LIBRARY)
    batch = composer.sample(40)
    assert batch.pictures.shape == (40, 4, 32, 32)
    assert batch.pictures.dtype == np.float32
    assert batch.pictures.min() >= -1.0
    assert batch.pictures.max() <= 1.0
    for row, composition in enumerate(batch.compositions):
        straight = to_canvas(composer.painter.picture(composition))
        assert np.abs(straight - batch.pictures[row]).max() < 0.02


def test_a_caption_is_one_of_its_composition() -> None:
    composer = Composer(0, LIBRARY)
    batch = composer.sample(200)
    for text, composition in zip(batch.texts, batch.compositions, strict=True):
        texts = composer.texts(composition)
        assert text in {t for found in texts.values() for t in found}
    cyrillic = sum(any("а" <= c <= "я" for c in text) for text in batch.texts)
    assert 15 < cyrillic < 70


def test_kinds_come_as_often_as_they_weigh() -> None:
    kinds = Composer(0, LIBRARY, weights={"count": 3.0, "relation": 1.0}).sample(400)
    share = sum(k == "count" for k in kinds.kinds) / 400
    assert share == pytest.approx(0.75, abs=0.07)
    assert set(kinds.kinds) == {"count", "relation"}


def test_what_is_held_out_is_never_composed() -> None:
    assert "film frames" in RESERVED_LABELS
    assert "film frames" not in LIBRARY.labels("noto")


def test_reserved_captions_never_come_up() -> None:
    free = Composer(0, LIBRARY, weights={"count": 1.0}).sample(300)
    said = {c.things[0].label for c in free.compositions}
    assert "red apple" in said
    reserved = {f"{n} apples" for n in ("two", "three", "four", "five", "six")}
    reserved_composer = Composer(
        0, LIBRARY, weights={"count": 1.0}, numbers={2: 1, 3: 1}, reserved=reserved
    )
    for composition in reserved_composer.sample(300).compositions:
        assert not reserved & set(reserved_composer.texts(composition)["en"])


@pytest.mark.parametrize("colour", ["blue", "green", "purple", "yellow"])
def test_a_repainted_thing_has_the_colour_that_is_said(colour: str) -> None:
    composer = Composer(0, LIBRARY, weights={"recolour": 1.0})
    found = [
        c for c in composer.sample(300).compositions if c.things[0].colour == colour
    ]
    assert found
    for composition in found:
        assert dominant_colour(composer.painter.picture(composition)) == colour


def test_wrong_weights_are_answered_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown kind juggling.*accessory"):
        Composer(0, LIBRARY, weights={"juggling": 1.0})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="not all zero"):
        Composer(0, LIBRARY, weights={"count": 0.0})
    with pytest.raises(ValueError, match="16 to 1024"):
        Composer(0, LIBRARY, side=8)
