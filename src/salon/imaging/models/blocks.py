"""Parts that the U-Nets and the autoencoder share, under diffusers' names.

A *residual block* adds to its input what two convolutions make of it; a *resample*
halves or doubles the map; a *time embedding* tells a block how much noise there is.
The last layer of every residual branch begins at 0, so that an untrained network is
its skips and gradients reach every layer from the first step (Goyal et al. 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Norm:
    """How every group normalisation of a network is set up."""

    groups: int
    """Divides every channel count."""
    epsilon: float

    def __call__(self, width: int) -> nn.GroupNorm:
        return nn.GroupNorm(self.groups, width, eps=self.epsilon)


def sinusoidal(
    t: Tensor, width: int, *, cosines_first: bool = False, shift: int = 1
) -> Tensor:
    """(B,) steps -> (B, width): sines and cosines (Vaswani et al. 2017, sec. 3.5).

    Wave lengths grow from 2 pi to 10,000 * 2 pi, so that both neighbouring and distant
    steps look different. DDPM puts sines first and ends exactly at the longest wave;
    Stable Diffusion puts cosines first and ends one wave before (``shift`` 0).
    """
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device)
    waves = torch.exp(-math.log(10_000.0) * exponents / (half - shift))
    angles = t.float()[:, None] * waves
    parts = [angles.sin(), angles.cos()]
    return torch.cat(parts[::-1] if cosines_first else parts, dim=1)


class TimestepEmbedding(nn.Module):
    """(B, width) -> (B, 4 * width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, 4 * width)

    def forward(self, sines: Tensor) -> Tensor:
        """Two linear layers."""
        result: Tensor = self.linear_2(F.silu(self.linear_1(sines)))
        return result


class ResnetBlock(nn.Module):
    """norm, SiLU, conv, + time, norm, SiLU, dropout, conv, + shortcut.

    Args:
        width_in: channels that come.
        width_out: channels that go.
        time: width of the time embedding; None for a network without time.
        norm: of both normalisations.
        dropout: before the second convolution.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        time: int | None,
        norm: Norm,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        if time is not None:
            self.time_emb_proj = nn.Linear(time, width_out)
        self.norm2 = norm(width_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        if width_in != width_out:
            self.conv_shortcut = nn.Conv2d(width_in, width_out, 1)
        zero(self.conv2)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """(B, in, h, w), (B, time) -> (B, out, h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        if time is not None:
            h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        shortcut: Tensor = (
            self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x
        )
        return shortcut + h


class Downsample(nn.Module):
    """Halve the map: a convolution of stride 2.

    The U-Nets pad all around; the autoencoder on the right and below only, as the
    TensorFlow code that its weights descend from did.
    """

    def __init__(self, width: int, *, one_sided: bool = False) -> None:
        super().__init__()
        self._one_sided = one_sided
        padding = 0 if one_sided else 1
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, c, h / 2, w / 2)."""
        result: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self._one_sided else x)
        return result


class Upsample(nn.Module):
    """Double the map (nearest neighbour), then convolve."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, c, 2 h, 2 w)."""
        result: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return result


def zero(layer: nn.Module) -> None:
    """Make a layer answer 0 until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
