"""The training set: pictures, captions, and how often each pair is drawn.

Built once, deterministically from (packages, seed), into a folder:

* ``pictures.npy``   (n, 32, 32, 4) uint8 RGBA, everything the prior and U-Net see;
* ``originals.npy``  (m, 128, 128, 4) uint8 RGBA, the art itself, for the upscaler;
* ``text.npz``       caption and word vectors, whitening, and the (picture, caption)
  pairs with their weights;
* ``index.json``     what each picture is, what was held out and why.

Held out are whole labels (never trained in any form) and colour x object pairs (the
object is trained, and the colour, but never together).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salon.imaging.data import captions, compose
from salon.imaging.data.emoji import Emoji
from salon.imaging.data.recolour import PALETTE, dominant_colour, recolour
from salon.imaging.pixels import CANVAS
from salon.imaging.text import (
    MAX_WORDS,
    TEXT_WIDTH,
    SentenceEncoder,
    Whitening,
    words_of,
)

SHARES = {
    "original": 0.46,
    "recolour": 0.33,
    "hat": 0.06,
    "glasses": 0.03,
    "count": 0.05,
    "pair": 0.07,
}
"""How much of the training each kind of picture gets."""

_MINOR_GROUPS = (1, 8)  # people in roles, symbols: many, alike, seldom asked for
_MINOR_WEIGHT = 0.4
_ANIMALS = range(34, 40)  # emojibase subgroups: mammal .. bug
_FACES = range(14)
_FRONT_FACES = (  # noqa: SIM905 - a list of words
    "dog face,cat face,monkey face,fox,lion,tiger face,horse face,cow face,"
    "pig face,mouse face,hamster,rabbit face,bear,polar bear,koala,panda,frog,"
    "wolf,raccoon"
).split(",")
_HATS = ("crown", "top hat", "graduation cap")
_GLASSES = ("glasses", "sunglasses")
HELD_OUT_PAIRS = (  # noqa: SIM905 - a list of words
    "pink automobile,purple banana,purple cat face,green dog face,pink elephant,"
    "black fire,orange fish,red frog,green ghost,yellow octopus,red panda,"
    "green pig face,blue pizza,black rabbit face,blue red apple,yellow rocket,"
    "blue rose,purple strawberry,brown t-shirt,blue teddy bear"
).split(",")


@dataclass(frozen=True)
class Entry:
    """What one row of ``pictures.npy`` is."""

    kind: str
    label: str
    colour: str = ""
    hexcode: str = ""


@dataclass
class _Drawn:
    entry: Entry
    picture: NDArray[np.uint8]
    captions: captions.Captions
    weight: float = 1.0


def build(
    emoji: list[Emoji],
    encoder: SentenceEncoder,
    seed: int = 0,
    held_out: int = 24,
    pairs: int = 3500,
    counts: int = 300,
    note: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """Make the whole set in memory; about four minutes on one core, mostly text."""
    rng = np.random.default_rng(seed)
    reserved = _reserve(emoji, held_out, rng)
    known = [e for e in emoji if e.label not in reserved]
    note(f"{len(known)} drawings, {len(reserved)} labels held out")
    drawn = [
        *_originals(known, rng),
        *_recolours(known),
        *_accessories(known),
        *_counts(known, counts, rng),
        *_pairs(known, pairs, rng),
    ]
    note(f"{len(drawn)} pictures with compositions")
    text = TextTable.encode([d.captions for d in drawn], encoder, note)
    return Dataset(
        entries=[d.entry for d in drawn],
        pictures=np.stack([d.picture for d in drawn]),
        originals=np.stack([e.picture for e in emoji]),
        labels=[e.label for e in emoji],
        translations=[{k: e.labels.get(k, "") for k in ("zh", "ru")} for e in emoji],
        held_out=sorted(reserved),
        text=text,
        weights=_balance([d.entry.kind for d in drawn], [d.weight for d in drawn]),
    )


def _reserve(emoji: list[Emoji], count: int, rng: np.random.Generator) -> set[str]:
    """Labels of several words: those of one word are what people ask for first."""
    groups = (3, 4, 5, 6, 7)
    needed = {p.split(" ", 1)[1] for p in HELD_OUT_PAIRS} | set(_HATS) | set(_GLASSES)
    pool = [i for i, e in enumerate(emoji) if e.group in groups]
    pool = [i for i in pool if emoji[i].label not in needed and " " in emoji[i].label]
    return {emoji[i].label for i in compose.choose(rng, pool, count)}


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return compose.shrink(picture, CANVAS)


def _originals(emoji: list[Emoji], rng: np.random.Generator) -> Iterator[_Drawn]:
    rare = captions.rare_tags(emoji)
    for e in emoji:
        small = _small(e.picture)
        colour = dominant_colour(small)
        words = captions.captions_of(e, colour, rare, rng)
        weight = _MINOR_WEIGHT if _is_minor(e) else 1.0
        yield _Drawn(
            Entry("original", e.label, colour, e.hexcode), small, words, weight
        )


def _is_minor(e: Emoji) -> bool:
    return e.group in _MINOR_GROUPS or any(
        word in e.label for word in ("o’clock", "-thirty", "moon", "button")
    )


def _recolours(emoji: list[Emoji]) -> Iterator[_Drawn]:
    for e in (e for e in emoji if not _is_minor(e)):
        small = _small(e.picture)
        own = dominant_colour(small)
        for colour in PALETTE:
            if colour == own or f"{colour} {e.label}" in HELD_OUT_PAIRS:
                continue
            yield _Drawn(
                Entry("recolour", e.label, colour, e.hexcode),
                recolour(small, colour),
                captions.captions_in_colour(e, colour),
            )


def _accessories(emoji: list[Emoji]) -> Iterator[_Drawn]:
    named = {e.label: e for e in emoji}
    hats = [named[h] for h in _HATS if h in named]
    heads = [e for e in emoji if e.subgroup in (*_ANIMALS, *_FACES)]
    for e, hat in product(heads, hats):
        yield _Drawn(
            Entry("hat", f"{e.label} + {hat.label}"),
            _small(compose.wearing_hat(e.picture, hat.picture)),
            captions.captions_of_accessory(e, hat, "hat"),
        )
    fronts = [e for e in emoji if e.subgroup in _FACES or e.label in _FRONT_FACES]
    for e, glasses in product(fronts, [named[g] for g in _GLASSES if g in named]):
        yield _Drawn(
            Entry("glasses", f"{e.label} + {glasses.label}"),
            _small(compose.wearing_glasses(e.picture, glasses.picture)),
            captions.captions_of_accessory(e, glasses, "glasses"),
        )


def _things(emoji: list[Emoji]) -> list[int]:
    return [
        i
        for i, e in enumerate(emoji)
        if e.group in (3, 4, 5, 6, 7) and not _is_minor(e) and len(e.label.split()) < 3
    ]


def _counts(
    emoji: list[Emoji], count: int, rng: np.random.Generator
) -> Iterator[_Drawn]:
    for number in (2, 3, 4):
        for i in compose.choose(rng, _things(emoji), count):
            yield _Drawn(
                Entry("count", f"{number} x {emoji[i].label}"),
                _small(compose.several(emoji[i].picture, number)),
                captions.captions_of_count(emoji[i], number),
            )


def _pairs(
    emoji: list[Emoji], count: int, rng: np.random.Generator
) -> Iterator[_Drawn]:
    things = _things(emoji)
    for _ in range(count):
        left, right = (emoji[i] for i in compose.choose(rng, things, 2))
        yield _Drawn(
            Entry("pair", f"{left.label} + {right.label}"),
            _small(compose.beside(left.picture, right.picture)),
            captions.captions_of_pair(left, right),
        )


def _balance(kinds: list[str], weights: list[float]) -> NDArray[np.float64]:
    """Scale the weights so that each kind's sum is its share of the training."""
    values, names = np.asarray(weights, np.float64), np.asarray(kinds)
    for kind, share in SHARES.items():
        here = names == kind
        if here.any():
            values[here] *= share / values[here].sum()
    balanced: NDArray[np.float64] = values / values.sum()
    return balanced


