"""From words to what a U-Net's cross-attention reads, for three kinds of folders.

* Stable Diffusion 1 and 2: one CLIP text encoder.
* Stable Diffusion XL: two, a pooled vector, and the sizes the picture had in training.
* a folder without a text encoder (Salon's own latent models): the frozen multilingual
  sentence encoder of ``text.py``, which comes as a package; one token for the sentence
  and one for each of up to six words.

CLIP reads 77 tokens and silently drops the rest; here what was dropped is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from salon.imaging.card import ModelUnusable
from salon.imaging.ports import Note
from salon.imaging.request import PictureRequest
from salon.imaging.text import (
    MAX_WORDS,
    TEXT_WIDTH,
    SentenceEncoder,
    TextConditioner,
    Whitening,
    words_of,
)


@dataclass(frozen=True)
class Condition:
    """The prompt and, where there is guidance, before it the negative one."""

    states: torch.Tensor
    """(1 or 2, tokens, width)"""
    added: dict[str, torch.Tensor] = field(default_factory=dict)
    """``added_cond_kwargs`` of an XL U-Net."""
    notes: tuple[Note, ...] = ()


class ClipConditioner:
    """Stable Diffusion 1 and 2."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __call__(
        self, request: PictureRequest, size: tuple[int, int], guided: bool
    ) -> Condition:
        positive, negative = self._pipe.encode_prompt(
            request.prompt,
            self._pipe._execution_device,  # noqa: SLF001 - diffusers' own name for it
            1,
            guided,
            negative_prompt=request.negative,
        )
        states = torch.cat([negative, positive]) if guided else positive
        return Condition(states, notes=cuts([self._pipe.tokenizer], request))


class XlConditioner:
    """Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952, section 2.2)."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __call__(
        self, request: PictureRequest, size: tuple[int, int], guided: bool
    ) -> Condition:
        positive, negative, pooled, negative_pooled = self._pipe.encode_prompt(
            request.prompt,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=request.negative or None,
        )
        states = torch.cat([negative, positive]) if guided else positive
        texts = torch.cat([negative_pooled, pooled]) if guided else pooled
        width, height = size
        # original size, crop corner, target size: as if never scaled, never cropped
        ids = [height, width, 0, 0, height, width]
        times = torch.tensor([ids] * len(states), device=states.device)
        return Condition(
            states,
            {"text_embeds": texts, "time_ids": times.to(states.dtype)},
            cuts([self._pipe.tokenizer, self._pipe.tokenizer_2], request),
        )


class SentenceConditioner:
    """A folder without a text encoder: the sentence and its words as tokens.

    Args:
        folder: may hold ``text.npz``, the whitening that the model was trained with.
        width: of the U-Net's cross-attention.

    Raises:
        ModelUnusable: the U-Net reads vectors of another width.
    """

    def __init__(
        self, folder: Path, width: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        if width != TEXT_WIDTH:
            raise ModelUnusable(
                f"{folder} has no text encoder, and its U-Net reads vectors of {width} "
                f"numbers; the sentence encoder of Salon gives {TEXT_WIDTH}"
            )
        encoder = SentenceEncoder(torch.get_num_threads())
        whitening = folder / "text.npz"
        self._condition = TextConditioner(
            encoder,
            Whitening.load(whitening) if whitening.exists() else Whitening.plain(),
        )
        self._device, self._dtype = device, dtype

    def __call__(
        self, request: PictureRequest, size: tuple[int, int], guided: bool
    ) -> Condition:
        prompts = [request.negative, request.prompt] if guided else [request.prompt]
        texts = [self._condition(prompt) for prompt in prompts]
        rows = np.stack([text.rows for text in texts])
        states = torch.from_numpy(rows).to(self._device, self._dtype)
        return Condition(states, notes=_left_out(request))


def _left_out(request: PictureRequest) -> tuple[Note, ...]:
    """Which words are read one by one, where there are more."""
    notes = []
    for name, text in _texts(request):
        read = words_of(text)
        if len(read) == MAX_WORDS and len(text.split()) > MAX_WORDS:
            words = " ".join(read)
            message = f"{name}: only the words “{words}” are read one by one"
            notes.append(Note(f"{name}_words", message, {"words": words}))
    return tuple(notes)


def cuts(tokenizers: list[Any], request: PictureRequest) -> tuple[Note, ...]:
    """What the text encoders do not read of the prompts."""
    notes = []
    for name, text in _texts(request):
        for tokenizer in tokenizers:
            room = int(tokenizer.model_max_length)
            ids = tokenizer(text, truncation=False).input_ids
            if len(ids) > room:
                lost = tokenizer.decode(ids[room - 1 : -1]).strip()
                message = f"{name}: cut at {room} tokens; not read: “{lost}”"
                params = {"room": room, "lost": lost}
                notes.append(Note(f"{name}_cut", message, params))
                break
    return tuple(notes)


def _texts(request: PictureRequest) -> list[tuple[str, str]]:
    return [("prompt", request.prompt), ("negative", request.negative)]
