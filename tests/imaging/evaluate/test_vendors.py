"""The same labels from many hands, and the examiner that nobody trains on."""

import numpy as np

from salon.imaging.data.sources import SOURCES
from salon.imaging.evaluate import vendors
from salon.imaging.evaluate.vendors import EXAM, SIDE, TRAINED, Hands
from tests.imaging.data.world import SHAPES, packages


def test_each_label_is_drawn_and_found_by_its_vendor(tmp_path):
    hands = vendors.gather(packages(tmp_path), sources=[SOURCES["fluent-3d"]])

    assert set(hands.labels) >= set(SHAPES)
    assert hands.pictures.shape == (len(hands.label_of), SIDE, SIDE, 4)
    pictures, label_of = hands.of("fluent-3d")
    assert (len(pictures), len(set(label_of))) == (len(hands.labels),) * 2
    assert len(hands.of("noto")[0]) == 0


def test_what_was_gathered_is_kept(tmp_path):
    hands = vendors.gather(packages(tmp_path), sources=[SOURCES["fluent-3d"]])
    hands.save(tmp_path / "hands.npz")
    again = Hands.load(tmp_path / "hands.npz")

    assert again.labels == hands.labels
    assert np.array_equal(again.pictures, hands.pictures)


def test_the_examiner_is_for_evaluation_and_the_others_for_training():
    uses = {source.name: source.use for source in vendors.vendors()}
    assert uses == dict.fromkeys(TRAINED, "train") | dict.fromkeys(EXAM, "evaluate")
