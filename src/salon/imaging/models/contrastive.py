"""The judge: pictures and words as directions in one space.

A small residual network (He et al. 2016, pre-activation order of 2016b) turns a
picture of 48 px on white into a unit vector; a linear map turns a sentence vector of
the frozen encoder into another. They are trained (``training/contrastive.py``) so
that pictures of one label by different hands, and the label's words, point the same
way (CLIP, Radford et al. 2021, arXiv 2103.00020, with a closed list of labels).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.text import TEXT_WIDTH

SIDE = 48
"""Pixels a side that the judge looks at."""
SPACE = 256
"""Dimensions of the common space."""


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))); halves the side where stride is 2."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(width_in, width_out, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h / stride, w / stride)."""
        h = self.conv1(F.relu(self.norm1(x)))
        h = self.conv2(F.relu(self.norm2(h)))
        result: Tensor = self.shortcut(x) + h
        return result


class PictureTower(nn.Module):
    """image (n, 3, 48, 48) in [-1, 1] on white -> (n, SPACE) of norm 1."""

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        depths: tuple[int, ...] = (1, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, widths[0], 4, 2, 1, bias=False)
        blocks: list[nn.Module] = []
        width = widths[0]
        for i, (wide, depth) in enumerate(zip(widths, depths, strict=True)):
            for j in range(depth):
                stride = 2 if j == 0 and i > 0 else 1
                blocks.append(ResidualBlock(width, wide, stride))
                width = wide
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.GroupNorm(8, width)
        # The last map is 3 x 3: where things are tells "left arrow" from "right".
        self.leave = nn.Linear(width * 9, SPACE)

    def forward(self, image: Tensor) -> Tensor:
        """(n, 3, 48, 48) -> (n, SPACE), rows of norm 1."""
        h = F.relu(self.norm(self.blocks(self.enter(image))))
        h = F.adaptive_avg_pool2d(h, 3)
        return F.normalize(self.leave(h.flatten(1)), dim=1)


class Judge(nn.Module):
    """Picture tower, text map, and one learned remainder per label.

    A label's direction is ``normalise(text_map(vector) + remainder)``: the words place
    it, the remainder corrects what the words do not say about looks. Only the map is
    there for free text.
    """

    def __init__(self, labels: int, tower: PictureTower | None = None) -> None:
        super().__init__()
        self.tower = tower or PictureTower()
        self.text_map = nn.Linear(TEXT_WIDTH, SPACE)
        self.remainder = nn.Parameter(torch.zeros(labels, SPACE))
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    def directions(self, vectors: Tensor) -> Tensor:
        """Label vectors (labels, 512) -> (labels, SPACE), rows of norm 1."""
        return F.normalize(self.text_map(vectors) + self.remainder, dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """The picture tower."""
        result: Tensor = self.tower(image)
        return result
