"""How different two pictures look to a network that was trained to name pictures.

Pixels punish an edge that is one pixel off as much as a wrong colour, and so teach an
autoencoder to blur. The maps inside of a network that recognises things change with
what the eye minds (Johnson et al. 2016, arXiv 1603.08155; Zhang et al. 2018, arXiv
1801.03924, whose LPIPS this is without learned weights)::

    d(x, y) = sum over stages of mean || f(x) / |f(x)| - f(y) / |f(y)| ||^2

VGG and AlexNet with ImageNet's weights, the usual eyes, may not be passed on freely. So
the eyes are our own: the tower of ``salon train judge``, which has learned emoji.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from salon.imaging.models import disk
from salon.imaging.models.contrastive import PictureTower

JUDGE = "judge.safetensors"
_TOWER = "average.tower."
_STAGES = (0, 2, 4, 6)
"""The last block of each width of :class:`PictureTower`."""


class Perceptual(nn.Module):
    """The distance; frozen."""

    def __init__(self, tower: PictureTower) -> None:
        super().__init__()
        self.tower = tower.requires_grad_(False).eval()

    @classmethod
    def load(cls, training: Path) -> Perceptual:
        """From a folder of ``salon train judge``. Raises ModelUnreadable."""
        with disk.reading(training, "trained judge"):
            weights = disk.read_weights(training / JUDGE)
            tower = PictureTower()
            tower.load_state_dict(
                {
                    name.removeprefix(_TOWER): value
                    for name, value in weights.items()
                    if name.startswith(_TOWER)
                }
            )
        return cls(tower)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Two batches (B, 3, h, w) in [-1, 1] -> one number, 0 where they are equal."""
        total = x.new_zeros(())
        for mine, theirs in zip(self._maps(x), self._maps(y), strict=True):
            total = total + ((mine - theirs) ** 2).sum(1).mean()
        return total

    def _maps(self, x: Tensor) -> list[Tensor]:
        maps, h = [], self.tower.enter(x)
        for i, block in enumerate(self.tower.blocks):
            h = block(h)
            if i in _STAGES:
                maps.append(
                    h / (torch.linalg.vector_norm(h, dim=1, keepdim=True) + 1e-6)
                )
        return maps


def digest(training: Path) -> str:
    """Of the judge's weights. Raises ModelUnreadable."""
    with disk.reading(training, "trained judge"):
        return disk.digest(training / JUDGE)
