"""What the U-Net's cross-attention reads of a prompt: rows of numbers, never trained.

* :class:`ClipTexts`, Stable Diffusion's way: the 77 rows of CLIP's last layer. The
  empty prompt has rows as well. Needs a CLIP text model and its tokenizer in a folder.
* :class:`SentenceTexts`, for those who have no CLIP: seven rows of 512 numbers, one of
  the sentence and one for each of up to six words, from the multilingual sentence
  encoder that comes with Salon (``text.py``). The empty prompt is zeros, a row that
  cross-attention can look at and learn nothing from. A word is *one* row whatever
  stands beside it: weaker than CLIP, whose rows know their neighbours, but sixteen
  languages share them, and nothing has to be fetched.

Either is frozen, and each says with what files a model folder keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salon.imaging.clip_tokenizer import LENGTH, ClipTokenizer
from salon.imaging.data.folder import Note
from salon.imaging.models import disk
from salon.imaging.models.clip_text import ClipText, ClipTextConfig
from salon.imaging.text import (
    MAX_WORDS,
    TEXT_WIDTH,
    Encoder,
    SentenceEncoder,
    Whitening,
    normalise,
    words_of,
)

WHITENING = "text.npz"
_CLIP_WEIGHTS = "model.safetensors"
_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json")
_FEW = 64
"""With fewer different captions there is no telling in what captions differ."""
_AT_ONCE = 64


class Texts(Protocol):
    """A frozen text encoder."""

    width: int
    """Of a row."""
    digest: str
    """Equal digests, equal rows."""

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Prompts -> (n, rows, width) float32, on the device it was made for."""

    def cut(self, text: str) -> int:
        """How many tokens or words of the text are not read."""

    def save(self, folder: Path) -> None:
        """Write what :func:`load` needs into a model folder. Raises OSError."""


class ClipTexts:
    """CLIP's last hidden state.

    Args:
        network: on its device.
        tokenizer: of the same model.
        files: where each of its files lies, by its place in a model folder.
    """

    def __init__(
        self, network: ClipText, tokenizer: ClipTokenizer, files: dict[str, Path]
    ) -> None:
        if len(tokenizer.vocabulary) > network.config.vocabulary:
            raise ValueError(
                f"its tokenizer knows {len(tokenizer.vocabulary)} tokens, its text "
                f"encoder only {network.config.vocabulary}: they do not belong together"
            )
        if network.config.positions < LENGTH:
            raise ValueError(
                f"its text encoder reads {network.config.positions} tokens, not {LENGTH}"
            )
        self._network = network.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        self._files = files
        self.width = network.config.width
        self.digest = disk.digest(
            files[f"text_encoder/{_CLIP_WEIGHTS}"], files["tokenizer/merges.txt"]
        )

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> ClipTexts:
        """From a Stable Diffusion's folder, or one of a text encoder.

        The tokenizer lies in ``tokenizer/`` beside or below it, or among its files.

        Raises:
            ModelUnreadable: files are missing, damaged, or do not fit.
        """
        inside = folder / "text_encoder"
        encoder = inside if inside.is_dir() else folder
        places = (folder / "tokenizer", folder.parent / "tokenizer", encoder)
        with disk.reading(folder, "CLIP text encoder with its tokenizer"):
            config = disk.read_json(encoder / disk.CONFIG)
            network = ClipText(ClipTextConfig.from_transformers(config))
            network.load_weights(disk.read_weights(encoder / _CLIP_WEIGHTS))
            words = next((p for p in places if (p / "merges.txt").is_file()), places[0])
            tokenizer = ClipTokenizer.load(words)
            names = (disk.CONFIG, _CLIP_WEIGHTS)
            files = {f"text_encoder/{name}": encoder / name for name in names}
            there = [name for name in _TOKENIZER if (words / name).is_file()]
            files |= {f"tokenizer/{name}": words / name for name in there}
            return cls(network.to(device), tokenizer, files)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        device = next(self._network.parameters()).device
        ids = torch.tensor([self._tokenizer(text).ids for text in texts], device=device)
        with torch.no_grad():
            rows: Tensor = self._network(ids)
        return rows.float()

    def cut(self, text: str) -> int:
        return self._tokenizer(text).cut

    def save(self, folder: Path) -> None:
        for place, source in self._files.items():
            disk.copy_once(source, folder / place)
        if not (folder / "tokenizer" / "vocab.json").exists():
            self._tokenizer.save(folder / "tokenizer")


