"""``salon.imaging.data.captioned``: metadata.jsonl, read strictly."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from salon.imaging.data import captioned
from salon.imaging.data.folder import FolderUnusable


def _folder(place: Path, *lines: Any, pictures: tuple[str, ...] = ("a", "b")) -> Path:
    place.mkdir(exist_ok=True)
    (place / "in").mkdir(exist_ok=True)
    for name in pictures:
        Image.new("RGB", (8, 8), "red").save(place / "in" / f"{name}.png")
    text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
    (place / "metadata.jsonl").write_text(text, "utf-8")
    return place


def test_captions_come_in_the_order_of_the_lines(tmp_path: Path) -> None:
    found = captioned.read(
        _folder(
            tmp_path,
            {"file_name": "in/b.png", "text": " a bee ", "more": 1},
            "",
            {"file_name": "in/a.png", "text": "an ape"},
            {"file_name": "in/b.png", "text": "a wasp"},
            pictures=("a", "b", "c"),
        )
    )

    assert found.paths == (Path("in/b.png"), Path("in/a.png"))
    assert found.captions == (("a bee", "a wasp"), ("an ape",))
    assert found.unmentioned == 1
    assert found.without([Path("in/b.png")]) == (("an ape",),)


def test_every_caption_in_every_language_where_that_is_wanted(tmp_path: Path) -> None:
    line = {
        "file_name": "in/a.png",
        "text": "three apples",
        "captions": {"en": ["three apples", "3 apples"], "zh": ["三个苹果"]},
    }
    place = _folder(tmp_path, line)

    assert captioned.read(place).captions == (("three apples",),)
    every = captioned.read(place, "captions").captions
    assert every == (("three apples", "3 apples", "三个苹果"),)
    with pytest.raises(ValueError, match="one of text, captions"):
        captioned.read(place, "title")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is no JSON"),
        ("[]", "line 2 is no JSON object"),
        ({"text": "x"}, "line 2 lacks file_name"),
        ({"file_name": 3, "text": "x"}, "line 2 lacks file_name"),
        ({"file_name": "in/b.png"}, "line 2 has no caption in 'text'"),
        ({"file_name": "in/b.png", "text": " "}, "line 2 has no caption"),
        ({"file_name": "in/b.png", "text": 7}, "line 2 has no caption"),
        ({"file_name": "../b.png", "text": "x"}, "leads out of the folder"),
        ({"file_name": "/etc/b.png", "text": "x"}, "leads out of the folder"),
        ({"file_name": "in/z.png", "text": "x"}, "1 pictures that are not there: in/z"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(
    tmp_path: Path, line: Any, words: str
) -> None:
    good = {"file_name": "in/a.png", "text": "an ape"}
    with pytest.raises(FolderUnusable, match=words):
        captioned.read(_folder(tmp_path, good, line))


def test_folders_without_captions_are_answered_in_words(tmp_path: Path) -> None:
    with pytest.raises(FolderUnusable, match="does not exist"):
        captioned.read(tmp_path / "nowhere")
    with pytest.raises(FolderUnusable, match="is empty: there are no captions"):
        captioned.read(_folder(tmp_path))
    (tmp_path / "metadata.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(FolderUnusable, match="no UTF-8"):
        captioned.read(tmp_path)
    (tmp_path / "metadata.jsonl").unlink()
    with pytest.raises(FolderUnusable, match=r"no metadata\.jsonl.*salon data emoji"):
        captioned.read(tmp_path)
