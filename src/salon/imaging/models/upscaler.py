"""32 -> 128: six residual blocks, then sub-pixel convolution (Shi et al. 2016).

All convolutions run at 32 x 32; the last one writes 16 values per pixel and channel
that are rearranged into a 4 x 4 block, added to the bilinear enlargement: what the
network has to supply is sharpness. Added to the nearest neighbours instead it first
has to learn to undo their steps, and a few thousand batches left some of them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

SCALE = 4


class ConvBlock(nn.Module):
    """x + conv(silu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        result: Tensor = x + self.conv2(F.silu(self.conv1(x)))
        return result


class Upscaler(nn.Module):
    """0.28 M parameters at the default width."""

    def __init__(self, width: int = 48, blocks: int = 6) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, 4 * SCALE**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias if self.leave.bias is not None else Tensor())

    def forward(self, canvas: Tensor) -> Tensor:
        """(n, 4, h, w) -> (n, 4, 4h, 4w)."""
        x = self.enter(canvas)
        detail = F.pixel_shuffle(self.leave(x + self.blocks(x)), SCALE)
        smooth = F.interpolate(canvas, scale_factor=float(SCALE), mode="bilinear")
        return detail + smooth
