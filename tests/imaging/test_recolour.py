"""The same drawing in another colour."""

import numpy as np
import pytest

from salon.imaging.data.recolour import (
    PALETTE,
    dominant_colour,
    dominant_hue,
    luminance,
    recolour,
)
from tests.imaging.art import drawing

APPLE = drawing("disc", "#e03030")
STONE = drawing("disc", "#909090", detail="#909090")


def _body(picture: np.ndarray) -> np.ndarray:
    return picture[60:80, 50:70, :3].reshape(-1, 3).mean(0)


@pytest.mark.parametrize("colour", sorted(set(PALETTE) - {"red"}))
def test_the_body_takes_the_colour(colour: str) -> None:
    painted = recolour(APPLE, colour)
    assert _body(painted) == pytest.approx(PALETTE[colour], abs=3)
    assert dominant_colour(painted) == colour or colour in ("black", "white", "grey")


def test_a_detail_of_another_hue_stays_as_it_is() -> None:
    painted = recolour(APPLE, "blue")
    assert np.array_equal(painted[10:18, 60:70], APPLE[10:18, 60:70])


def test_the_silhouette_never_changes() -> None:
    assert np.array_equal(recolour(APPLE, "pink")[..., 3], APPLE[..., 3])


def test_an_object_without_colour_is_tinted() -> None:
    assert dominant_hue(STONE) is None
    assert dominant_colour(recolour(STONE, "green")) == "green"


def test_darker_parts_stay_darker() -> None:
    shaded = APPLE.copy()
    shaded[80:, :, :3] //= 2
    painted = recolour(shaded, "blue").astype(np.float32) / 255
    assert luminance(painted[90, 64, :3]) < luminance(painted[60, 64, :3])


def test_an_empty_picture_stays_empty() -> None:
    empty = np.zeros((32, 32, 4), np.uint8)
    assert np.array_equal(recolour(empty, "red"), empty)


def test_painting_twice_gives_the_same_bytes() -> None:
    assert np.array_equal(recolour(APPLE, "purple"), recolour(APPLE, "purple"))
