"""One alphabet, many hands: the emoji of several vendors, found by their names.

The judge of ``contrastive.py`` learns what a label looks like whoever draws it, so it
needs the same label from many hands. OpenMoji is share-alike (CC BY-SA 4.0) and is never trained on: being
in nobody's training set, it is what the judge itself is examined with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data import art
from salon.imaging.data.sources import Source, choose

Bytes = NDArray[np.uint8]

TRAINED = (
    "fluent-flat",
    "noto",
    "twemoji",
    "noto-v1",
    "emojione",
    "fluent",
    "fluent-3d",
    "fxemoji",
    "streamline-emojis",
)
EXAM = ("openmoji",)
"""Names in ``data.sources``, which says the packages, the licences and the use."""
SIDE = 64
"""Pixels that the art is drawn with; the judge looks at fewer."""


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


def vendors() -> list[Source]:
    """All of them; that each is for its use is checked by ``data.sources``."""
    return [*choose(TRAINED), *choose(EXAM, "evaluate")]


def gather(
    folder: Path,
    note: Callable[[str], None] = lambda _: None,
    sources: list[Source] | None = None,
) -> Hands:
    """Fetch and draw every vendor's emoji; about a minute and a half on one core.

    Flags and skin tones are left out, as in the training set of the picture model.

    Raises:
        PackagesMissing: npm or the network is missing.
    """
    rows: dict[str, int] = {}
    pictures, label_of, vendor_of = [], [], []
    for source in sources or vendors():
        note(f"drawing {source.name}")
        for drawing in art.read(source, folder):
            pictures.append(drawing.draw(SIDE))
            label_of.append(rows.setdefault(drawing.label, len(rows)))
            vendor_of.append(source.name)
    return Hands(
        list(rows),
        np.stack(pictures),
        np.asarray(label_of, np.int32),
        np.asarray(vendor_of),
    )
