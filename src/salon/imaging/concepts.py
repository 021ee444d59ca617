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
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data.captions import RU_COLOURS, ZH_COLOURS
from salon.imaging.data.recolour import PALETTE
from salon.imaging.text import Encoder, normalise, words_of

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

    def nearest(self, prompt: str, encoder: Encoder) -> Iterator[str]:
        """Prompts the model knows, nearest in meaning first, in the asked colour."""
        colour, thing = split_colour(prompt)
        likeness = self.vectors @ encoder.encode([thing])[0]
        for row in np.argsort(-likeness)[:_CANDIDATES]:
            label = self.labels[int(row)]
            yield f"{colour} {label}" if colour else label

    def named(self, prompt: str) -> bool:
        """Whether the prompt is a known English label, word for word."""
        return normalise(prompt) in self._names

    def in_full(self, prompt: str) -> str:
        """The first label that is this thing in some colour: "red apple" for "apple".

        Emoji are named by colour where there are several; the thing alone would be
        drawn as their mean.
        """
        plain = normalise(prompt)
        return prompt if plain in self._names else self._plain.get(plain, prompt)

    def likeness(self, prompt: str, encoder: Encoder) -> float:
        """Cosine of the prompt to the nearest label."""
        return float((self.vectors @ encoder.encode([prompt])[0]).max())

    @cached_property
    def _names(self) -> set[str]:
        return {normalise(label) for label in self.labels}

    @cached_property
    def _plain(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for label in self.labels:
            colour, thing = split_colour(label)
            if colour and len(label.split()) == 2 and label.startswith(colour):
                found.setdefault(thing, label)
        return found

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
