"""What the model knows, and the nearest of it to a prompt it does not know.

The prior answers a familiar prompt with clear shapes and an unfamiliar one with a
smear: an average of everything the words might mean. How decided its alpha channel is
tells the two apart (``certainty``: about 0.93 for known labels and for unseen colours
of known objects, 0.6 to 0.75 for what it has no idea of).

Instead of drawing a smear, an unfamiliar prompt is *read as* the nearest known label
by the likeness of the sentence vectors, keeping its colour: "yellow submarine" as
"yellow sailboat". What a prompt was read as can be asked for and is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data.captions import RU_COLOURS, ZH_COLOURS
from salon.imaging.data.recolour import PALETTE
from salon.imaging.text import SentenceEncoder, words_of

FAMILIAR = 0.77
"""Certainty from which on a prompt is drawn as it stands. Higher would read more free
prompts as something clear, and more rare labels, in Chinese first, as something else."""
CLEAR = 0.86
"""Certainty that a known label must have to be drawn in its place."""
_CANDIDATES = 3

_COLOUR_WORDS = (
    {name: name for name in PALETTE}
    | {"gray": "grey"}
    | {word: name for name, word in ZH_COLOURS.items()}
    | {word: name for name, words in RU_COLOURS.items() for word in words}
)


def certainty(canvas: NDArray[np.float32]) -> float:
    """Mean |alpha| of a canvas (4, 32, 32): 1 where every pixel is in or out."""
    return float(np.abs(canvas[3]).mean())


def split_colour(prompt: str) -> tuple[str | None, str]:
    """("yellow", "submarine") of "a yellow submarine"; the colour may be missing."""
    words = words_of(prompt)
    colours = [_COLOUR_WORDS[word] for word in words if word in _COLOUR_WORDS]
    rest = " ".join(word for word in words if word not in _COLOUR_WORDS)
    return (colours[0] if colours else None), rest or prompt


@dataclass(frozen=True)
class Concepts:
    """The English labels that were trained, with their sentence vectors."""

    labels: list[str]
    vectors: NDArray[np.float32]
    """(n, 512), rows of norm 1."""

    def nearest(self, prompt: str, encoder: SentenceEncoder) -> Iterator[str]:
        """Prompts the model knows, nearest in meaning first, in the asked colour."""
        colour, thing = split_colour(prompt)
        likeness = self.vectors @ encoder.encode([thing])[0]
        for row in np.argsort(-likeness)[:_CANDIDATES]:
            label = self.labels[int(row)]
            yield f"{colour} {label}" if colour else label

    def save(self, path: Path) -> None:
        np.savez(
            path, labels=np.array(self.labels), vectors=self.vectors.astype(np.float16)
        )

    @classmethod
    def load(cls, path: Path) -> Concepts:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                [str(label) for label in arrays["labels"]],
                arrays["vectors"].astype(np.float32),
            )
