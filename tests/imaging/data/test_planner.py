"""Where things stand, seen on the painted picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salon.imaging.data.composition import KINDS, Composition, Part
from salon.imaging.data.dataset import HELD_OUT_PAIRS
from salon.imaging.data.dice import Dice
from salon.imaging.data.painter import Painter
from salon.imaging.data.planner import Planner
from tests.imaging.data.world import islands, library

LIBRARY = library()
PAINTER, SMALL = Painter(LIBRARY, 64), Painter(LIBRARY, 32)


def _plans(kind: str, n: int = 200, jitter: float = 1.0) -> list[Composition]:
    planner = Planner(LIBRARY, jitter)
    return [planner.plan(kind, "fluent-flat", Dice(7, i)) for i in range(n)]  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(2, 11))
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_as_many_as_are_said_can_be_counted(number: int, jitter: float) -> None:
    planner = Planner(LIBRARY, jitter, {number: 1.0})
    for i in range(10):
        plan = planner.plan("count", "fluent-flat", Dice(3, i))
        assert plan.count == len(plan.parts) == number
        assert islands(PAINTER.paint(plan)[..., 3] > 150) == number
        if number <= 6:  # more cannot be told apart on so few pixels
            assert islands(SMALL.paint(plan)[..., 3] > 150) == number


def test_without_jitter_a_number_has_one_layout_for_a_thing() -> None:
    planner = Planner(LIBRARY, 0.0, {3: 1.0})
    plans = [planner.plan("count", "fluent-flat", Dice(3, i)) for i in range(60)]
    places = {
        (plan.things[0].label, tuple((p.x, p.y) for p in plan.parts)) for plan in plans
    }
    assert len(places) == len({plan.things[0].label for plan in plans})


def test_everything_stays_inside_the_picture() -> None:
    for kind in KINDS:
        for plan in _plans(kind, 60):
            for part in plan.parts:
                assert part.x - part.width / 2 > -0.02, plan
                assert part.x + part.width / 2 < 1.02, plan
                assert part.y - part.height / 2 > -0.02, plan
                assert part.y + part.height / 2 < 1.02, plan


def test_relations_are_as_they_are_said() -> None:
    seen = set()
    for plan in _plans("relation"):
        first, second = plan.parts
        seen.add(plan.relation)
        assert _holds(plan.relation, first, second), plan
        assert plan.things[0].label.replace(" ", "-") in first.art
    assert seen == {"and", "next to", "left of", "right of", "above", "below", "on"}


def _holds(relation: str, first: Part, second: Part) -> bool:
    if relation == "right of":
        return first.x - first.width / 2 >= second.x + second.width / 2 - 0.01
    if relation in ("left of", "and", "next to"):
        return first.x + first.width / 2 <= second.x - second.width / 2 + 0.01
    if relation == "below":
        return first.y - first.height / 2 >= second.y + second.height / 2 - 0.01
    foot, top = first.y + first.height / 2, second.y - second.height / 2
    if relation == "on":  # stands on it, and over its middle
        return 0.0 < foot - top < 0.1 and abs(first.x - second.x) < second.width / 2
    return foot <= top + 0.01


def test_a_hat_sits_on_the_head_and_glasses_on_the_face() -> None:
    for plan in _plans("accessory"):
        who, what = plan.parts
        if plan.things[1].label == "glasses":
            assert abs(what.x - who.x) < 0.01
            assert abs(what.y - who.y) < who.height / 4
        else:
            assert what.y < who.y - who.height / 4
            assert what.y + what.height / 2 > who.y - who.height / 2  # touches


def test_what_is_repainted_gets_another_colour_and_no_held_out_one() -> None:
    for plan in _plans("recolour", 400):
        thing = plan.things[0]
        assert thing.colour != LIBRARY.own_colour(plan.parts[0].art)
        assert f"{thing.colour} {thing.label}" not in HELD_OUT_PAIRS


@settings(max_examples=60)
@given(kind=st.sampled_from(KINDS), index=st.integers(0, 10**9))
def test_a_composition_survives_json(kind: str, index: int) -> None:
    plan = Planner(LIBRARY).plan(kind, "fluent-flat", Dice(0, index))  # type: ignore[arg-type]
    again = Composition.from_json(plan.as_json())
    assert again == plan
    assert np.array_equal(PAINTER.paint(again), PAINTER.paint(plan))


def test_numbers_that_cannot_be_laid_out_are_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to 10, not to 12"):
        Planner(LIBRARY, numbers={12: 1.0})
    with pytest.raises(ValueError, match="jitter"):
        Planner(LIBRARY, jitter=2.0)
