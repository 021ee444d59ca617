"""The drawings that compositions are made of, drawn when first needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.data.art import Drawing, read
from salon.imaging.data.lexicon import BOW, GLASSES, HATS, PEOPLE, Noun, nouns
from salon.imaging.data.recolour import dominant_colour, recolour
from salon.imaging.data.sources import Source

Bytes = NDArray[np.uint8]

ART_SIDE = 128
"""Pixels that art is drawn with before it is shrunk into a composition."""

RESERVED_LABELS = frozenset(
    (  # noqa: SIM905 - a list of words
        "bar chart,boxing glove,broken chain,chart increasing with yen,"
        "cityscape at dusk,cocktail glass,diya lamp,evergreen tree,field hockey,"
        "film frames,framed picture,hair pick,horse face,police car light,"
        "pool 8 ball,pouring liquid,satellite antenna,service dog,spouting whale,"
        "sun behind rain cloud,tear-off calendar,tropical fish,umbrella on ground,"
        "video game"
    ).split(",")
)
"""Never trained in any form: what ``dataset.py`` holds out under seed 0."""


class Library:
    """Drawings by source and CLDR label.

    Args:
        drawings: of any sources; those whose label is no noun of the lexicon are known
            by key only and never composed.
        side: pixels the art is drawn with; at least the size of the wanted pictures.
        reserved: labels that are never composed.
    """

    def __init__(
        self,
        drawings: Iterable[Drawing],
        side: int = ART_SIDE,
        reserved: Collection[str] = RESERVED_LABELS,
    ) -> None:
        self.side = side
        known = nouns()
        self._drawings: dict[str, Drawing] = {}
        found: dict[str, dict[str, str]] = {}
        self.names: dict[str, dict[str, str]] = {}
        for drawing in drawings:
            if drawing.label not in known or drawing.label in reserved:
                continue
            self._drawings[drawing.key] = drawing
            found.setdefault(drawing.source, {})[drawing.label] = drawing.key
            self.names[drawing.label] = drawing.labels
        # In the lexicon's order, so that a package's order decides nothing.
        self._keys = {
            source: {label: by_label[label] for label in known if label in by_label}
            for source, by_label in found.items()
        }
        self._role_lists = {
            source: _roles([known[label] for label in keys])
            for source, keys in self._keys.items()
        }
        self.picture = lru_cache(2048)(self._picture)
        self.crop = lru_cache(2048)(self._crop)
        self.own_colour = lru_cache(None)(self._own_colour)
        self.top_centre = lru_cache(None)(self._top_centre)

    @classmethod
    def load(
        cls, sources: Iterable[Source], packages: Path, side: int = ART_SIDE
    ) -> Library:
        """Read the packages, fetching what is missing (:class:`PackagesMissing`)."""
        return cls((d for source in sources for d in read(source, packages)), side)

    @property
    def sources(self) -> list[str]:
        """Names of the sources that have anything to compose."""
        return [source for source, keys in self._keys.items() if keys]

    def key(self, source: str, label: str) -> str | None:
        """Key of the drawing, or None where the source has none of this label."""
        return self._keys[source].get(label)

    def labels(self, source: str, role: str = "") -> list[str]:
        """Labels that play a role (``lexicon.py``), or all of them."""
        return self._role_lists[source].get(role, [])

    def aspect(self, key: str) -> tuple[int, int]:
        """Width and height in pixels of what is painted."""
        return self.crop(key).size

    def _picture(self, key: str) -> Bytes:
        return self._drawings[key].draw(self.side)

    def _crop(self, key: str) -> Image.Image:
        """What is painted, alpha premultiplied; its outermost haze is left out."""
        image = Image.fromarray(self.picture(key))
        solid = image.getchannel("A").point([0] * 24 + [255] * 232)
        box = solid.getbbox() or (0, 0, self.side, self.side)
        return image.crop(box).convert("RGBa")

    def _own_colour(self, key: str) -> str:
        return dominant_colour(self.picture(key))

    def _top_centre(self, key: str) -> float:
        """Where along the width (0 to 1) the top fifth has its middle: the head."""
        alpha = np.asarray(self.crop(key).getchannel("a"), dtype=np.int64)
        rows = alpha[: max(1, len(alpha) // 5)].sum(axis=0)
        middle = (rows * np.arange(len(rows))).sum() / max(int(rows.sum()), 1)
        return round(float(middle / len(rows)), 4)


def _roles(known: list[Noun]) -> dict[str, list[str]]:
    accessories = (*HATS, *GLASSES, BOW)
    lists: dict[str, list[str]] = {"": [noun.label for noun in known]}
    for role in "fbaps":
        lists[role] = [noun.label for noun in known if role in noun.roles]
    plain = [n.label for n in known if n.label not in (*GLASSES, *PEOPLE)]
    lists["thing"] = plain
    lists["wearer"] = [n.label for n in known if set("fa") & set(n.roles)]
    lists["accessory"] = [n.label for n in known if n.label in accessories]
    return lists


def sprite(library: Library, key: str, colour: str, size: tuple[int, int]) -> Bytes:
    """(h, w, 4) premultiplied RGBA of a drawing, resized and repainted."""
    # Hamming: as smooth as bilinear, sharper, and without rings beyond the alpha.
    image = library.crop(key).resize(size, Image.Resampling.HAMMING)
    if colour:
        straight = np.asarray(image.convert("RGBA"), dtype=np.uint8)
        image = Image.fromarray(recolour(straight, colour)).convert("RGBa")
    return np.asarray(image, dtype=np.uint8)
