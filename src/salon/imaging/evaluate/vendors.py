"""One alphabet, many hands: the emoji of several vendors, found by their names.

The judge of ``contrastive.py`` learns what a label looks like whoever draws it, so it
needs the same label from many hands. All of it is vector art in npm packages of
Iconify's form. OpenMoji is share-alike (CC BY-SA 4.0) and is never trained on: being
in nobody's training set, it is what the judge itself is examined with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data.emoji import render
from salon.imaging.data.packages import WORDS, fetch_package

Bytes = NDArray[np.uint8]

TRAINED = {
    # vendor: (package, version, licence)
    "fluent-flat": ("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
    "noto": ("@iconify-json/noto", "1.2.9", "Apache-2.0"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
    "noto-v1": ("@iconify-json/noto-v1", "1.2.5", "Apache-2.0"),
    "emojione": ("@iconify-json/emojione", "1.2.3", "CC-BY-4.0"),
    "fluent": ("@iconify-json/fluent-emoji", "1.2.7", "MIT"),
}
EXAM = {"openmoji": ("@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0")}
SIDE = 64
"""Pixels that the art is drawn with; the judge looks at fewer."""

_FLAGS_AND_COMPONENTS = (2, 9)


@dataclass(frozen=True)
class Hands:
    """Pictures of one list of labels by several vendors."""

    labels: list[str]
    pictures: Bytes
    """(n, 64, 64, 4) RGBA."""
    label_of: NDArray[np.int32]
    """(n,) row of ``labels``."""
    vendor_of: NDArray[np.str_]
    """(n,) name of the vendor."""

    def of(self, *vendors: str) -> tuple[Bytes, NDArray[np.int32]]:
        """(pictures, label rows) of some vendors only."""
        mine = np.isin(self.vendor_of, vendors)
        return self.pictures[mine], self.label_of[mine]

    def save(self, path: Path) -> None:
        np.savez(
            path,
            labels=np.array(self.labels),
            pictures=self.pictures,
            label_of=self.label_of,
            vendor_of=self.vendor_of,
        )

    @classmethod
    def load(cls, path: Path) -> Hands:
        with np.load(path, allow_pickle=False) as a:
            labels = [str(label) for label in a["labels"]]
            return cls(labels, a["pictures"], a["label_of"], a["vendor_of"])


def gather(folder: Path, note: Callable[[str], None] = lambda _: None) -> Hands:
    """Fetch and draw every vendor's emoji; about a minute and a half on one core.

    Flags and skin tones are left out, as in the training set of the picture model.
    """
    words = fetch_package(folder, *WORDS)
    rows = json.loads((words / "en" / "data.json").read_text("utf-8"))
    named = {_plain(row["hexcode"]): row["label"] for row in rows if _wanted(row)}
    labels = list(dict.fromkeys(named.values()))
    row_of = {label: i for i, label in enumerate(labels)}
    sets = {
        vendor: fetch_package(folder, package, version)
        for vendor, (package, version, _) in (TRAINED | EXAM).items()
    }
    slugs = _slugs(sets.values(), named)
    pictures, label_of, vendor_of = [], [], []
    for vendor, package_folder in sets.items():
        note(f"drawing {vendor}")
        for label, svg in _art(package_folder, named, slugs):
            pictures.append(render(svg, SIDE))
            label_of.append(row_of[label])
            vendor_of.append(vendor)
    return Hands(
        labels,
        np.stack(pictures),
        np.asarray(label_of, np.int32),
        np.asarray(vendor_of),
    )


def _wanted(row: dict[str, Any]) -> bool:
    return row.get("group") is not None and row["group"] not in _FLAGS_AND_COMPONENTS


def _plain(hexcode: str) -> str:
    return "-".join(p for p in hexcode.upper().split("-") if p != "FE0F")


def _chars(folder: Path) -> dict[str, str]:
    """Icon name -> code points, where the package says it."""
    path = folder / "chars.json"
    if not path.exists():
        return {}
    table = json.loads(path.read_text("utf-8"))
    return {name: _plain(code) for code, name in table.items()}


def _slugs(folders: Any, named: dict[str, str]) -> dict[str, str]:
    """Icon name -> label, for packages without code points: others' names serve."""
    found = {label.replace(" ", "-"): label for label in named.values()}
    for folder in folders:
        for name, code in _chars(folder).items():
            if code in named:
                found.setdefault(name, named[code])
    return found


def _art(
    folder: Path, named: dict[str, str], slugs: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """(label, SVG) of every icon of a package whose label is known, once each."""
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    chars, done = _chars(folder), set()
    for name, icon in icons["icons"].items():
        label = named.get(chars.get(name, "")) if chars else slugs.get(name)
        if label is None or label in done:
            continue
        done.add(label)
        width = icon.get("width", icons.get("width", 16))
        height = icon.get("height", icons.get("height", 16))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">'
        yield label, f"{head}{icon['body']}</svg>"