class SentenceTexts:
    """The sentence and its words, whitened; rows are kept once they were computed.

    The rows are those of ``text.py::TextConditioner``; a training asks for the same
    captions thousands of times, so each text and each word is whitened once.
    """

    width = TEXT_WIDTH

    def __init__(
        self, whitening: Whitening, device: str = "cpu", encoder: Encoder | None = None
    ) -> None:
        self._whitening, self._device = whitening, device
        self._encoder = encoder or SentenceEncoder(torch.get_num_threads())
        self._kept: dict[str, NDArray[np.float32]] = {}
        numbers = whitening.mean.tobytes() + whitening.matrix.tobytes()
        self.digest = hashlib.sha256(numbers).hexdigest()

    @classmethod
    def fit(
        cls,
        captions: Iterable[str],
        device: str = "cpu",
        note: Note = lambda _done, _all: None,
    ) -> SentenceTexts:
        """Whitened for these captions; all of them are encoded now, once."""
        texts = sorted(set(captions))
        encoder = SentenceEncoder(torch.get_num_threads())
        raw = _encoded(encoder, _keys(texts), note)
        whitening = Whitening.plain()
        if len(texts) >= _FEW:
            whitening = Whitening.fit(np.stack([raw[normalise(t)] for t in texts]))
        # As it will be read from the disk, where the matrix has half precision.
        matrix = whitening.matrix.astype(np.float16).astype(np.float32)
        fitted = cls(Whitening(whitening.mean, matrix), device, encoder)
        fitted._keep(raw)
        return fitted

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> SentenceTexts:
        """From a model folder. Raises ModelUnreadable."""
        with disk.reading(folder, "text whitening"):
            return cls(Whitening.load(folder / WHITENING), device)

    def learn(
        self, texts: Iterable[str], note: Note = lambda _done, _all: None
    ) -> None:
        """Encode these texts and their words, many at a time."""
        missing = _keys(texts) - self._kept.keys()
        self._keep(_encoded(self._encoder, missing, note))

    def _keep(self, raw: dict[str, NDArray[np.float32]]) -> None:
        # One by one: the last bits of a product depend on how many rows it has, and a
        # resumed training must see the very same rows.
        self._kept |= {key: self._whitening(row) for key, row in raw.items()}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        self.learn(texts)
        rows = np.zeros((len(texts), 1 + MAX_WORDS, TEXT_WIDTH), np.float32)
        for i, text in enumerate(texts):
            for j, key in enumerate(_parts(text)):
                rows[i, j] = self._kept[key]
        return torch.from_numpy(rows).to(self._device)

    def cut(self, text: str) -> int:
        words = len(text.split())
        return max(0, words - MAX_WORDS) if len(words_of(text)) == MAX_WORDS else 0

    def save(self, folder: Path) -> None:
        target = folder / WHITENING
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / "text.part.npz"  # numpy insists on the ending
            self._whitening.save(part)
            part.replace(target)


def _parts(text: str) -> list[str]:
    """The sentence, then its words; nothing for an empty prompt."""
    return [normalise(text), *words_of(text)] if text.strip() else []


def _keys(texts: Iterable[str]) -> set[str]:
    return {part for text in texts for part in _parts(text)}


def _encoded(
    encoder: Encoder, keys: set[str], note: Note
) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    ordered = sorted(keys)
    for i in range(0, len(ordered), _AT_ONCE):
        part = ordered[i : i + _AT_ONCE]
        found |= dict(zip(part, encoder.encode(part), strict=True))
        note(len(found), len(ordered))
    return found


def load(folder: Path, device: str = "cpu") -> Texts:
    """The texts of a model folder: CLIP's where there is one. Raises ModelUnreadable."""
    if (folder / "text_encoder").is_dir():
        return ClipTexts.load(folder, device)
    return SentenceTexts.load(folder, device)
