"""Prompts of several things: how they are taken apart and put together."""

import numpy as np
import pytest

from salon.imaging import layout
from salon.imaging.layout import Layout
from salon.imaging.pixels import CANVAS, to_canvas
from tests.imaging.art import drawing


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("three apples", Layout("count", ("apple",), 3)),
        ("Two red hearts", Layout("count", ("red heart",), 2)),
        ("4 strawberries", Layout("count", ("strawberry",), 4)),
        ("三个苹果", Layout("count", ("苹果",), 3)),
        ("两只猫", Layout("count", ("猫",), 2)),
        ("четыре звезды", Layout("count", ("звезды",), 4)),
        ("a dog and a car", Layout("pair", ("dog", "car"))),
        ("dog to the right of a car", Layout("pair", ("car", "dog"))),
        ("狗和汽车", Layout("pair", ("狗", "汽车"))),
        ("кот и машина", Layout("pair", ("кот", "машина"))),
        ("a cat wearing a top hat", Layout("hat", ("cat", "top hat"))),
        ("frog with a crown", Layout("hat", ("frog", "crown"))),
        ("戴着皇冠的青蛙", Layout("hat", ("青蛙", "crown"))),
        ("кот в шляпе", Layout("hat", ("кот", "top hat"))),
        ("cat with glasses", Layout("glasses", ("cat", "glasses"))),
        ("戴着墨镜的狗", Layout("glasses", ("狗", "sunglasses"))),
        ("лиса в очках", Layout("glasses", ("лиса", "glasses"))),
    ],
)
def test_a_prompt_of_several_things_is_taken_apart(
    prompt: str, expected: Layout
) -> None:
    assert layout.parse(prompt) == expected


@pytest.mark.parametrize(
    "prompt", ["red heart", "smiling face with tears", "a house in the rain", "猫", "x"]
)
def test_a_single_thing_is_left_whole(prompt: str) -> None:
    assert layout.parse(prompt) is None


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("apples", "apple"),
        ("cherry tomatoes", "cherry tomato"),
        ("puppies", "puppy"),
        ("buses", "bus"),
        ("roses", "rose"),
        ("houses", "house"),
        ("mice", "mouse"),
        ("octopus", "octopus"),
        ("glass", "glass"),
    ],
)
def test_english_plurals_become_one_thing(plural: str, one: str) -> None:
    assert layout.singular(plural) == one


def _islands(alpha: np.ndarray) -> int:
    """Connected figures, by flood fill."""
    left, found = set(zip(*np.nonzero(alpha > 0), strict=True)), 0
    while left:
        found += 1
        queue = [left.pop()]
        while queue:
            y, x = queue.pop()
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left:
                    left.remove(near)
                    queue.append(near)
    return found


@pytest.mark.parametrize("count", [2, 3, 4])
def test_as_many_as_asked_are_placed_apart(count: int) -> None:
    disc = to_canvas(drawing("disc", "red")[::4, ::4])
    whole = layout.compose_reference(Layout("count", ("x",), count), [disc])
    assert whole.shape == (4, CANVAS, CANVAS)
    assert _islands(whole[3]) == count


def test_the_first_of_a_pair_stands_left() -> None:
    red, blue = (
        to_canvas(drawing("disc", colour, colour)[::4, ::4])
        for colour in ("red", "blue")
    )
    whole = layout.compose_reference(Layout("pair", ("a", "b")), [red, blue])
    half = CANVAS // 2
    assert whole[0, :, :half].mean() > whole[2, :, :half].mean()
    assert whole[0, :, half:].mean() < whole[2, :, half:].mean()


def test_what_was_understood_can_be_told() -> None:
    assert layout.told(Layout("pair", ("a", "b")), ("dog", "car")) == "dog and car"
    assert layout.told(Layout("count", ("a",), 3), ("dog",)) == "3 x dog"
