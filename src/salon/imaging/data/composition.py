"""A composition: what is in the picture, and where. Nothing is drawn here.

Two halves that must agree: the *meaning*, from which captions are made (``things``,
``relation``, ``count`` …), and the *layout*, from which the picture is painted
(``parts``, ``background``). Lengths are shares of the side, so that one composition can
be painted at 32 and at 512 pixels; numbers are rounded so that JSON keeps them exactly.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal[
    "original",
    "recolour",
    "accessory",
    "count",
    "relation",
    "holding",
    "background",
    "style",
]
KINDS: tuple[Kind, ...] = (
    "original",
    "recolour",
    "accessory",
    "count",
    "relation",
    "holding",
    "background",
    "style",
)
Relation = Literal["and", "next to", "left of", "right of", "above", "below", "on"]
RELATIONS: tuple[Relation, ...] = (
    "and",
    "next to",
    "left of",
    "right of",
    "above",
    "below",
    "on",
)


@dataclass(frozen=True)
class Thing:
    """One thing that is spoken of."""

    label: str
    """CLDR label; a key of :func:`salon.imaging.data.lexicon.nouns`."""
    colour: str = ""
    """A colour word of the palette, where it was repainted."""


@dataclass(frozen=True)
class Part:
    """One drawing, fitted into a box."""

    art: str
    """Key of the drawing."""
    colour: str
    x: float
    y: float
    """Centre."""
    width: float
    height: float


@dataclass(frozen=True)
class Composition:
    """A recipe for one picture and its captions."""

    kind: Kind
    source: str
    things: tuple[Thing, ...]
    parts: tuple[Part, ...]
    relation: str = ""
    count: int = 1
    background: str = ""
    """"" (nothing), a colour word, "red to blue", or a scene of ``backgrounds.py``."""
    style: str = ""

    def as_json(self) -> str:
        """One line, the same for equal compositions."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Composition:
        """The inverse of :meth:`as_json`."""
        values: dict[str, Any] = json.loads(text)
        values["things"] = tuple(Thing(**thing) for thing in values["things"])
        values["parts"] = tuple(Part(**part) for part in values["parts"])
        return cls(**values)
