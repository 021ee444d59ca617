"""Pictures for people."""

import numpy as np

from salon.imaging import plots
from salon.imaging.runtime import EmbeddedModel


def test_the_sheet_shows_every_prompt() -> None:
    sheet = np.asarray(plots.sample_sheet(EmbeddedModel.load()))
    cells = sum(len(prompts) for prompts in plots.SHEET.values())
    height = 18 * len(plots.SHEET) + 110 * (2 + 1 + 1 + 1)
    assert sheet.shape == (height, 12 * 96, 3)
    assert cells == 24 + 36
    assert (sheet < 250).any(axis=2).mean() > 0.2


def test_a_falling_loss_is_drawn_falling() -> None:
    curve = [(i, 60.0 * i, 1.0 / (1 + i)) for i in range(20)]
    plot = np.asarray(plots.loss_curves({"prior": curve}, (300, 200))).astype(int)
    line = np.argwhere((plot[..., 2] - plot[..., 0]) > 100)
    left, right = line[line[:, 1] < 80][:, 0], line[line[:, 1] > 250][:, 0]
    assert left.mean() < right.mean()
