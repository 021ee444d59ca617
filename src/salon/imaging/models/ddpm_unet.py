"""The U-Net of DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239, appendix B).

It answers with the noise in x_t, for any t. Read it from below::

    x_t ─ conv_in ─┬─ down 0 ─┬─ down 1 ─┬─ … ─ mid ─ … ─┬─ up 1 ─┬─ up 0 ─ conv_out
                   └ skips ───┼──────────┼───────────────┘        │
                              └──────────┴────────────────────────┘
    t ─ sines ─ two linear layers ─▶ added inside *every* residual block

* Down the path the picture halves and the channels grow: *what* is there. Up the path
  it grows again, and each block is handed what its twin on the way down saw: *where*.
  The noise is as fine as the pixels, so without these skips it could not be answered.
* Without t the network could not know whether a faint blob is a picture or noise: one
  set of weights serves all T noise levels because every block is told which it is.
* Attention, at the one resolution where the map is at most 16 x 16, lets far corners
  agree; at full resolution its cost would be the square of a thousand places.

Modules have the names they have in diffusers' ``UNet2DModel``, and the same shapes: the
``state_dict`` can be loaded there, and the other way round. The paper's model for
CIFAR-10 (``SIZES["paper"]`` at 32 pixels) has 35,746,307 parameters here, there and,
rounded to 35.7 million, in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.models.attention import SpatialAttention
from salon.imaging.models.blocks import (
    Downsample,
    Norm,
    ResnetBlock,
    TimestepEmbedding,
    Upsample,
    sinusoidal,
    zero,
)

ATTENTION_AT = 16
"""Attention is used at the largest resolution that does not exceed this (paper)."""


@dataclass(frozen=True)
class Size:
    """How large a network is: channels of each level, and blocks on each."""

    channels: tuple[int, ...]
    layers: int
    groups: int
    """Of the group normalisation; divides every channel count."""


SIZES = {
    "tiny": Size((16, 32), 1, 4),
    "small": Size((32, 64, 128), 1, 8),
    "default": Size((64, 128, 192, 256), 2, 16),
    "paper": Size((128, 256, 256, 256), 2, 32),
}


@dataclass(frozen=True)
class UNetConfig:
    """Everything that decides the shape of the network.

    Raises:
        ValueError: the picture's side cannot be halved once for each level.
    """

    image_size: int
    """Side of the square picture, in pixels."""
    size: Size
    dropout: float = 0.0
    pictures: int = 3
    """Channels of a picture."""

    def __post_init__(self) -> None:
        halvings = 2 ** (len(self.size.channels) - 1)
        if self.image_size < 2 * halvings or self.image_size % halvings:
            raise ValueError(
                f"image size must be a multiple of {halvings} and at least "
                f"{2 * halvings} for this network, got {self.image_size}"
            )

    @property
    def norm(self) -> Norm:
        """Of every group normalisation."""
        return Norm(self.size.groups, _EPSILON)

    @property
    def attention(self) -> list[bool]:
        """For each level, whether it has attention: exactly one does."""
        sides = [self.image_size >> level for level in range(len(self.size.channels))]
        small = [level for level, side in enumerate(sides) if side <= ATTENTION_AT]
        chosen = small[0] if small else len(sides) - 1
        return [level == chosen for level in range(len(sides))]

    def as_diffusers(self) -> dict[str, Any]:
        """The ``config.json`` with which diffusers builds the same network."""
        attention = self.attention
        return {
            "_class_name": "UNet2DModel",
            "sample_size": self.image_size,
            "in_channels": self.pictures,
            "out_channels": self.pictures,
            "block_out_channels": list(self.size.channels),
            "layers_per_block": self.size.layers,
            "down_block_types": [
                "AttnDownBlock2D" if a else "DownBlock2D" for a in attention
            ],
            "up_block_types": [
                "AttnUpBlock2D" if a else "UpBlock2D" for a in attention[::-1]
            ],
            "attention_head_dim": None,
            "dropout": self.dropout,
            "norm_num_groups": self.size.groups,
            "norm_eps": _EPSILON,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
            "downsample_padding": 1,
            "act_fn": "silu",
        }

    @classmethod
    def from_diffusers(cls, values: dict[str, Any]) -> UNetConfig:
        """The inverse of :meth:`as_diffusers`.

        Raises:
            ValueError: the file describes a network that this module does not build.
        """
        try:
            size = Size(
                tuple(int(c) for c in values["block_out_channels"]),
                int(values["layers_per_block"]),
                int(values["norm_num_groups"]),
            )
            config = cls(
                int(values["sample_size"]),
                size,
                float(values.get("dropout", 0.0)),
                int(values["in_channels"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the network's config.json lacks {error}") from error
        for name, expected in config.as_diffusers().items():
            if values.get(name, expected) != expected:
                raise ValueError(
                    f"the network's config.json has {name} = {values[name]!r}; "
                    f"only {expected!r} can be built here"
                )
        return config


_EPSILON = 1e-6


class Block(nn.Module):
    """Residual blocks of one level, each with its attention where there is any."""

    def __init__(
        self,
        widths: list[int],
        width_out: int,
        time: int,
        config: UNetConfig,
        *,
        attention: bool,
    ) -> None:
        super().__init__()
        if attention:
            self.attentions = nn.ModuleList(
                [SpatialAttention(width_out, config.norm) for _ in widths]
            )
        self.resnets = nn.ModuleList(
            [
                ResnetBlock(w, width_out, time, config.norm, config.dropout)
                for w in widths
            ]
        )

    def layer(self, i: int, x: Tensor, time: Tensor) -> Tensor:
        """The i-th residual block and its attention."""
        x = self.resnets[i](x, time)
        result: Tensor = self.attentions[i](x) if hasattr(self, "attentions") else x
        return result


class DownBlock(Block):
    """One level on the way down; halves the map unless it is the last."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        time: int,
        config: UNetConfig,
        *,
        attention: bool,
        last: bool,
    ) -> None:
        widths = [width_in, *[width_out] * (config.size.layers - 1)]
        super().__init__(widths, width_out, time, config, attention=attention)
        if not last:
            self.downsamplers = nn.ModuleList([Downsample(width_out)])

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what goes on down, and the skips: the map after every layer."""
        skips = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, time)
            skips.append(x)
        if hasattr(self, "downsamplers"):
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips


class UpBlock(Block):
    """One level on the way up: one layer for each skip of its twin."""

    def __init__(
        self,
        width_in: int,
        skips: list[int],
        width_out: int,
        time: int,
        config: UNetConfig,
        *,
        attention: bool,
        last: bool,
    ) -> None:
        coming = [width_in, *[width_out] * (len(skips) - 1)]
        widths = [a + b for a, b in zip(coming, skips, strict=True)]
        super().__init__(widths, width_out, time, config, attention=attention)
        if not last:
            self.upsamplers = nn.ModuleList([Upsample(width_out)])

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor) -> Tensor:
        """Take the skips off the end of the list."""
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], dim=1), time)
        if hasattr(self, "upsamplers"):
            x = self.upsamplers[0](x)
        return x


class MidBlock(Block):
    """Two residual blocks with attention between them, at the smallest map."""

    def __init__(self, width: int, time: int, config: UNetConfig) -> None:
        super().__init__([width, width], width, time, config, attention=False)
        self.attentions = nn.ModuleList([SpatialAttention(width, config.norm)])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, c, h, w)."""
        result: Tensor = self.resnets[1](
            self.attentions[0](self.resnets[0](x, time)), time
        )
        return result


