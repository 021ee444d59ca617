"""The real pictures that drawn ones are held against: one vendor, every label once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data import compose, packages
from salon.imaging.data.emoji import read_emoji
from salon.imaging.evaluate.prompts import THINGS, WEARERS, WORN

Bytes = NDArray[np.uint8]
_LANGUAGES = ("en", "zh", "ru")


@dataclass(frozen=True)
class Gallery:
    """Labels in three languages and their pictures, in Unicode order."""

    names: dict[str, list[str]]
    """language -> names, English where a language has none."""
    pictures: Bytes
    """(n, 128, 128, 4) RGBA."""

    @property
    def labels(self) -> list[str]:
        return self.names["en"]

    def row(self, label: str) -> int:
        return self.labels.index(label)

    def picture(self, label: str) -> Bytes:
        """(128, 128, 4)."""
        result: Bytes = self.pictures[self.row(label)]
        return result

    def save(self, path: Path) -> None:
        table = np.array([self.names[language] for language in _LANGUAGES])
        np.savez(path, pictures=self.pictures, names=table)

    @classmethod
    def load(cls, path: Path) -> Gallery:
        with np.load(path, allow_pickle=False) as arrays:
            names = dict(zip(_LANGUAGES, arrays["names"].tolist(), strict=True))
            return cls(names, arrays["pictures"])


def open_gallery(
    folder: Path, fetched: Path, note: Callable[[str], None] = lambda _: None
) -> Gallery:
    """The gallery kept in ``folder``, drawn on first use (15 s) from the packages.

    Raises :class:`~salon.imaging.data.packages.PackagesMissing` without npm.
    """
    path = folder / "gallery.npz"
    if not path.exists():
        art, words = packages.fetch(fetched)
        note("drawing the real pictures")
        emoji = read_emoji(art, words)
        names = {
            lang: [e.labels.get(lang) or e.label for e in emoji] for lang in _LANGUAGES
        }
        folder.mkdir(parents=True, exist_ok=True)
        Gallery(names, np.stack([e.picture for e in emoji])).save(path)
    return Gallery.load(path)


def worn_candidates(gallery: Gallery) -> dict[tuple[str, str], Bytes]:
    """(wearer, what) -> what it could look like; ("cat", "") is the cat alone."""
    found = {}
    for name in WEARERS:
        label = THINGS[name].label
        if f"{label} face" in gallery.labels:
            label = f"{label} face"
        subject = gallery.picture(label)
        found[name, ""] = subject
        for what in WORN:
            put_on = (
                compose.wearing_glasses
                if what.endswith("glasses")
                else compose.wearing_hat
            )
            found[name, what] = put_on(subject, gallery.picture(what))
    return found


def pair_candidates(gallery: Gallery) -> dict[tuple[str, str], Bytes]:
    """(left, right) -> the two side by side, for every ordered pair of things."""
    pictures = {name: gallery.picture(thing.label) for name, thing in THINGS.items()}
    return {
        (a, b): compose.beside(pictures[a], pictures[b])
        for a in pictures
        for b in pictures
        if a != b
    }
