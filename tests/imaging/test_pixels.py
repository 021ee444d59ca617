"""Pictures, canvases, patches."""

import numpy as np

from salon.imaging import pixels


def _opaque_and_empty() -> np.ndarray:
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[8:24, 8:24] = (200, 30, 90, 255)
    return picture


def test_picture_to_canvas_and_back_keeps_every_pixel() -> None:
    picture = _opaque_and_empty()
    assert np.array_equal(pixels.to_picture(pixels.to_canvas(picture)), picture)


def test_a_transparent_pixel_is_white_on_the_canvas_whatever_its_colour() -> None:
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[..., 0] = 255
    canvas = pixels.to_canvas(picture)
    assert np.array_equal(canvas[:3], np.ones((3, 2, 2), np.float32))
    assert np.array_equal(canvas[3], -np.ones((2, 2), np.float32))


def test_values_out_of_range_are_cut() -> None:
    canvas = np.full((4, 2, 2), 7.0, np.float32)
    assert (pixels.to_picture(canvas) == 255).all()


def test_folding_keeps_neighbours_together_and_can_be_undone() -> None:
    canvas = np.random.default_rng(0).standard_normal((2, 4, 32, 32), np.float32)
    patches = pixels.fold(canvas)
    assert patches.shape == (2, 16, 16, 16)
    assert sorted(patches[0, :4, 3, 5]) == sorted(canvas[0, 0, 6:8, 10:12].ravel())
    assert np.array_equal(pixels.unfold(patches), canvas)
