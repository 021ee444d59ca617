"""Emoji art with its names: Fluent Emoji Flat (Microsoft, MIT) x emojibase (MIT).

Skin-tone variants and flags are left out: they are hundreds of near-copies that
would teach the model one face and many stripes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LANGUAGES = (  # noqa: SIM905 - a list of words
    "en zh ru de fr es ja ko it nl pl pt th zh-hant"
).split()
"""emojibase locales that the sentence encoder understands."""

_FLAGS_AND_COMPONENTS = (2, 9)
_VARIATION_SELECTOR = "FE0F"


@dataclass(frozen=True)
class Emoji:
    """One drawing and its names in every language."""

    hexcode: str
    group: int
    subgroup: int
    labels: dict[str, str]
    """language -> label, English always there."""
    tags: dict[str, list[str]]
    picture: NDArray[np.uint8] = field(repr=False, compare=False)
    """(128, 128, 4) RGBA."""

    @property
    def label(self) -> str:
        return self.labels["en"]


def read_emoji(art: Path, words: Path, size: int = 128) -> list[Emoji]:
    """Every emoji that has both a drawing and an English label, in Unicode order."""
    icons = json.loads((art / "icons.json").read_text("utf-8"))
    names = json.loads((art / "chars.json").read_text("utf-8"))
    by_code = {_plain(code): name for code, name in names.items()}
    tables = {lang: _labels(words, lang) for lang in LANGUAGES}
    found: list[Emoji] = []
    for entry in _ordered(tables["en"]):
        name = by_code.get(_plain(entry["hexcode"]))
        if name is None or name not in icons["icons"]:
            continue
        found.append(_emoji(entry, tables, _svg(icons, name), size))
    return found


def _emoji(
    entry: dict[str, Any], tables: dict[str, dict[str, Any]], svg: str, size: int
) -> Emoji:
    code = entry["hexcode"]
    named = {lang: rows[code] for lang, rows in tables.items() if code in rows}
    return Emoji(
        hexcode=code,
        group=entry["group"],
        subgroup=entry.get("subgroup", -1),
        labels={lang: row["label"] for lang, row in named.items()},
        tags={lang: list(row.get("tags", ())) for lang, row in named.items()},
        picture=render(svg, size),
    )


def _labels(words: Path, language: str) -> dict[str, dict[str, Any]]:
    rows = json.loads((words / language / "data.json").read_text("utf-8"))
    return {row["hexcode"]: row for row in rows}


def _ordered(rows: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in sorted(rows.values(), key=lambda r: r.get("order", 1 << 30)):
        if row.get("group") is not None and row["group"] not in _FLAGS_AND_COMPONENTS:
            yield row


def _plain(hexcode: str) -> str:
    parts = hexcode.upper().split("-")
    return "-".join(p for p in parts if p != _VARIATION_SELECTOR)


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        f"{icon['body']}</svg>"
    )


def render(svg: str, size: int) -> NDArray[np.uint8]:
    """Draw an SVG as (size, size, 4) RGBA with resvg; a few icons are not square."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    square = Image.new("RGBA", (size, size))
    square.paste(drawn, ((size - drawn.width) // 2, (size - drawn.height) // 2))
    return np.asarray(square, dtype=np.uint8)
