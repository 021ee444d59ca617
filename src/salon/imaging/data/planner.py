"""From dice to a composition: what is shown, and where it stands.

One function for each kind. All lengths are shares of the side. Things are fitted by the
shape of what is painted, not of its frame, so that a bottle and a car both fill their
place; counted things get cells that do not overlap, so that they can be counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from salon.imaging.data.backgrounds import GROUND_SCENES, SCENES
from salon.imaging.data.composition import (
    RELATIONS,
    Composition,
    Kind,
    Part,
    Thing,
)
from salon.imaging.data.dataset import HELD_OUT_PAIRS
from salon.imaging.data.dice import Dice
from salon.imaging.data.drawings import Library
from salon.imaging.data.lexicon import BOW, GLASSES, PEOPLE, nouns
from salon.imaging.data.recolour import PALETTE
from salon.imaging.data.sources import SOURCES

NUMBERS = {2: 30.0, 3: 27.0, 4: 18.0, 5: 10.0, 6: 8.0, 7: 2.0, 8: 2.0, 9: 2.0, 10: 1.0}
"""How often each number is counted to."""
_ROWS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((1,),),
    2: ((2,), (1, 1)),
    3: ((1, 2), (2, 1), (3,), (1, 1, 1)),
    4: ((2, 2), (4,), (1, 2, 1)),
    5: ((2, 3), (3, 2), (2, 1, 2)),
    6: ((3, 3), (2, 2, 2), (1, 2, 3)),
    7: ((2, 3, 2), (3, 4), (4, 3)),
    8: ((3, 2, 3), (4, 4)),
    9: ((3, 3, 3), (4, 5)),
    10: ((3, 4, 3), (5, 5)),
}
"""Rows, from above, that a number can be laid out in; the canonical one first."""
_MARGIN = 0.02
_FILL = 0.88
"""Share of its cell that a counted thing fills at most."""
_GAP = 0.045
"""Between counted things: a pixel and a half of 32, or they could not be counted."""


class Planner:
    """Draws compositions from a library.

    Args:
        library: what there is to compose.
        jitter: 0 puts every number and pair in its canonical layout, which is easiest
            to learn for a network that regresses; 1 moves and varies.
        numbers: how often each number is counted to.
    """

    def __init__(
        self,
        library: Library,
        jitter: float = 0.5,
        numbers: Mapping[int, float] = NUMBERS,
    ) -> None:
        if not 0.0 <= jitter <= 1.0:
            raise ValueError(f"jitter must be 0 to 1, got {jitter}")
        if unknown := set(numbers) - set(_ROWS):
            raise ValueError(f"can count from 1 to {max(_ROWS)}, not to {max(unknown)}")
        self._library = library
        self._jitter = jitter
        self._numbers = numbers

    def plan(self, kind: Kind, source: str, dice: Dice) -> Composition:
        """One composition of this kind; equal dice give equal compositions."""
        make = {
            "original": self._original,
            "recolour": self._recolour,
            "accessory": self._accessory,
            "count": self._count,
            "relation": self._relation,
            "holding": self._holding,
            "background": self._background,
            "style": self._style,
        }[kind]
        return make(source, dice)

    # --- one thing ---------------------------------------------------------------

    def _original(self, source: str, dice: Dice) -> Composition:
        label = dice.of(self._library.labels(source))
        return self._alone("original", source, Thing(label))

    def _recolour(self, source: str, dice: Dice) -> Composition:
        label = dice.of(self._library.labels(source, "thing"))
        colour = self._new_colour(source, label, dice)
        return self._alone("recolour", source, Thing(label, colour))

    def _alone(self, kind: Kind, source: str, thing: Thing) -> Composition:
        key = self._key(source, thing.label)
        width, height = _fit(self._library.aspect(key), 0.96, 0.96)
        part = _part(key, thing, 0.5, 0.5, width, height)
        return Composition(kind, source, (thing,), (part,))

    def _background(self, source: str, dice: Dice) -> Composition:
        thing = self._maybe_coloured(source, dice, "thing", 0.3)
        key = self._key(source, thing.label)
        taken = thing.colour or self._library.own_colour(key)
        free = [c for c in PALETTE if c not in (taken, "grey")]
        width, height = _fit(self._library.aspect(key), 0.7, 0.7)
        y = 0.5
        if dice.chance(0.4):
            scene = dice.of(list(SCENES))
            y = 0.9 - height / 2 if scene in GROUND_SCENES else 0.45
        elif dice.chance(0.3):
            upper, lower = dice.of(free), dice.of(free)
            scene = f"{upper} to {lower}" if upper != lower else upper
        else:
            scene = dice.of(free)
        part = _part(key, thing, 0.5, y, width, height)
        return Composition("background", source, (thing,), (part,), background=scene)

    def _style(self, source: str, dice: Dice) -> Composition:
        made = "outline" if dice.chance(0.5) else "pixel art"
        style = SOURCES[source].style if dice.chance(0.4) else made
        thing = self._maybe_coloured(source, dice, "thing", 0.3)
        if style == "outline":
            thing = replace(thing, colour="")
        return replace(self._alone("style", source, thing), style=style)

    # --- several of one thing ----------------------------------------------------

    def _count(self, source: str, dice: Dice) -> Composition:
        thing = self._maybe_coloured(source, dice, "thing", 0.25)
        count = dice.weighed(self._numbers)
        key = self._key(source, thing.label)
        aspect = self._library.aspect(key)
        rows = self._rows(count, aspect, dice)
        cell_width, cell_height = 0.98 / max(rows), 0.98 / len(rows)
        width, height = _fit(
            aspect,
            min(cell_width * _FILL, cell_width - _GAP),
            min(cell_height * _FILL, cell_height - _GAP),
        )
        parts = []
        for row, number in enumerate(rows):
            for column in range(number):
                x = 0.5 + (column - (number - 1) / 2) * cell_width
                y = 0.5 + (row - (len(rows) - 1) / 2) * cell_height
                x += self._shift(dice, cell_width - width - _GAP)
                y += self._shift(dice, cell_height - height - _GAP)
                parts.append(_part(key, thing, x, y, width, height))
        return Composition("count", source, (thing,), tuple(parts), count=count)

    def _rows(self, count: int, aspect: tuple[int, int], dice: Dice) -> tuple[int, ...]:
        """The rows that leave most room; with jitter, any that leave nearly as much."""

        def size(rows: tuple[int, ...]) -> float:
            width, height = _fit(aspect, 1.0 / max(rows), 1.0 / len(rows))
            return width * height

        best = max(size(rows) for rows in _ROWS[count])
        good = [rows for rows in _ROWS[count] if size(rows) >= best * 0.75]
        return dice.of(good) if dice.chance(self._jitter) else good[0]

    def _shift(self, dice: Dice, room: float) -> float:
        """Up to half of the room that is left, to either side."""
        return dice.between(-0.5, 0.5) * max(room, 0.0) * self._jitter

    # --- two things --------------------------------------------------------------

    def _relation(self, source: str, dice: Dice) -> Composition:
        relation = dice.of(RELATIONS)
        first = self._maybe_coloured(source, dice, "thing", 0.2)
        second = self._maybe_coloured(
            source, dice, "s" if relation == "on" else "thing", 0.2
        )
        if nouns()[second.label].en == nouns()[first.label].en:
            return self._relation(source, dice)
        swap = relation in ("right of", "below")
        ordered = (second, first) if swap else (first, second)
        if relation in ("above", "below"):
            parts = self._stacked(source, *ordered)
        elif relation == "on":
            parts = self._resting(source, first, second, dice)
        else:
            parts = self._side_by_side(source, *ordered, dice)
        parts = parts[::-1] if swap else parts
        things = (first, second)
        return Composition("relation", source, things, parts, relation=relation)

    def _side_by_side(
        self, source: str, left: Thing, right: Thing, dice: Dice
    ) -> tuple[Part, ...]:
        parts = []
        floor = 0.8 + self._shift(dice, 0.1)
        for thing, x in ((left, 0.255), (right, 0.745)):
            key = self._key(source, thing.label)
            width, height = _fit(self._library.aspect(key), 0.47, 0.66)
            foot = max(floor, height + _MARGIN) if height < 0.5 else 0.5 + height / 2
            parts.append(_part(key, thing, x, foot - height / 2, width, height))
        return tuple(parts)

    def _stacked(self, source: str, upper: Thing, lower: Thing) -> tuple[Part, ...]:
        parts = []
        for thing, y in ((upper, 0.255), (lower, 0.745)):
            key = self._key(source, thing.label)
            width, height = _fit(self._library.aspect(key), 0.7, 0.46)
            parts.append(_part(key, thing, 0.5, y, width, height))
        return tuple(parts)

    def _resting(
        self, source: str, upper: Thing, lower: Thing, dice: Dice
    ) -> tuple[Part, ...]:
        """The upper one's foot touches the lower one where its top is highest."""
        below = self._key(source, lower.label)
        wide, deep = _fit(self._library.aspect(below), 0.9, 0.5)
        top = 0.98 - deep
        base = _part(below, lower, 0.5, 0.98 - deep / 2, wide, deep)
        above = self._key(source, upper.label)
        width, height = _fit(self._library.aspect(above), 0.56, top + 0.04)
        x = 0.5 + (self._library.top_centre(below) - 0.5) * wide
        x = min(max(x, width / 2 + _MARGIN), 1 - width / 2 - _MARGIN)
        rest = _part(above, upper, x, top + 0.05 - height / 2, width, height)
        return rest, base

    def _holding(self, source: str, dice: Dice) -> Composition:
        who = self._maybe_coloured(source, dice, "a", 0.15)
        what = self._maybe_coloured(source, dice, "p", 0.25)
        key, thing = self._key(source, who.label), self._key(source, what.label)
        width, height = _fit(self._library.aspect(key), 0.74, 0.92)
        small, tall = _fit(self._library.aspect(thing), 0.42, 0.46)
        x = 0.02 + width / 2
        hand = min(x + width * 0.42 + small / 2 - 0.1, 0.98 - small / 2)
        parts = (
            _part(key, who, x, 0.97 - height / 2, width, height),
            _part(thing, what, hand, 0.68, small, tall),
        )
        return Composition("holding", source, (who, what), parts, relation="holding")

    def _accessory(self, source: str, dice: Dice) -> Composition:
        label = dice.of(self._library.labels(source, "accessory"))
        role = "f" if label in GLASSES else "wearer"
        who = self._maybe_coloured(source, dice, role, 0.15)
        colour = ""
        if label not in GLASSES and dice.chance(0.2):
            colour = self._new_colour(source, label, dice)
        what = Thing(label, colour)
        place = self._glasses if label in GLASSES else self._hat
        parts = place(source, who, what)
        return Composition("accessory", source, (who, what), parts)

    def _hat(self, source: str, who: Thing, what: Thing) -> tuple[Part, ...]:
        body, hat = self._key(source, who.label), self._key(source, what.label)
        width, height = _fit(self._library.aspect(body), 0.82, 0.7)
        top = 0.98 - height
        head = 0.5 + (self._library.top_centre(body) - 0.5) * width
        bow = what.label == BOW
        wide, tall = _fit(
            self._library.aspect(hat), *((0.32, 0.24) if bow else (0.5, 0.34))
        )
        x = head + (0.16 if bow else 0.0)
        x = min(max(x, wide / 2 + _MARGIN), 1 - wide / 2 - _MARGIN)
        y = max(top + 0.12 * height - tall * 0.4, tall / 2 + 0.01)
        return (
            _part(body, who, 0.5, 0.98 - height / 2, width, height),
            _part(hat, what, x, y, wide, tall),
        )

    def _glasses(self, source: str, who: Thing, what: Thing) -> tuple[Part, ...]:
        head, lenses = self._key(source, who.label), self._key(source, what.label)
        width, height = _fit(self._library.aspect(head), 0.92, 0.92)
        wide, tall = _fit(self._library.aspect(lenses), width * 0.78, height * 0.4)
        return (
            _part(head, who, 0.5, 0.5, width, height),
            _part(lenses, what, 0.5, 0.5 - height * 0.07, wide, tall),
        )

    # --- shared ------------------------------------------------------------------

    def _key(self, source: str, label: str) -> str:
        key = self._library.key(source, label)
        assert key is not None, (source, label)
        return key

    def _maybe_coloured(
        self, source: str, dice: Dice, role: str, share: float
    ) -> Thing:
        label = dice.of(self._library.labels(source, role))
        coloured = dice.chance(share) and label not in (*GLASSES, *PEOPLE)
        return Thing(label, self._new_colour(source, label, dice) if coloured else "")

    def _new_colour(self, source: str, label: str, dice: Dice) -> str:
        """A colour the thing does not have already, and may be trained in."""
        own = self._library.own_colour(self._key(source, label))
        return dice.of(
            [c for c in PALETTE if c != own and f"{c} {label}" not in HELD_OUT_PAIRS]
        )


def _fit(aspect: tuple[int, int], width: float, height: float) -> tuple[float, float]:
    scale = min(width / aspect[0], height / aspect[1])
    return aspect[0] * scale, aspect[1] * scale


def _part(
    key: str, thing: Thing, x: float, y: float, width: float, height: float
) -> Part:
    return Part(
        key, thing.colour, round(x, 4), round(y, 4), round(width, 4), round(height, 4)
    )
