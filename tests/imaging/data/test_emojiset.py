"""The folder that ``salon data emoji`` makes."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salon.imaging.data import emojiset
from salon.imaging.data import folder as pictures
from salon.imaging.data.emojiset import FolderTaken, Wish, build, rows_of
from salon.imaging.data.packages import PackagesMissing
from tests.imaging.data.world import SHAPES, packages

WISH = Wish(size=32, sources=("fluent-3d",), count=60, seed=3)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def made(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set") / "emoji"
    build(WISH, out, fetched)
    return out


def test_every_line_has_a_picture_of_the_size_asked_for(made: Path) -> None:
    rows = rows_of(made)
    assert len(rows) == len(list(made.rglob("*.png")))
    for row in rows:
        with Image.open(made / row["file_name"]) as image:
            assert (image.mode, image.size) == ("RGBA", (32, 32))
        assert {"en", "zh", "ru"} <= set(row["texts"]) or row[
            "concept"
        ] == "baby bottle"
        assert row["text"] == row["captions"]["en"][0]
        assert row["licence"] == "MIT"


def test_drawings_are_there_once_without_copies_and_without_what_is_held_out(
    made: Path,
) -> None:
    concepts = [row["concept"] for row in rows_of(made, ["original"])]
    # "baby bottle" is the same picture as "glass of milk", and comes before it.
    expected = set(SHAPES) - {"film frames", "glass of milk"} | {"baby bottle"}
    assert sorted(concepts) == sorted(expected)


def test_the_share_alike_licence_never_gets_into_a_training_set(made: Path) -> None:
    assert not any("SA" in row["licence"] for row in rows_of(made))
    assert "Share-alike" not in (made / "NOTICE").read_text("utf-8")
    with pytest.raises(ValueError, match="training set"):
        Wish(sources=("openmoji",))


def test_a_second_run_does_nothing(made: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    found = build(WISH, made, tmp_path / "no packages here")
    assert not found.fresh
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_another_folder_gets_the_same_digest(
    made: Path, fetched: Path, tmp_path: Path
) -> None:
    again = build(WISH, tmp_path / "set", fetched)
    assert again.fresh
    assert again.digest == build(WISH, made, fetched).digest


class _Stopped(Exception):
    pass


def test_a_building_that_was_stopped_goes_on(
    made: Path, fetched: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"

    def stop(what: str, done: int, total: int) -> None:
        if what == "compositions" and done == 20:
            raise _Stopped

    with pytest.raises(_Stopped):
        build(WISH, out, fetched, stop)
    assert not (out / "metadata.jsonl").exists()
    left = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(left) > 20
    build(WISH, out, fetched)
    assert (out / "metadata.jsonl").read_bytes() == (
        made / "metadata.jsonl"
    ).read_bytes()
    assert all(path.stat().st_mtime_ns == then for path, then in left.items())


def test_a_full_disk_leaves_no_half_picture(
    fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, save, saved = tmp_path / "set", Image.Image.save, []

    def full(image: Image.Image, path: Path, *args: object, **kw: object) -> None:
        if len(saved) == 5:
            path.write_bytes(b"\x89PNG cut")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        saved.append(path)
        save(image, path, *args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        build(WISH, out, fetched)
    monkeypatch.undo()
    assert len(list(out.rglob("*.png"))) == 5
    assert not list(out.rglob("*.part"))
    assert build(WISH, out, fetched).fresh


def test_a_folder_of_something_else_is_left_alone(
    made: Path, fetched: Path, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(FolderTaken, match="not empty"):
        build(WISH, tmp_path, fetched)
    with pytest.raises(FolderTaken, match="other options"):
        build(Wish(size=64, sources=("fluent-3d",)), made, fetched)


def test_a_set_that_could_not_be_begun_claims_no_folder(
    fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as nothing:
        nothing.setenv("PATH", str(tmp_path))
        with pytest.raises(PackagesMissing):
            build(WISH, tmp_path / "set", tmp_path / "empty")
    assert build(Wish(16, ("fluent-3d",), 3), tmp_path / "set", fetched).fresh


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 4}, "size must be 16 to 512"),
        ({"count": -1}, "count must be 0"),
        ({"only": ("juggling",)}, "no kind juggling; known are original"),
        ({"sources": ("apple",)}, "no source 'apple'"),
    ],
)
def test_a_wish_that_cannot_be_is_answered(
    wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Wish(**wrong)  # type: ignore[arg-type]


def test_only_some_kinds(fetched: Path, tmp_path: Path) -> None:
    wish = Wish(32, ("fluent-3d",), 20, only=("count", "relation"))
    found = build(wish, tmp_path / "set", fetched)
    assert {kind for kind, n in found.kinds.items() if n} == {"count", "relation"}
    assert found.pictures == 20


def test_a_set_is_a_folder_of_pictures_to_train_on(made: Path, tmp_path: Path) -> None:
    data = pictures.load(made, 32, tmp_path / "cache")
    assert len(data) == len(rows_of(made))
    assert not data.skipped


def test_the_recipe_in_the_metadata_paints_the_picture(
    made: Path, fetched: Path
) -> None:
    from salon.imaging.data.composition import Composition
    from salon.imaging.data.drawings import Library
    from salon.imaging.data.painter import Painter

    painter = Painter(Library.load(WISH.chosen, fetched), WISH.size)
    for row in rows_of(made, ["count", "relation", "accessory"]):
        plan = Composition.from_json(json.dumps(row["recipe"]))
        with Image.open(made / row["file_name"]) as image:
            assert np.array_equal(painter.picture(plan), np.asarray(image))


def test_the_sheet_shows_every_kind(made: Path) -> None:
    sheet = emojiset.sheet(made, columns=6, cell=32)
    assert sheet.width == 6 * 36
    assert np.asarray(sheet).std() > 10
