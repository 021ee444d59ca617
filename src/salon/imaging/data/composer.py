"""Pictures with captions without end, for a network to learn from.

    library = Library.load(sources.choose(("fluent-flat",)), Path("packages"))
    composer = Composer(seed=0, library=library, side=32)
    batch = composer.sample(256)
    batch.pictures  # (256, 4, 32, 32) float32 in [-1, 1]: colour on white, and alpha
    batch.texts     # 256 captions, one drawn for each picture

Composition number n depends on (seed, n) and the library alone: any number can be had
again, by any process, in any order. Drawings are resized and repainted once and kept,
so that a batch is mostly additions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data.composition import KINDS, Composition, Kind
from salon.imaging.data.dice import Dice
from salon.imaging.data.drawings import Library
from salon.imaging.data.painter import Painter
from salon.imaging.data.phrases import Texts, texts_of
from salon.imaging.data.planner import NUMBERS, Planner

WEIGHTS: dict[Kind, float] = {
    "original": 0.1,
    "recolour": 0.2,
    "accessory": 0.15,
    "count": 0.2,
    "relation": 0.15,
    "holding": 0.05,
    "background": 0.1,
    "style": 0.05,
}
"""How much of the samples each kind gets."""
LANGUAGES = {"en": 0.6, "zh": 0.18, "ru": 0.18, "other": 0.04}
"""How often a caption is in each language."""
_FIRST = 0.6
_TRIES = 64


@dataclass(frozen=True)
class Batch:
    """Some pictures and what they show."""

    pictures: NDArray[np.float32]
    """(n, 4, side, side) in [-1, 1]: colour composited on white, and alpha."""
    texts: list[str]
    """One caption each, in the language that the dice chose."""
    compositions: list[Composition]

    @property
    def kinds(self) -> list[Kind]:
        return [composition.kind for composition in self.compositions]


class Composer:
    """Compositions number 0, 1, 2 … of a seed.

    Args:
        seed: another seed, other compositions.
        library: what there is to compose.
        side: of the pictures, in pixels.
        weights: how often each kind is composed; a missing kind never.
        jitter: 0 for canonical layouts, 1 for the most varied.
        numbers: how often is counted to each number.
        reserved: English captions that never come up: what a model is examined with.
        languages: how often a caption is in each.

    Raises:
        ValueError: an unknown kind or number, no weight at all, an empty library.
    """

    def __init__(
        self,
        seed: int,
        library: Library,
        side: int = 32,
        weights: Mapping[Kind, float] = WEIGHTS,
        jitter: float = 0.5,
        numbers: Mapping[int, float] = NUMBERS,
        reserved: Collection[str] = (),
        languages: Mapping[str, float] = LANGUAGES,
    ) -> None:
        if unknown := set(weights) - set(KINDS):
            names = ", ".join(sorted(unknown))
            raise ValueError(f"unknown kind {names}; known are {', '.join(KINDS)}")
        if any(w < 0 for w in weights.values()) or sum(weights.values()) <= 0:
            raise ValueError("weights must not be negative, and not all zero")
        if not library.sources:
            raise ValueError("the library has nothing to compose")
        self.seed, self.number = seed, 0
        self.painter = Painter(library, side)
        self._library = library
        self._planner = Planner(library, jitter, numbers)
        self._weights = {k: weights[k] for k in KINDS if weights.get(k, 0) > 0}
        self._languages = dict(languages)
        self._reserved = frozenset(reserved)

    def composition(self, number: int) -> Composition:
        """Composition ``number`` of this seed; the same for ever."""
        dice = Dice(self.seed, number)
        kind = dice.weighed(self._weights)
        for _ in range(_TRIES):
            source = dice.of(self._library.sources)
            composition = self._planner.plan(kind, source, dice)
            if self._allowed(composition):
                return composition
        raise ValueError(
            f"in {_TRIES} tries every {kind} of seed {self.seed} was a reserved one"
        )

    def texts(self, composition: Composition) -> Texts:
        """All captions: language -> captions, the best first."""
        return texts_of(composition, self._library.names)

    def caption(self, composition: Composition, dice: Dice) -> str:
        """One caption; mostly the best of its language."""
        texts = self.texts(composition)
        language = dice.weighed(self._languages)
        if language == "other":
            language = dice.of(
                [k for k in texts if k not in ("en", "zh", "ru")] or ["en"]
            )
        found = texts[language]
        return found[0] if dice.chance(_FIRST) else dice.of(found)

    def sample(self, count: int) -> Batch:
        """The next ``count`` compositions; ``number`` says where it stands."""
        pictures = np.empty(
            (count, 4, self.painter.side, self.painter.side), np.float32
        )
        texts, compositions = [], []
        for row in range(count):
            composition = self.composition(self.number)
            pictures[row] = _canvas(self.painter.paint(composition))
            texts.append(self.caption(composition, Dice(self.seed, -1 - self.number)))
            compositions.append(composition)
            self.number += 1
        return Batch(pictures, texts, compositions)

    def _allowed(self, composition: Composition) -> bool:
        if not self._reserved:
            return True
        return self._reserved.isdisjoint(self.texts(composition)["en"])


def _canvas(premultiplied: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, 4) premultiplied RGBA -> (4, h, w) canvas: on white, in [-1, 1]."""
    values = premultiplied.astype(np.float32)
    values[..., :3] += 255.0 - values[..., 3:]
    canvas: NDArray[np.float32] = values.transpose(2, 0, 1) / 127.5 - 1.0
    return canvas
