"""``salon.imaging.data.folder``: any folder of pictures becomes training data."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from salon.imaging.data import folder as pictures
from salon.imaging.data.folder import FolderUnusable


def _save(path: Path, size: tuple[int, int] = (20, 20), colour: Any = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "RGBA" if isinstance(colour, tuple) and len(colour) == 4 else "RGB"
    Image.new(mode, size, colour).save(path)
    return path


def _first(data: pictures.PictureFolder) -> np.ndarray:
    return np.asarray(data.pictures[0])


def test_pictures_of_all_folders_below_become_one_array(tmp_path: Path) -> None:
    source = tmp_path / "in"
    _save(source / "b.png", colour="blue")
    _save(source / "a" / "a.jpg", colour="red")
    _save(source / ".hidden" / "c.png")
    (source / "notes.txt").write_text("not a picture")
    data = pictures.load(source, 16, tmp_path / "out")

    assert data.pictures.shape == (2, 16, 16, 3)
    assert data.pictures[1, 8, 8].tolist() == [0, 0, 255]
    batch = data.batch(np.array([1, 1, 0]))
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == np.float32
    assert batch[0, :, 8, 8].tolist() == [-1.0, -1.0, 1.0]


def test_a_wide_picture_is_padded_with_white_and_not_squashed(tmp_path: Path) -> None:
    _save(tmp_path / "in" / "wide.png", (40, 20), "black")
    found = _first(pictures.load(tmp_path / "in", 16, tmp_path))

    assert (found[:4] == 255).all()
    assert (found[4:12] == 0).all()
    assert (found[12:] == 255).all()


def test_transparent_places_become_white_whatever_lies_under(tmp_path: Path) -> None:
    _save(tmp_path / "in" / "glass.png", colour=(255, 0, 0, 0))
    half = _save(tmp_path / "half" / "half.png", colour=(0, 0, 0, 128))

    assert (_first(pictures.load(tmp_path / "in", 8, tmp_path)) == 255).all()
    found = _first(pictures.load(half.parent, 8, tmp_path))
    assert found[4, 4] == pytest.approx([127, 127, 127], abs=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16"])
def test_every_mode_of_pixels_is_read(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 20), 32896, np.uint16))
    else:
        image = Image.new("RGB", (20, 20), (128, 128, 128)).convert(mode)
    source = tmp_path / "in"
    source.mkdir()
    image.save(source / ("x.tif" if mode == "CMYK" else "x.png"))
    data = pictures.load(source, 8, tmp_path)

    assert not data.skipped
    assert data.pictures.mean() == pytest.approx(128, abs=4)


def test_a_photograph_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 20), "white")
    image.paste("black", (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right of the sensor
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in" / "x.png", exif=exif)
    found = _first(pictures.load(tmp_path / "in", 8, tmp_path))

    assert found[4, 0].tolist() == [255, 255, 255]
    assert found[4, 7].tolist() == [0, 0, 0]


def test_unreadable_pictures_are_skipped_and_named(tmp_path: Path) -> None:
    whole = _save(tmp_path / "in" / "a.png", (200, 200))
    (tmp_path / "in" / "b.png").write_bytes(whole.read_bytes()[:60])
    (tmp_path / "in" / "c.jpg").write_text("I am no picture")
    (tmp_path / "in" / "d.png").symlink_to(tmp_path / "nowhere.png")
    _save(tmp_path / "in" / "e.png", colour="blue")
    data = pictures.load(tmp_path / "in", 8, tmp_path)

    assert [str(s.path) for s in data.skipped] == ["b.png", "c.jpg", "d.png"]
    assert len(data) == 2
    assert data.pictures[1, 4, 4].tolist() == [0, 0, 255]
    assert "c.jpg (cannot identify" in pictures.describe(data.skipped)


def test_an_absurdly_large_picture_is_skipped_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 10_000)
    _save(tmp_path / "in" / "huge.png", (101, 100))
    _save(tmp_path / "in" / "small.png")
    data = pictures.load(tmp_path / "in", 8, tmp_path)

    assert [s.reason for s in data.skipped] == ["101 x 100 pixels"]


def test_folders_without_pictures_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("a")
    refusals = {
        "nowhere": "does not exist",
        "texts/a.txt": "is a file, not a folder",
        "empty": "is empty; read are .bmp",
        "texts": "holds 1 files, but no picture",
        "broken": "none of the 1 pictures",
    }
    for name, words in refusals.items():
        with pytest.raises(FolderUnusable, match=words):
            pictures.load(tmp_path / name, 8, tmp_path / "out")
    assert not (tmp_path / "out" / "pictures.npy").exists()


@pytest.mark.parametrize("side", [0, 7, 1025])
def test_a_side_out_of_range_is_refused(tmp_path: Path, side: int) -> None:
    _save(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match="8 to 1024"):
        pictures.load(tmp_path / "in", side, tmp_path)


def test_the_work_is_done_once_and_again_when_something_changed(
    tmp_path: Path,
) -> None:
    looked: list[int] = []

    def load(side: int = 8) -> pictures.PictureFolder:
        looked.clear()
        return pictures.load(
            tmp_path / "in", side, tmp_path, lambda done, _: looked.append(done)
        )

    _save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("broken")
    first = load()
    assert looked == [1, 2]
    again = load()
    assert looked == []
    assert np.array_equal(first.pictures, again.pictures)
    assert again.skipped == first.skipped
    assert again.digest == first.digest
    load(side=16)
    assert looked == [1, 2]
    _save(tmp_path / "in" / "c.png", (30, 30))
    assert len(load(side=16)) == 2
    assert looked == [1, 2, 3]


def test_a_full_disk_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(tmp_path / "in" / "a.png")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pictures, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        pictures.load(tmp_path / "in", 8, tmp_path / "out")
    monkeypatch.undo()

    assert list((tmp_path / "out").iterdir()) == []
    assert len(pictures.load(tmp_path / "in", 8, tmp_path / "out")) == 1
