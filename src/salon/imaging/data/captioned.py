"""A folder of pictures with their captions, as diffusers' and Hugging Face's tools write it.

``metadata.jsonl`` lies in the folder, one JSON object a line::

    {"file_name": "original/noto/pizza.png", "text": "pizza"}

``salon data emoji`` writes it, with more keys: ``captions`` holds several captions in
many languages for each picture. A line that makes no sense is refused with its number:
a caption that is guessed teaches a model something wrong for ever.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from salon.imaging.data.folder import FolderUnusable, paths

METADATA = "metadata.jsonl"
Column = Literal["text", "captions"]
"""``text``: one caption a picture. ``captions``: every one, in every language."""
_SHOWN = 3


@dataclass(frozen=True)
class Captioned:
    """Which pictures there are, and what is said of each."""

    paths: tuple[Path, ...]
    """Relative to the folder, in the order of the lines."""
    captions: tuple[tuple[str, ...], ...]
    """One or more for each picture."""
    unmentioned: int
    """Pictures of the folder that have no line; they are left out."""

    def without(self, skipped: Collection[Path]) -> tuple[tuple[str, ...], ...]:
        """The captions of those that could be read."""
        lost = frozenset(skipped)
        pairs = zip(self.paths, self.captions, strict=True)
        return tuple(said for path, said in pairs if path not in lost)


def read(folder: Path, column: str = "text") -> Captioned:
    """Read the captions of a folder; pictures are not opened.

    Raises:
        FolderUnusable: no folder, no pictures, no captions, or a line is wrong; says
            which and how.
        ValueError: ``column`` is none of :data:`Column`.
    """
    if column not in get_args(Column):
        known = ", ".join(get_args(Column))
        raise ValueError(f"captions: {column!r} is unknown; one of {known}")
    there = paths(folder)
    file = folder / METADATA
    if not file.is_file():
        raise FolderUnusable(
            f"{folder} holds {len(there)} pictures but no {METADATA}: one JSON object "
            'a line, {"file_name": "a.png", "text": "a red fox"}. '
            "`salon data emoji` makes such a folder"
        )
    found: dict[Path, list[str]] = {}
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            path, said = _entry(line, column, f"{file}, line {number}")
            found.setdefault(path, []).extend(said)
    missing = [path for path in found if not (folder / path).is_file()]
    if missing:
        names = ", ".join(str(path) for path in missing[:_SHOWN])
        raise FolderUnusable(
            f"{file} names {len(missing)} pictures that are not there: {names}"
            f"{' …' if len(missing) > _SHOWN else ''}"
        )
    if not found:
        raise FolderUnusable(f"{file} is empty: there are no captions to learn from")
    captions = tuple(tuple(said) for said in found.values())
    return Captioned(tuple(found), captions, len(set(there) - set(found)))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FolderUnusable(f"{file} is no UTF-8 text: {error}") from error


def _entry(line: str, column: str, where: str) -> tuple[Path, list[str]]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise FolderUnusable(f"{where} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise FolderUnusable(f"{where} is no JSON object")
    name = values.get("file_name")
    if not isinstance(name, str) or not name:
        raise FolderUnusable(f"{where} lacks file_name, the picture's place")
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise FolderUnusable(f"{where}: file_name {name!r} leads out of the folder")
    return Path(*inside.parts), _captions(values, column, where)


def _captions(values: dict[str, Any], column: str, where: str) -> list[str]:
    """Every caption of one line; at least one that says something."""
    said = values.get(column)
    many = said.values() if isinstance(said, dict) else [said]
    flat = [text for one in many for text in (one if isinstance(one, list) else [one])]
    captions = [text.strip() for text in flat if isinstance(text, str) and text.strip()]
    if not captions or len(captions) != len(flat):
        raise FolderUnusable(f"{where} has no caption in {column!r}, or an empty one")
    return captions
