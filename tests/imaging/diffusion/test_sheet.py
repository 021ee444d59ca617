"""``salon.imaging.diffusion.sheet``."""

import numpy as np

from salon.imaging.diffusion.sheet import sheet


def test_pictures_lie_row_by_row_with_white_between() -> None:
    pictures = np.zeros((5, 8, 10, 3), np.uint8)
    pictures[:, :, :, 0] = np.arange(5)[:, None, None] * 10
    found = np.asarray(sheet(pictures))

    assert found.shape == (2 + 2 * 10, 2 + 3 * 12, 3)
    assert found[2, 2].tolist() == [0, 0, 0]
    assert found[2, 26].tolist() == [20, 0, 0]
    assert found[12, 14].tolist() == [40, 0, 0]
    assert found[12, 26].tolist() == [255, 255, 255]


def test_the_number_of_columns_can_be_chosen() -> None:
    pictures = np.zeros((3, 8, 8, 3), np.uint8)

    assert sheet(pictures, columns=1).size == (12, 32)
    assert sheet(pictures, columns=9).size == (32, 12)