class DDPMUNet(nn.Module):
    """epsilon_theta(x_t, t); shapes in the module's drawing."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, layers = config.size.channels, config.size.layers
        first, last, time = channels[0], channels[-1], 4 * channels[0]
        self.conv_in = nn.Conv2d(config.pictures, first, 3, padding=1)
        self.time_embedding = TimestepEmbedding(first)
        end = len(channels) - 1

        self.down_blocks = nn.ModuleList()
        skips, before = [first], first
        for level, (width, attention) in enumerate(
            zip(channels, config.attention, strict=True)
        ):
            block = DownBlock(
                before, width, time, config, attention=attention, last=level == end
            )
            self.down_blocks.append(block)
            skips += [width] * (layers + (level != end))
            before = width

        self.mid_block = MidBlock(last, time, config)

        self.up_blocks = nn.ModuleList()
        for level in reversed(range(len(channels))):
            width, attention = channels[level], config.attention[level]
            mine = [skips.pop() for _ in range(layers + 1)]
            up = UpBlock(
                before, mine, width, time, config, attention=attention, last=level == 0
            )
            self.up_blocks.append(up)
            before = width

        self.conv_norm_out = config.norm(first)
        self.conv_out = nn.Conv2d(first, config.pictures, 3, padding=1)
        zero(self.conv_out)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_t (B, 3, H, W) in about [-1, 1], t (B,) ints -> (B, 3, H, W)."""
        time = self.time_embedding(sinusoidal(t, self.config.size.channels[0]))
        x = self.conv_in(x_t)
        skips = [x]
        for down in self.down_blocks:
            x, more = down(x, time)
            skips += more
        x = self.mid_block(x, time)
        for up in self.up_blocks:
            x = up(x, skips, time)
        result: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return result