@dataclass
class TextTable:
    """Every caption's vectors, and which picture it belongs to."""

    pooled: NDArray[np.float16]
    """(captions, 512) whitened."""
    word_vectors: NDArray[np.float16]
    """(words, 512) whitened; row 0 is zero, the padding."""
    word_rows: NDArray[np.int32]
    """(captions, 6) rows of ``word_vectors``."""
    pictures: NDArray[np.int32]
    """(pairs,) picture of each pair."""
    texts: NDArray[np.int32]
    """(pairs,) caption of each pair."""
    weights: NDArray[np.float32]
    """(pairs,) weight within the picture, summing to 1 per picture."""
    whitening: Whitening

    @classmethod
    def encode(
        cls,
        captions_per_picture: list[captions.Captions],
        encoder: SentenceEncoder,
        note: Callable[[str], None],
    ) -> TextTable:
        texts = _unique(t for c in captions_per_picture for t in c)
        words = _unique(w for t in texts for w in words_of(t))
        note(f"{len(texts)} captions, {len(words)} words to encode")
        vectors = _encode_all(list(texts), encoder, note)
        whitening = Whitening.fit(vectors)
        word_vectors = whitening(_encode_all(list(words), encoder, note))
        rows = np.zeros((len(texts), MAX_WORDS), np.int32)
        for text, i in texts.items():
            found = [words[w] + 1 for w in words_of(text)]
            rows[i, : len(found)] = found
        pairs = [
            (picture, texts[text], weight / sum(found.values()))
            for picture, found in enumerate(captions_per_picture)
            for text, weight in found.items()
        ]
        picture_column, text_column, weight_column = zip(*pairs, strict=True)
        return cls(
            pooled=whitening(vectors).astype(np.float16),
            word_vectors=np.concatenate(
                [np.zeros((1, TEXT_WIDTH), np.float16), word_vectors.astype(np.float16)]
            ),
            word_rows=rows,
            pictures=np.asarray(picture_column, np.int32),
            texts=np.asarray(text_column, np.int32),
            weights=np.asarray(weight_column, np.float32),
            whitening=whitening,
        )


