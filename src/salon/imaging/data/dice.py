"""Chance that falls the same way on every machine and in every year.

numpy may change its streams between versions (NEP 19), and ``choice`` and ``shuffle``
of Python's ``random`` have changed before. What Python does promise is that
``Random(text).random()`` stays; so every decision is made from that alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """The dice of composition ``index`` under ``seed``; nothing else moves them."""

    def __init__(self, seed: int, index: int) -> None:
        self._unit = random.Random(f"{seed}/{index}").random

    def chance(self, share: float) -> bool:
        """True in ``share`` (0 to 1) of the cases."""
        return self._unit() < share

    def between(self, low: float, high: float) -> float:
        """Evenly from ``low`` to ``high``."""
        return low + (high - low) * self._unit()

    def of(self, items: Sequence[T]) -> T:
        """One of them, each as likely."""
        return items[int(self._unit() * len(items))]

    def weighed(self, weights: Mapping[T, float]) -> T:
        """One of the keys, in proportion to its weight."""
        left = self._unit() * sum(weights.values())
        for item, weight in weights.items():
            left -= weight
            if left < 0.0:
                return item
        return next(reversed([item for item, weight in weights.items() if weight > 0]))
