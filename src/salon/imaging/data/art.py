"""Every source of art in one form: a name, names in other languages, a picture.

Emoji are joined with emojibase's names by their code points; packages that do not say
the code points of their drawings are joined by the drawing's name, which is CLDR's with
hyphens ("beer-mug") or run together ("beermug"). Icons that are no emoji keep their own
English name and have no translations.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.data.emoji import LANGUAGES, render
from salon.imaging.data.packages import fetch_package
from salon.imaging.data.sources import WORDS, Source

Bytes = NDArray[np.uint8]

_COMPONENTS, _FLAGS = 2, 9  # emojibase groups
_ANIMATION = re.compile(
    r"<animate[^>]*?/>|<animate.*?</animate\w*>|<set[^>]*?/>", re.DOTALL
)
_SIZE_IN_NAME = re.compile(r"-(\d\d)$")


@dataclass(frozen=True)
class Word:
    """One emoji of the Unicode alphabet and what it is called."""

    hexcode: str
    group: int
    labels: dict[str, str]
    tags: dict[str, list[str]]
    toned: bool = False
    """A skin-tone variant."""

    @property
    def label(self) -> str:
        return self.labels["en"]


@dataclass(frozen=True)
class Drawing:
    """One picture of one source, not yet drawn."""

    source: str
    name: str
    """In its package."""
    labels: dict[str, str]
    """language -> name; English always there."""
    tags: dict[str, list[str]] = field(compare=False, repr=False)
    draw: Callable[[int], Bytes] = field(compare=False, repr=False)
    """side -> (side, side, 4) RGBA"""

    @property
    def label(self) -> str:
        return self.labels["en"]

    @property
    def key(self) -> str:
        """Unique over all sources."""
        return f"{self.source}/{self.name}"


class Alphabet:
    """The emoji, from emojibase-data, by code point and by name."""

    def __init__(self, folder: Path, tones: bool = False, flags: bool = False) -> None:
        self._tables = {
            language: {row["hexcode"]: row for row in _rows(folder, language)}
            for language in LANGUAGES
        }
        self.words = [
            self._word(row)
            for row in self._tables["en"].values()
            if _wanted(row, tones, flags)
        ]

    def _word(self, row: dict[str, Any]) -> Word:
        code = row["hexcode"]
        named = {lang: t[code] for lang, t in self._tables.items() if code in t}
        return Word(
            code,
            row["group"],
            {lang: r["label"] for lang, r in named.items()},
            {lang: list(r.get("tags", ())) for lang, r in named.items()},
            _is_toned(row),
        )

    @cached_property
    def by_code(self) -> dict[str, Word]:
        return {_plain(word.hexcode): word for word in self.words}

    @cached_property
    def by_name(self) -> dict[str, Word]:
        """Label with every sign taken out: "beermug", "o'clock" as "oclock"."""
        found: dict[str, Word] = {}
        for word in self.words:
            found.setdefault(squeeze(word.label), word)
        return found


def squeeze(name: str) -> str:
    """Letters and digits only, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def read(
    source: Source, packages: Path, tones: bool = False, flags: bool = False
) -> list[Drawing]:
    """All drawings of one source, fetched where they are missing.

    Raises:
        PackagesMissing: npm or the network is missing.
    """
    words = fetch_package(packages, WORDS.package, WORDS.version, WORDS.integrity)
    folder = fetch_package(packages, source.package, source.version, source.integrity)
    alphabet = Alphabet(words, tones, flags)
    if (folder / "assets").is_dir():
        return list(_rasters(source, folder / "assets", alphabet))
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    if source.emoji:
        return list(_emoji(source, folder, icons, alphabet))
    if source.name == "circle-flags" and not flags:
        return []
    return list(_icons(source, icons, alphabet))


def _rasters(source: Source, folder: Path, alphabet: Alphabet) -> Iterator[Drawing]:
    """Pictures named by code points: "1f34e.webp"."""
    for path in sorted(folder.glob("*.webp")):
        word = alphabet.by_code.get(_plain(path.stem))
        if word is not None:
            yield Drawing(source.name, path.stem, word.labels, word.tags, _Raster(path))


