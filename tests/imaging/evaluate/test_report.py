"""The examination of a model whose answers are known: it draws the gallery itself."""

import numpy as np
import pytest
from PIL import Image

from salon.imaging.data import compose
from salon.imaging.data.recolour import PALETTE
from salon.imaging.evaluate import report
from salon.imaging.evaluate.gallery import Gallery
from salon.imaging.evaluate.prompts import THINGS, WORN, compositions
from salon.imaging.evaluate.sheet import composition_sheet
from salon.imaging.ports import Defaults, Maker, OnStep, Picture
from salon.imaging.request import PictureRequest
from tests.imaging.art import drawing


def _gallery() -> Gallery:
    """A few dozen labels, each its own shape and place, so that none look alike."""
    needed = [thing.label for thing in THINGS.values()] + list(WORN)
    labels = list(dict.fromkeys(needed + [f"thing {i}" for i in range(20)]))
    rng = np.random.default_rng(0)
    pictures = []
    for i in range(len(labels)):
        ink = "#{:02x}{:02x}{:02x}".format(*rng.integers(0, 256, 3))
        picture = drawing(("disc", "square", "triangle")[i % 3], ink, ink)
        box = np.zeros((128, 128, 4), np.uint8)
        side = 64 + 8 * (i % 8)
        box[64 - side // 2 : 64 + side // 2, 64 - side // 2 : 64 + side // 2] = (
            np.array(Image.fromarray(picture).resize((side, side)))
        )
        pictures.append(box)
    names = dict.fromkeys(("en", "zh", "ru"), labels)
    return Gallery(names, np.stack(pictures))


class _Copyist:
    """Draws labels as the gallery has them; compositions from its parts."""

    maker = Maker("copyist", "1")
    defaults = Defaults(1, 1.0, "", 128, 128)
    samplers = ()

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._items = {p: i for i in compositions() for p in i.prompts.values()}

    def imagine(
        self, request: PictureRequest, on_step: OnStep | None = None
    ) -> Picture:
        picture = np.zeros((128, 128, 4), np.uint8)
        item = self._items.get(request.prompt)
        if request.prompt in self._gallery.labels:
            picture = self._gallery.picture(request.prompt)
        elif item is not None and item.kind == "count":
            disc = drawing("disc", "red")
            picture = compose.several(disc, item.count)
        elif item is not None and item.kind == "colour":
            ink = "#{:02x}{:02x}{:02x}".format(*PALETTE[item.colour])
            picture = drawing("disc", ink, ink)
        return Picture(Image.fromarray(picture), request, self.maker)


@pytest.fixture(scope="module")
def found() -> dict:
    gallery = _gallery()
    known = set(gallery.labels) - {"thing 3"}
    exam = report.Examination(_Copyist(gallery), gallery, {}, known)
    figures = exam.run(count=12)
    return figures | {"sheet": composition_sheet(exam.sheet)}


def test_a_copyist_finds_every_label_and_is_told_to_copy(found: dict) -> None:
    for split in ("seen", "seen_half", "zh", "ru", "held_out"):
        assert found[split]["pixels"] == {"top1": 100.0, "top5": 100.0}
    assert found["memory"] == {"median_gap": 0.0, "copies": 100.0}
    assert found["diversity"] == 0.0


def test_compositions_are_judged_kind_by_kind(found: dict) -> None:
    english = found["compositions"]["en"]
    assert english["count"] == 100.0
    assert english["colour"] == 100.0
    assert english["worn"] <= 20.0  # drew nothing
    assert english["pair"] <= 20.0


def test_the_sheet_shows_all_hundred(found: dict) -> None:
    assert found["sheet"].size == (20 * 72, 5 * 84)


def test_the_cost_of_the_shipped_model_is_measured_in_a_process_of_its_own() -> None:
    cost = report.cost(None)
    assert 50 < cost["peak_rss_mb"] < 1000
    assert 0 < cost["first_preview_seconds"] <= cost["seconds"] * 2