def _unique(items: Iterable[str]) -> dict[str, int]:
    table: dict[str, int] = {}
    for item in items:
        table.setdefault(item, len(table))
    return table


def _encode_all(
    texts: list[str], encoder: SentenceEncoder, note: Callable[[str], None]
) -> NDArray[np.float32]:
    # Sorted by length, because a batch is padded to its longest text.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = np.empty((len(texts), TEXT_WIDTH), np.float32)
    for start in range(0, len(order), 256):
        batch = order[start : start + 256]
        rows[batch] = encoder.encode([texts[i] for i in batch])
        if start % 12800 == 0:
            note(f"text {start}/{len(order)}")
    return rows


@dataclass
class Dataset:
    """The whole set in memory; see the module's text for the files."""

    entries: list[Entry]
    pictures: NDArray[np.uint8]
    originals: NDArray[np.uint8]
    labels: list[str]
    translations: list[dict[str, str]]
    held_out: list[str]
    text: TextTable
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        chance = self.weights[self.text.pictures] * self.text.weights
        self._cumulative = np.cumsum(chance / chance.sum())

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return (picture rows, caption rows), ``count`` of each."""
        pairs = np.searchsorted(self._cumulative, rng.random(count))
        pairs = np.minimum(pairs, len(self._cumulative) - 1)
        return self.text.pictures[pairs], self.text.texts[pairs]

    def condition(
        self, texts: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return pooled (n, 512), words (n, 6, 512) and mask (n, 6) of captions."""
        rows = self.text.word_rows[texts]
        return (
            self.text.pooled[texts].astype(np.float32),
            self.text.word_vectors[rows].astype(np.float32),
            (rows > 0).astype(np.float32),
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "pictures.npy", self.pictures)
        np.save(folder / "originals.npy", self.originals)
        t = self.text
        np.savez(
            folder / "text.npz",
            pooled=t.pooled,
            word_vectors=t.word_vectors,
            word_rows=t.word_rows,
            pictures=t.pictures,
            texts=t.texts,
            pair_weights=t.weights,
            mean=t.whitening.mean,
            matrix=t.whitening.matrix,
            weights=self.weights,
        )
        index = {
            "entries": [asdict(e) for e in self.entries],
            "labels": self.labels,
            "translations": self.translations,
            "held_out": self.held_out,
        }
        # Last, because its presence says that the set is complete.
        (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        with np.load(folder / "text.npz", allow_pickle=False) as a:
            text = TextTable(
                a["pooled"],
                a["word_vectors"],
                a["word_rows"],
                a["pictures"],
                a["texts"],
                a["pair_weights"],
                Whitening(a["mean"], a["matrix"]),
            )
            weights = a["weights"]
        return cls(
            entries=[Entry(**e) for e in index["entries"]],
            pictures=np.load(folder / "pictures.npy", allow_pickle=False),
            originals=np.load(folder / "originals.npy", allow_pickle=False),
            labels=index["labels"],
            translations=index["translations"],
            held_out=index["held_out"],
            text=text,
            weights=weights,
        )