def _emoji(
    source: Source, folder: Path, icons: dict[str, Any], alphabet: Alphabet
) -> Iterator[Drawing]:
    done: set[str] = set()
    for name, word in _named(folder, icons, alphabet):
        if word.hexcode in done or not source.keeps(name):
            continue
        done.add(word.hexcode)
        picture = _Vector(_svg(icons, name))
        yield Drawing(source.name, name, word.labels, word.tags, picture)


def _named(
    folder: Path, icons: dict[str, Any], alphabet: Alphabet
) -> Iterator[tuple[str, Word]]:
    chars = folder / "chars.json"
    codes: dict[str, str] = {}
    if chars.exists():
        codes = json.loads(chars.read_text("utf-8"))
    by_icon = {name: alphabet.by_code.get(_plain(c)) for c, name in codes.items()}
    for name in icons["icons"]:
        # An icon whose code point says what it is must not be joined by its name.
        word = by_icon[name] if name in by_icon else _by_name(alphabet, name)
        if word is not None:
            yield name, word


def _by_name(alphabet: Alphabet, name: str) -> Word | None:
    return alphabet.by_name.get(squeeze(re.sub(r"-\d$", "", name)))


def _icons(
    source: Source, icons: dict[str, Any], alphabet: Alphabet
) -> Iterator[Drawing]:
    countries = {_letters(w.hexcode): w for w in alphabet.words if w.group == _FLAGS}
    for name in _largest(icons["icons"]):
        if not source.keeps(name):
            continue
        labels, tags = {"en": _SIZE_IN_NAME.sub("", name).replace("-", " ")}, {}
        if source.name == "circle-flags":
            if name not in countries:
                continue  # languages and organisations: their signs are not flags
            labels, tags = countries[name].labels, countries[name].tags
        picture = _Vector(_svg(icons, name))
        yield Drawing(source.name, name, labels, tags, picture)


def _letters(hexcode: str) -> str:
    """Code points of a flag as letters: "1F1E9-1F1EA" is "de"."""
    points = [int(part, 16) for part in hexcode.split("-")]
    return "".join(
        chr(ord("a") + p - 0x1F1E6) for p in points if 0x1F1E6 <= p < 0x1F200
    )


def _largest(names: dict[str, Any]) -> list[str]:
    """One of "add-16", "add-20", "add-24": they are one drawing in three sizes."""
    best: dict[str, str] = {}
    for name in names:
        size = _SIZE_IN_NAME.search(name)
        stem = _SIZE_IN_NAME.sub("", name) if size else name
        before = _SIZE_IN_NAME.search(best.get(stem, ""))
        if before is None or (size and int(size[1]) > int(before[1])):
            best[stem] = name
    return list(best.values())


@dataclass(frozen=True)
class _Vector:
    svg: str

    def __call__(self, side: int) -> Bytes:
        return render(self.svg, side)


@dataclass(frozen=True)
class _Raster:
    path: Path

    def __call__(self, side: int) -> Bytes:
        with Image.open(io.BytesIO(self.path.read_bytes())) as image:
            small = image.convert("RGBa").resize((side, side), Image.Resampling.BOX)
            return np.asarray(small.convert("RGBA"), dtype=np.uint8)


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    body = _ANIMATION.sub("", icon["body"])
    spaces = 'xmlns="http://www.w3.org/2000/svg" '
    spaces += 'xmlns:xlink="http://www.w3.org/1999/xlink"'  # noto's flags use it
    return f'<svg {spaces} viewBox="{box}">{body}</svg>'


def _rows(folder: Path, language: str) -> Iterator[dict[str, Any]]:
    rows = json.loads((folder / language / "data.json").read_text("utf-8"))
    for row in sorted(rows, key=lambda r: int(r.get("order", 1 << 30))):
        yield row
        for skin in row.get("skins", ()):
            yield {"group": row.get("group"), "tags": row.get("tags", ())} | skin


def _wanted(row: dict[str, Any], tones: bool, flags: bool) -> bool:
    group = row.get("group")
    if group is None or group == _COMPONENTS or (group == _FLAGS and not flags):
        return False
    return tones or not _is_toned(row)


def _is_toned(row: dict[str, Any]) -> bool:
    points = (int(part, 16) for part in row["hexcode"].split("-"))
    return any(0x1F3FB <= point <= 0x1F3FF for point in points)


def _plain(hexcode: str) -> str:
    return "-".join(p for p in hexcode.upper().split("-") if p != "FE0F")
