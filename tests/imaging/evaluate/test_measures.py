"""The measures themselves, on data whose answer is known."""

import numpy as np
import pytest

from salon.imaging.evaluate import measures
from tests.imaging.art import drawing


def test_a_perfect_copy_ranks_first_and_a_wrong_one_last() -> None:
    gallery = np.eye(5, dtype=np.float32)
    assert measures.ranks(gallery, gallery, range(5)).tolist() == [0] * 5
    wrong = np.roll(gallery, 1, axis=0)
    assert measures.ranks(wrong, gallery, range(5)).min() >= 1


def test_top_counts_places() -> None:
    assert measures.top(np.array([0, 0, 3, 9])) == {"top1": 50.0, "top5": 75.0}


def test_kid_is_zero_for_one_kind_and_grows_with_the_difference() -> None:
    rng = np.random.default_rng(0)

    def rows(shift: float) -> np.ndarray:
        return rng.standard_normal((400, 16)).astype(np.float32) + shift

    same, near, far = (measures.kid(rows(0), rows(s)) for s in (0.0, 0.3, 1.0))
    assert same == pytest.approx(0, abs=0.05)
    assert same < near < far


@pytest.mark.parametrize(
    ("ink", "colour", "right"),
    [
        ("#e03030", "red", True),
        ("#3060e0", "blue", True),
        ("#3060e0", "red", False),
        ("#909090", "red", False),
    ],
)
def test_the_dominant_hue_is_held_against_the_word(
    ink: str, colour: str, right: bool
) -> None:
    assert measures.has_colour(drawing("disc", ink, ink), colour) is right


def test_figures_are_counted_and_crumbs_are_not() -> None:
    alpha = np.zeros((128, 128), np.uint8)
    assert measures.figures(alpha) == 0
    alpha[10:40, 10:40] = 255
    alpha[60:90, 10:40] = 255
    alpha[10:40, 60:90] = 200
    alpha[100:103, 100:103] = 255  # a crumb
    assert measures.figures(alpha) == 3
    alpha[40:60, 20:22] = 255  # a bridge
    assert measures.figures(alpha) == 2


def test_a_winding_figure_is_one() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[::4] = 255
    for i, row in enumerate(range(0, 60, 4)):
        alpha[row : row + 5, 0 if i % 2 else -1] = 255
    assert measures.figures(alpha) == 1


def test_veils_and_dirty_corners_are_seen() -> None:
    alpha = np.zeros((100, 100), np.uint8)
    alpha[30:70, 30:70] = 255
    assert measures.half_transparent(alpha) == 0
    assert measures.clean_corners(alpha)
    alpha[:10, :10] = 100
    assert measures.half_transparent(alpha) == pytest.approx(0.01)
    assert not measures.clean_corners(alpha)


def test_seeds_that_agree_have_no_gap_and_a_copy_no_distance() -> None:
    rows = np.random.default_rng(0).random((4, 30), np.float32)
    assert measures.mean_gap(np.repeat(rows[:1], 3, axis=0)) == 0
    assert measures.mean_gap(rows) > 0.05
    assert measures.nearest(rows[:2], rows) == pytest.approx(0, abs=1e-5)
    assert (measures.nearest(rows[:1] + 0.5, rows) > 0.05).all()
