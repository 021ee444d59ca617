"""Scenes pasted together from drawings."""

import numpy as np
import pytest

from salon.imaging.data import compose
from tests.imaging.art import drawing

RED, BLUE = (
    drawing("disc", "#ff0000", "#ff0000"),
    drawing("square", "#0000ff", "#0000ff"),
)


def _islands(mask: np.ndarray) -> int:
    """How many connected parts, by flooding."""
    left, count = {tuple(p) for p in np.argwhere(mask)}, 0
    while left:
        count += 1
        todo = [left.pop()]
        while todo:
            y, x = todo.pop()
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left:
                    left.remove(near)
                    todo.append(near)
    return count


@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_are_as_many_as_asked(count: int) -> None:
    disc = drawing("square", "#ff0000", "#ff0000")
    disc = disc.copy()
    disc[:24] = 0
    assert _islands(compose.several(disc, count)[..., 3] > 128) == count


def test_the_first_named_stands_on_the_left() -> None:
    both = compose.beside(RED, BLUE)
    left, right = both[:, :64], both[:, 64:]
    assert (left[..., 0] > 200).sum() > 10 * (left[..., 2] > 200).sum()
    assert (right[..., 2] > 200).sum() > 10 * (right[..., 0] > 200).sum()


def test_a_hat_sits_on_top() -> None:
    scene = compose.wearing_hat(RED, BLUE)
    rows_of_hat = np.argwhere((scene[..., 2] > 200) & (scene[..., 3] > 0))[:, 0]
    rows_of_head = np.argwhere((scene[..., 0] > 200) & (scene[..., 3] > 0))[:, 0]
    assert rows_of_hat.mean() < rows_of_head.min() + 20
    assert rows_of_hat.min() >= 0


def test_glasses_lie_over_the_upper_half_of_a_face() -> None:
    scene = compose.wearing_glasses(RED, BLUE)
    rows = np.argwhere(scene[..., 2] > 200)[:, 0]
    assert 30 < rows.mean() < 66


def test_shrinking_does_not_darken_edges() -> None:
    small = compose.shrink(RED, 32)
    solid = small[small[..., 3] > 30]
    assert solid[:, 0].min() > 250
