"""``salon data emoji``: a folder of pictures with captions, for any training.

    OUT/original/noto/beer-mug.png     the drawings themselves, where they are wanted
    OUT/composed/000/000017.png        compositions, by number
    OUT/metadata.jsonl                 one line a picture
    OUT/NOTICE                         whose art it is, under which licences
    OUT/set.json                       what was asked for, and the digest of what came

A picture is written under a hidden name and then renamed, and every picture follows from
the wish alone. So a building that was stopped goes on where it was, and one that is
finished is not begun again. ``set.json`` is written last: without it the set is not
whole.

A line of metadata::

    {"file_name": "composed/000/000017.png", "text": "three apples",
     "texts": {"en": "three apples", "zh": "三个苹果", "ru": "три яблока"},
     "captions": {"en": ["three apples", "3 apples"], ...},
     "concept": "red apple", "composition": "count", "source": "noto",
     "licence": "Apache-2.0", "recipe": {...}}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.errors import Error
from salon.imaging.data import sources as table
from salon.imaging.data.art import Drawing, read
from salon.imaging.data.composer import WEIGHTS, Composer
from salon.imaging.data.composition import KINDS, Composition, Kind
from salon.imaging.data.drawings import ART_SIDE, RESERVED_LABELS, Library
from salon.imaging.data.phrases import Texts
from salon.imaging.data.sources import SOURCES, Source, Use
from salon.imaging.text import normalise

Bytes = NDArray[np.uint8]
Row = dict[str, Any]

FORMAT = 1
"""Raised when the same wish gives other pictures or other words."""
MAX_COUNT = 1_000_000
_A_THOUSAND = 1000


class FolderTaken(Error):
    """The folder holds something else; theirs to move."""


@dataclass(frozen=True)
class Wish:
    """Everything that decides what is in the set.

    Raises:
        ValueError: a size, a count, a kind or a source that cannot be; says which.
    """

    size: int = 128
    """Pixels, 16 to 512."""
    sources: tuple[str, ...] = table.DEFAULT
    """Names of ``sources.py``, or ("all",)."""
    count: int = 5000
    """Compositions, beside the drawings themselves."""
    only: tuple[Kind, ...] = ()
    """Kinds; all where empty."""
    seed: int = 0
    skin_tones: bool = False
    flags: bool = False
    use: Use = "train"
    """"evaluate" takes the share-alike art, which must never be trained on."""
    reserved: tuple[str, ...] = ()
    """English captions that are left out: what a model is to be examined with."""

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 512:
            raise ValueError(f"size must be 16 to 512 pixels, got {self.size}")
        if not 0 <= self.count <= MAX_COUNT:
            raise ValueError(f"count must be 0 to {MAX_COUNT}, got {self.count}")
        if unknown := set(self.only) - set(KINDS):
            names = ", ".join(sorted(unknown))
            raise ValueError(f"there is no kind {names}; known are {', '.join(KINDS)}")
        table.choose(self.sources, self.use)

    @property
    def chosen(self) -> list[Source]:
        return table.choose(self.sources, self.use)

    @property
    def digest(self) -> str:
        """Of the wish and the packages: equal digests, equal sets."""
        packages = [(s.package, s.version) for s in [*self.chosen, table.WORDS]]
        text = json.dumps([FORMAT, asdict(self), packages], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def wants(self, kind: Kind) -> bool:
        return not self.only or kind in self.only


@dataclass(frozen=True)
class Built:
    """What is in the folder now."""

    pictures: int
    kinds: dict[str, int]
    digest: str
    """Of every pixel and every caption, in order: the same on every machine."""
    fresh: bool
    """False where the set was there already."""


Note = Callable[[str, int, int], None]
"""Called with (what is being made, how many are done, how many there will be)."""


def build(
    wish: Wish, out: Path, packages: Path, note: Note = lambda _what, _done, _n: None
) -> Built:
    """Build the set in ``out``, go on with it, or find it finished.

    Raises:
        FolderTaken: ``out`` holds another set or other files.
        PackagesMissing: the art is not in ``packages`` and cannot be fetched.
        OSError: the disk is full or not writable; what was made stays, whole.
    """
    facts = _finished(wish, out)
    if facts is not None:
        return Built(facts["pictures"], facts["kinds"], facts["contents"], False)
    drawings: list[Drawing] = []
    for done, source in enumerate(wish.chosen):
        note("reading the art", done, len(wish.chosen))
        drawings += read(source, packages, wish.skin_tones, wish.flags)
    # Claimed only now: a folder without art is nobody's yet.
    out.mkdir(parents=True, exist_ok=True)
    _write(out / ".building.json", json.dumps({"wish": wish.digest}).encode())
    # What is never trained on may well be examined.
    hidden = RESERVED_LABELS if wish.use == "train" else frozenset()
    kept = [d for d in drawings if d.label not in hidden]
    rows = [*_originals(wish, kept, out, note), *_composed(wish, kept, out, note)]
    return _finish(wish, out, rows)


def _finished(wish: Wish, out: Path) -> dict[str, Any] | None:
    """Facts of a finished set, or None where this wish may build one."""
    facts = _read_json(out / "set.json") or _read_json(out / ".building.json")
    if facts is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderTaken(f"{out} is not empty; choose another folder with --out")
    if facts is not None and facts["wish"] != wish.digest:
        raise FolderTaken(
            f"{out} holds a set that was made with other options; choose another "
            "folder with --out, or delete it"
        )
    if facts is not None and "contents" in facts:
        return facts
    return None


def _originals(
    wish: Wish, drawings: list[Drawing], out: Path, note: Note
) -> Iterator[Row]:
    """Every drawing once; copies and empty ones are left out."""
    if not wish.wants("original"):
        return
    seen: dict[str, set[bytes]] = {}
    for done, drawing in enumerate(drawings):
        note("drawings", done, len(drawings))
        name = f"original/{drawing.source}/{drawing.name}.png"
        picture = _kept_or_made(out / name, partial(drawing.draw, wish.size))
        pixels = hashlib.sha256(picture.tobytes()).digest()
        copies = seen.setdefault(drawing.source, set())
        if pixels in copies or not picture[..., 3].any():
            (out / name).unlink()
            continue
        copies.add(pixels)
        yield _original_row(name, drawing, pixels)


def _original_row(name: str, drawing: Drawing, pixels: bytes) -> Row:
    source = SOURCES[drawing.source]
    styled = f"{normalise(drawing.label)}, {source.style} style"
    captions = {language: [text] for language, text in drawing.labels.items()}
    captions["en"] = [drawing.label, styled, *drawing.tags.get("en", ())]
    for language in set(drawing.tags) - {"en"}:
        captions[language] = [*captions[language], *drawing.tags[language]]
    row = _row(name, captions, drawing.label, "original", source)
    return row | {"style": source.style, "pixels": pixels.hex()}


def _composed(
    wish: Wish, drawings: list[Drawing], out: Path, note: Note
) -> Iterator[Row]:
    """Compositions number 0 to count - 1."""
    weights: dict[Kind, float] = {
        k: w for k, w in WEIGHTS.items() if k != "original" and wish.wants(k)
    }
    if not weights or not wish.count:
        return
    library = Library(drawings, max(ART_SIDE, wish.size))
    composer = Composer(wish.seed, library, wish.size, weights, reserved=wish.reserved)
    for number in range(wish.count):
        note("compositions", number, wish.count)
        composition = composer.composition(number)
        name = f"composed/{number // _A_THOUSAND:03}/{number:06}.png"
        make = partial(composer.painter.picture, composition)
        picture = _kept_or_made(out / name, make)
        yield _composed_row(name, composition, composer.texts(composition), picture)


def _composed_row(
    name: str, composition: Composition, captions: Texts, picture: Bytes
) -> Row:
    source = SOURCES[composition.source]
    concept = " + ".join(thing.label for thing in composition.things)
    row = _row(name, captions, concept, composition.kind, source)
    return row | {
        "recipe": json.loads(composition.as_json()),
        "pixels": hashlib.sha256(picture.tobytes()).hexdigest(),
    }


def _row(name: str, captions: Texts, concept: str, kind: Kind, source: Source) -> Row:
    return {
        "file_name": name,
        "text": captions["en"][0],
        "texts": {language: found[0] for language, found in captions.items()},
        "captions": captions,
        "concept": concept,
        "composition": kind,
        "source": source.name,
        "licence": source.licence,
    }


def _finish(wish: Wish, out: Path, rows: list[Row]) -> Built:
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    text = "".join(f"{line}\n" for line in lines).encode()
    kinds: dict[str, int] = {
        kind: sum(r["composition"] == kind for r in rows) for kind in KINDS
    }
    contents = hashlib.sha256(text).hexdigest()
    facts = {
        "wish": wish.digest,
        "options": asdict(wish),
        "packages": [f"{s.package}@{s.version}" for s in [*wish.chosen, table.WORDS]],
        "pictures": len(rows),
        "kinds": kinds,
        "contents": contents,
    }
    _write(out / "metadata.jsonl", text)
    _write(out / "NOTICE", table.notice(wish.chosen).encode())
    _write(out / "set.json", json.dumps(facts, indent=2, ensure_ascii=False).encode())
    (out / ".building.json").unlink(missing_ok=True)
    return Built(len(rows), kinds, contents, True)


def _kept_or_made(path: Path, make: Callable[[], Bytes]) -> Bytes:
    """The picture an earlier, interrupted building left, or a new one."""
    if path.exists():
        with Image.open(path) as image:
            return np.asarray(image.convert("RGBA"), dtype=np.uint8)
    picture = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(picture).save(part, "PNG", compress_level=6)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return picture


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name.lstrip('.')}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and "wish" in values else None


def rows_of(out: Path, kinds: Collection[str] = ()) -> list[Row]:
    """The lines of a finished set's metadata, of some kinds or of all."""
    text = (out / "metadata.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if not kinds or row["composition"] in kinds]


def sheet(out: Path, rows: int = 8, columns: int = 12, cell: int = 96) -> Image.Image:
    """A contact sheet: one row a kind where there are several, evenly through the set."""
    found = rows_of(out)
    by_kind = {k: [r for r in found if r["composition"] == k] for k in KINDS}
    filled = [kind_rows for kind_rows in by_kind.values() if kind_rows]
    each = max(1, rows // max(len(filled), 1))
    picked = [p for kind_rows in filled for p in _spread(kind_rows, each, columns)]
    height = -(-len(picked) // columns)
    image = Image.new(
        "RGB", (columns * (cell + 4), max(height, 1) * (cell + 4)), "white"
    )
    for i, row in enumerate(picked):
        with Image.open(out / row["file_name"]) as picture:
            small = picture.convert("RGBA").resize((cell, cell), Image.Resampling.BOX)
        place = (i % columns * (cell + 4) + 2, i // columns * (cell + 4) + 2)
        image.paste(small, place, small)
    return image


def _spread(rows: list[Row], lines: int, columns: int) -> list[Row]:
    """Whole lines of the sheet, taken at even distances."""
    wanted = min(lines * columns, len(rows) // columns * columns or len(rows))
    return [rows[i * len(rows) // wanted] for i in range(wanted)]
