"""The prior: text vectors -> a blurry 32 x 32 picture, by plain regression.

Where things are in a picture is learned very slowly by a U-Net that sees the text
only through scale and shift: nothing in it is tied to a place. A fully connected
network has one weight per (feature, pixel) pair and learns the layout of every label
in minutes, at a thirtieth of the cost per sample. What regression cannot do, decide
between several answers, is left to the U-Net.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.text import TEXT_WIDTH

WIDTH = 960
PIXELS = 4 * 32 * 32


class ResidualMLP(nn.Module):
    """x + W2 silu(W1 norm(x)), the second layer starting at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        result: Tensor = x + self.outer(F.silu(self.inner(self.norm(x))))
        return result


class Prior(nn.Module):
    """8.6 M parameters at the default width."""

    def __init__(self, width: int = WIDTH, blocks: int = 2) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * TEXT_WIDTH, width)
        self.blocks = nn.ModuleList(ResidualMLP(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, PIXELS)

    def forward(self, pooled: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Return the canvas (n, 4, 32, 32) of n conditions.

        ``pooled`` (n, 512), ``words`` (n, 6, 512), ``mask`` (n, 6). The words enter
        as their sum over the root of their number, which keeps its size steady.
        """
        count = mask.sum(dim=1, keepdim=True).clamp(min=1.0)
        summed = (words * mask.unsqueeze(-1)).sum(dim=1) / count.sqrt()
        x = F.silu(self.enter(torch.cat([pooled, summed], dim=1)))
        for block in self.blocks:
            x = block(x)
        canvas: Tensor = self.leave(F.silu(self.norm(x)))
        return canvas.reshape(-1, 4, 32, 32)
