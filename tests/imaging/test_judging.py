"""The judge: what disturbance leaves, and that it learns; needs PyTorch."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.imaging.art import drawing

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip(
        "torch", reason="needs PyTorch: pip install salon[train]"
    )


def _gallery():  # type: ignore[no-untyped-def]
    """Six labels by two hands: the same shapes in other shades."""
    from salon.imaging.training.contrastive import Gallery

    shades = (("#e03030", "#c04040"), ("#3060e0", "#5070c0"))
    pictures, labels = [], []
    for i, shape in enumerate(("disc", "square", "triangle")):
        for j, hands in enumerate(shades):
            pictures += [drawing(shape, ink, ink)[::2, ::2] for ink in hands]
            labels += [2 * i + j] * 2
    vectors = np.random.default_rng(0).standard_normal((6, 512)).astype(np.float32)
    return Gallery(np.stack(pictures), np.array(labels, np.int32), vectors)


def test_disturbed_pictures_stay_pictures_and_depend_on_the_seed_only() -> None:
    from salon.imaging.training import contrastive

    canvas = contrastive.on_white(_gallery().pictures)
    first, again, other = (
        contrastive.disturb(canvas, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (12, 3, 48, 48)
    assert first.abs().max() <= 1.0
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_judge_learns_to_tell_six_labels_apart(tmp_path: Path) -> None:
    from salon.imaging.models.contrastive import Judge, PictureTower
    from salon.imaging.training import contrastive, loop

    torch.manual_seed(0)
    torch.set_num_threads(1)
    gallery = _gallery()
    judge = Judge(6, PictureTower((16, 16, 32, 32), (1, 1, 1, 1)))
    recipe = loop.Recipe("judge", 2e-3, ema=0.9, steps=60, warmup_steps=5)
    average, _ = loop.train(judge, contrastive.loss(gallery, 6), recipe, tmp_path)
    assert isinstance(average, Judge)
    vectors = torch.from_numpy(gallery.vectors)
    exam = contrastive.examine(average, gallery.pictures, gallery.label_of, vectors)
    assert exam["top1"] > 50.0  # chance: 17
    assert exam["labels"] == 6
