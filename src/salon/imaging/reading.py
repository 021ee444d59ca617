"""How a prompt is read: as it stands, as the nearest known one, or as a layout.

Three questions, in this order:

1. Is it a label the model knows? Then it is drawn as it stands.
2. Are there several things in it? Then each is read by itself (``layout.py``).
3. Does the prior have an idea of it? If not, it is read as the nearest known label in
   the same colour (``concepts.py``).

What comes out is the text for the U-Net, the reference it starts from, and the prompt
as it was understood, so that the asker can be told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salon.imaging import layout
from salon.imaging.concepts import CLEAR, FAMILIAR, Concepts, certainty
from salon.imaging.text import TextCondition, TextConditioner, normalise

Floats = NDArray[np.float32]
Prior = Callable[[TextCondition], Floats]
"""Condition -> canvas (4, 32, 32) in [-1, 1]."""

_SAME = 0.93
"""Likeness of sentence vectors from which on two wordings mean the same label."""


@dataclass(frozen=True)
class Reading:
    """A prompt, understood."""

    prompt: str
    """As it is drawn; the asked one where every word was understood."""
    text: TextCondition
    reference: Floats
    """(4, 32, 32) in [-1, 1]."""


class Reader:
    """Reads prompts for one model."""

    def __init__(
        self, condition: TextConditioner, concepts: Concepts, prior: Prior
    ) -> None:
        self._condition = condition
        self._concepts = concepts
        self._prior = prior

    def __call__(self, prompt: str) -> Reading:
        """Read a prompt; takes about 10 ms a thing."""
        found = None if self._is_label(prompt) else layout.parse(prompt)
        if found is None:
            return self._single(prompt)
        things = found.things
        if found.kind in ("hat", "glasses"):
            things = (self._from_the_front(things[0]), things[1])
        parts = [self._single(thing) for thing in things]
        read = tuple(part.prompt for part in parts)
        told = prompt if read == things else layout.told(found, read)
        reference = layout.compose_reference(found, [p.reference for p in parts])
        return Reading(told, self._condition(told), reference)

    def _is_label(self, prompt: str) -> bool:
        return self._concepts.named(prompt) or (
            # A label in another language: "刀叉", "молот и ключ".
            layout.parse(prompt) is not None
            and self._concepts.likeness(prompt, self._condition.encoder) >= _SAME
        )

    def _single(self, prompt: str) -> Reading:
        prompt = self._concepts.in_full(prompt)
        reading = self._as_it_stands(prompt)
        if certainty(reading.reference) >= FAMILIAR:
            return reading
        for known in self._concepts.nearest(prompt, self._condition.encoder):
            if known == normalise(prompt):
                return reading
            other = self._as_it_stands(known)
            if certainty(other.reference) >= CLEAR:
                return other
        return reading

    def _as_it_stands(self, prompt: str) -> Reading:
        text = self._condition(prompt)
        return Reading(prompt, text, self._prior(text))

    def _from_the_front(self, thing: str) -> str:
        """Who wears something is shown from the front, where there is such a label."""
        label = next(self._concepts.nearest(thing, self._condition.encoder))
        face = f"{label.removesuffix(' face')} face"
        return face if self._concepts.named(face) else thing
