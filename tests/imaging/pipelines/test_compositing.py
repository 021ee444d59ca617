"""What is kept is kept to the last bit."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from salon.imaging.pipelines import compositing


def _noise(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    shape = (size[1], size[0], len(mode))
    return Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode)


def _mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return mask


SIDES = st.integers(1, 60)


@settings(max_examples=60)
@given(
    size=st.tuples(SIDES, SIDES),
    mode=st.sampled_from(["RGB", "RGBA"]),
    seed=st.integers(0, 1000),
)
def test_black_keeps_every_bit(size, mode, seed) -> None:
    original, drawn = _noise(mode, size, seed), _noise("RGBA", size, seed + 1)
    grey = np.random.default_rng(seed).integers(0, 2, size[::-1]) * 255
    mask = Image.fromarray(grey.astype(np.uint8))
    result = compositing.composite(original, drawn, mask)
    assert result.mode == mode
    kept = grey == 0
    assert np.array_equal(np.asarray(result)[kept], np.asarray(original)[kept])


def test_white_is_the_drawn_picture_away_from_the_seam() -> None:
    size = (96, 96)
    original, drawn = Image.new("RGB", size, "red"), Image.new("RGB", size, "blue")
    result = np.asarray(
        compositing.composite(original, drawn, _mask(size, (48, 0, 95, 95)))
    )
    assert (result[:, :48] == [255, 0, 0]).all()
    assert (result[:, 52:] == [0, 0, 255]).all()
    red = result[10, 47:52, 0]
    assert all(a >= b for a, b in pairwise(red))


def test_a_transparent_drawing_gives_no_dark_rim() -> None:
    size = (64, 64)
    original = Image.new("RGBA", size, (255, 255, 255, 255))
    drawn = Image.new("RGBA", size, (0, 0, 0, 0))
    result = np.asarray(
        compositing.composite(original, drawn, _mask(size, (32, 0, 63, 63)))
    )
    assert (result[result[..., 3] > 0][:, :3] == 255).all()
    assert (result[:, 40:, 3] == 0).all()


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (37, 90), (1, 5), (500, 3)])
def test_a_picture_goes_into_a_square_and_comes_back_in_its_size(size) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    square = compositing.fitted(image, (64, 64), (0, 0, 0))
    assert square.size == (64, 64)
    back = compositing.unfitted(square, size)
    assert back.size == size
    assert np.abs(np.asarray(back, int) - [10, 200, 30]).max() <= 1


def test_one_white_pixel_frees_its_whole_coarse_pixel() -> None:
    mask = Image.new("L", (512, 512), 0)
    mask.putpixel((100, 300), 255)
    small = compositing.shrunken(mask, (32, 32))
    assert small.sum() == 1.0
    assert small[300 // 16, 100 // 16] == 1.0


def test_a_mask_is_read_as_grey_and_cut_in_the_middle() -> None:
    grey = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    assert list(np.asarray(compositing.mask_of(grey))[0]) == [0, 0, 255, 255]
    assert compositing.mask_of(grey.convert("RGB")).mode == "L"
    clear = Image.new("RGBA", (1, 1), (255, 255, 255, 0))
    assert compositing.mask_of(clear).getpixel((0, 0)) == 0


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_margins_for_outpainting_are_white_in_the_mask_and_the_picture_black(
    mode,
) -> None:
    image = _noise(mode, (20, 10), 1)
    wide, mask = compositing.expanded(image, 1, 2, 3, 4)
    assert wide.size == mask.size == (24, 16)
    inner = (1, 2, 21, 12)
    assert np.array_equal(np.asarray(wide.crop(inner)), np.asarray(image))
    assert np.asarray(mask.crop(inner)).max() == 0
    assert (np.asarray(mask) == 255).sum() == 24 * 16 - 20 * 10
