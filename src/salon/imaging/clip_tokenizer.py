"""CLIP's tokenizer: a prompt becomes the numbers that CLIP's text encoder was trained on.

Byte-pair encoding (Sennrich et al. 2016) over *bytes* (GPT-2), so that every text has
tokens, in whatever script. A prompt is folded (NFC, blanks, lower case), cut into words,
and each word is a run of letters that get merged, the most frequent pair first, as the
48,894 rules say; the last letter of a word carries ``</w>``. Around it go the two marks
for start and end, and the rest of the 77 places is filled with the end mark.

What does not fit into 77 is *reported*, :attr:`Tokens.cut`: prompts that lose their end
without a word are the trap of every program around Stable Diffusion.

The rules come from a Stable Diffusion's own ``tokenizer/`` (``merges.txt``), or from
``clip_merges.txt.gz`` beside this module: those rules of ``bpe_simple_vocab_16e6.txt.gz``
(OpenAI, MIT; here from the wheel of open_clip_torch 3.3.0) that are in use. Torch is not
needed.
"""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

LENGTH = 77
RULES = Path(__file__).parent / "clip_merges.txt.gz"
"""The rules of every Stable Diffusion."""
_MERGES = 49152 - 256 - 2
"""Rules in use; OpenAI's file has more."""
_START, _END = "<|startoftext|>", "<|endoftext|>"
_SPECIAL = re.compile(f"({re.escape(_START)}|{re.escape(_END)})")
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_MAX_TEXT = 100_000
_MAX_RULES_BYTES = 16 << 20


@dataclass(frozen=True)
class Tokens:
    """One prompt as CLIP reads it."""

    ids: list[int]
    """Exactly 77."""
    cut: int = 0
    """Tokens that found no place; 0 if the whole prompt was read."""


def _byte_symbols() -> list[str]:
    """A printable character for each of the 256 bytes, in CLIP's order of tokens.

    Printable Latin-1 stands for itself, everything else for a character above 255.
    """
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in own] + [chr(256 + n) for n in range(256 - len(own))]


def _bytes_to_symbols() -> dict[int, str]:
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in set(own)]
    return dict(zip([*own, *other], _byte_symbols(), strict=True))


class ClipTokenizer:
    """Prompt -> :class:`Tokens`.

    Args:
        merges: pairs in order of their rank, at most 48,894 are used.
    """

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        self._merges = merges[:_MERGES]
        self._rank = {pair: rank for rank, pair in enumerate(self._merges)}
        symbols = _byte_symbols()
        words = symbols + [s + "</w>" for s in symbols]
        words += ["".join(pair) for pair in self._merges] + [_START, _END]
        self.vocabulary = {word: number for number, word in enumerate(words)}
        self.start, self.end = self.vocabulary[_START], self.vocabulary[_END]
        self._symbol_of = _bytes_to_symbols()
        self._word = lru_cache(maxsize=8192)(self._merge)

    def __call__(self, text: str) -> Tokens:
        """Start, the tokens, end, and ends up to 77 numbers."""
        ids = self.tokens(text)
        kept = ids[: LENGTH - 2]
        padding = [self.end] * (LENGTH - 1 - len(kept))
        return Tokens([self.start, *kept, *padding], len(ids) - len(kept))

    def tokens(self, text: str) -> list[int]:
        """All tokens of a text, without marks and without a limit.

        Raises:
            ValueError: the text has more than 100,000 characters.
        """
        if len(text) > _MAX_TEXT:
            raise ValueError(f"prompt: at most {_MAX_TEXT} characters")
        ids: list[int] = []
        for piece in _SPECIAL.split(text):
            if piece in (_START, _END):
                ids.append(self.vocabulary[piece])
                continue
            for word in _words(_folded(piece)):
                symbols = "".join(self._symbol_of[b] for b in word.encode())
                ids += self._word(symbols)
        return ids

    def _merge(self, word: str) -> tuple[int, ...]:
        """Apply the rule of the lowest rank until none applies."""
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pairs = list(pairwise(parts))
            best = min(pairs, key=lambda p: self._rank.get(p, len(self._rank)))
            if best not in self._rank:
                break
            parts = _joined(parts, best)
        return tuple(self.vocabulary[part] for part in parts)

    # --- files ---------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path = RULES) -> ClipTokenizer:
        """From a ``tokenizer/`` folder, its ``merges.txt``, or a .txt.gz of rules.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it does not hold merge rules.
        """
        file = path / "merges.txt" if path.is_dir() else path
        raw = file.read_bytes() if file.suffix != ".gz" else _unpacked(file)
        lines = raw.decode("utf-8").strip().split("\n")[1:]  # the first says what it is
        merges = []
        for number, line in enumerate(lines[:_MERGES], start=2):
            pair = line.split()
            if len(pair) != 2:
                raise ValueError(f"{file.name}, line {number}: no pair: {line[:40]!r}")
            merges.append((pair[0], pair[1]))
        if not merges:
            raise ValueError(f"{file.name} holds no merge rules")
        return cls(merges)

    def save(self, folder: Path, *, padding: str = _END, length: int = LENGTH) -> None:
        """Write the files that transformers' ``CLIPTokenizer`` reads. Raises OSError.

        Args:
            folder: made if it is not there.
            padding: the token after the end; OpenCLIP's encoders were trained with
                number 0, which is ``!``.
            length: how many tokens the encoder reads.
        """
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary = json.dumps(self.vocabulary, ensure_ascii=False)
        (folder / "vocab.json").write_text(vocabulary, "utf-8")
        rules = "".join(f"{a} {b}\n" for a, b in self._merges)
        (folder / "merges.txt").write_text(f"#version: 0.2\n{rules}", "utf-8")
        settings = {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": length,
            "bos_token": _START,
            "eos_token": _END,
            "unk_token": _END,
            "pad_token": padding,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def _unpacked(file: Path) -> bytes:
    with gzip.open(file) as packed:
        raw = packed.read(_MAX_RULES_BYTES + 1)
    if len(raw) > _MAX_RULES_BYTES:
        raise ValueError(f"{file.name} unpacks to more than {_MAX_RULES_BYTES} bytes")
    return raw


def _folded(text: str) -> str:
    """NFC, runs of blanks are one, small letters (each for itself: no final sigma)."""
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(c.lower() for c in composed)


def _words(text: str) -> Iterator[str]:
    r"""Contractions, runs of letters, single digits, runs of anything else.

    CLIP's pattern is ``'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+``;
    ``re`` has no ``\p``, and the four rules are as short as the dependency.
    """
    at = 0
    while at < len(text):
        kind = _kind(text[at])
        end = at + 1
        contraction = next((c for c in _CONTRACTIONS if text.startswith(c, at)), None)
        if contraction:
            end = at + len(contraction)
        elif kind in ("L", "other"):
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if kind != "space":
            yield text[at:end]
        at = end


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "other"


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Replace every occurrence of the pair, from the left."""
    result: list[str] = []
    i = 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            result.append(parts[i] + parts[i + 1])
            i += 2
        else:
            result.append(parts[i])
            i += 1
    return result
