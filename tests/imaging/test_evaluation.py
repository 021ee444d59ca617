"""The measures themselves, on data whose answer is known."""

import numpy as np
import pytest

from salon.imaging import evaluation


def test_a_perfect_copy_ranks_first_and_a_wrong_one_last() -> None:
    gallery = np.eye(5, dtype=np.float32)
    assert evaluation.ranks(gallery, gallery, range(5)).tolist() == [0] * 5
    wrong = np.roll(gallery, 1, axis=0)
    assert evaluation.ranks(wrong, gallery, range(5)).min() >= 1


def test_top_counts_places() -> None:
    assert evaluation.top(np.array([0, 0, 3, 9])) == {"top1": 50.0, "top5": 75.0}


def test_kid_is_zero_for_one_kind_and_grows_with_the_difference() -> None:
    rng = np.random.default_rng(0)

    def rows(shift: float) -> np.ndarray:
        return rng.standard_normal((400, 16)).astype(np.float32) + shift

    same, near, far = (evaluation.kid(rows(0), rows(s)) for s in (0.0, 0.3, 1.0))
    assert same == pytest.approx(0, abs=0.05)
    assert same < near < far
