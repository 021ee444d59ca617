"""The U-Net of latent diffusion: noise, time and *words* in, noise (or v) out.

Rombach et al. 2022 (arXiv 2112.10752), section 3.3. The shape is DDPM's
(:mod:`~salon.imaging.models.ddpm_unet`): down, middle, up, skips, t in every residual
block. New is that residual blocks alternate with transformers in which each place of
the map asks the rows of the text (:mod:`~salon.imaging.models.attention`)::

    x_t ─ conv_in ─ CrossAttnDown ─ CrossAttnDown ─ … ─ Down ─ mid ─ Up ─ … ─ conv_out
    t   ─ cosines, sines ─ two linear layers ─▶ every residual block
    text (B, rows, cross) ────────────────────▶ every CrossAttn block and the middle

Stable Diffusion 1.5 is ``STABLE_DIFFUSION_1``: words at 64, 32 and 16 places a side and
in the middle, *none* at the bottom level: 859,520,964 parameters, which a test counts.
With the bare level at the top it is another network, and none of its weights fit.

Blocks, names and shapes are diffusers' ``UNet2DConditionModel``: weights can be loaded
there, and the other way round. Not built here: SDXL's second text and its sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.models.attention import Transformer2D
from salon.imaging.models.autoencoder_kl import refuse_other
from salon.imaging.models.blocks import (
    Downsample,
    Norm,
    ResnetBlock,
    TimestepEmbedding,
    Upsample,
    sinusoidal,
    zero,
)

_EPSILON = 1e-5


@dataclass(frozen=True)
class ConditionConfig:
    """Everything that decides the shape of the network.

    Raises:
        ValueError: counts do not fit each other; the message names them.
    """

    sample_size: int
    """Side of a latent that it is made for; others work as well."""
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    words: tuple[bool, ...] = (True, True, True, False)
    """For each level on the way down, whether it asks the text."""
    layers: int = 2
    cross: int = 768
    """Width of the rows of text."""
    heads: tuple[int, ...] = (8, 8, 8, 8)
    """Attention heads of each level. diffusers' files call this
    ``attention_head_dim``, which it is not (huggingface/diffusers#2011)."""
    latents: int = 4
    groups: int = 32
    linear: bool = False
    """See ``attention.py::Transformer2D``; Stable Diffusion 2 has it."""

    def __post_init__(self) -> None:
        levels = len(self.widths)
        if not levels == len(self.words) == len(self.heads):
            raise ValueError("widths, words and heads must be given for every level")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % self.groups or width % heads:
                raise ValueError(
                    f"width {width} must be a multiple of groups ({self.groups}) "
                    f"and of heads ({heads})"
                )
        if self.sample_size % (1 << (levels - 1)):
            raise ValueError(
                f"latents of side {self.sample_size} cannot be halved {levels - 1} times"
            )

    @property
    def norm(self) -> Norm:
        """Of every group normalisation outside the transformers."""
        return Norm(self.groups, _EPSILON)

    def as_diffusers(self) -> dict[str, Any]:
        """The ``config.json`` with which diffusers builds the same network."""
        one = len(set(self.heads)) == 1
        return {
            "_class_name": "UNet2DConditionModel",
            "sample_size": self.sample_size,
            "in_channels": self.latents,
            "out_channels": self.latents,
            "block_out_channels": list(self.widths),
            "layers_per_block": self.layers,
            "down_block_types": [
                "CrossAttnDownBlock2D" if w else "DownBlock2D" for w in self.words
            ],
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "up_block_types": [
                "CrossAttnUpBlock2D" if w else "UpBlock2D" for w in self.words[::-1]
            ],
            "cross_attention_dim": self.cross,
            "attention_head_dim": self.heads[0] if one else list(self.heads),
            "use_linear_projection": self.linear,
            "norm_num_groups": self.groups,
            "norm_eps": _EPSILON,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "downsample_padding": 1,
            "mid_block_scale_factor": 1,
            "center_input_sample": False,
            "act_fn": "silu",
        }

    @classmethod
    def from_diffusers(cls, values: dict[str, Any]) -> ConditionConfig:
        """The inverse; raises ValueError for a network that is not built here."""
        try:
            widths = tuple(int(c) for c in values["block_out_channels"])
            heads = values.get("attention_head_dim", 8)
            config = cls(
                int(values["sample_size"]),
                widths,
                tuple(kind.startswith("Cross") for kind in values["down_block_types"]),
                int(values["layers_per_block"]),
                int(values["cross_attention_dim"]),
                (int(heads),) * len(widths) if isinstance(heads, int) else tuple(heads),
                int(values["in_channels"]),
                int(values.get("norm_num_groups", 32)),
                bool(values.get("use_linear_projection", False)),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the U-Net's config.json lacks {error}") from error
        foreign = dict.fromkeys(
            (
                "addition_embed_type",
                "class_embed_type",
                "num_attention_heads",
                "encoder_hid_dim_type",
                "time_cond_proj_dim",
                "attention_type",
            ),
            None,
        ) | {"transformer_layers_per_block": 1, "dual_cross_attention": False}
        if values.get("attention_type") == "default":
            foreign["attention_type"] = "default"
        refuse_other(values, config.as_diffusers() | foreign, "U-Net")
        return config


STABLE_DIFFUSION_1 = ConditionConfig(64)
STABLE_DIFFUSION_2 = ConditionConfig(96, cross=1024, heads=(5, 10, 20, 20), linear=True)


class _Level(nn.Module):
    """Residual blocks of one level, each with its transformer where words are asked."""

    def __init__(
        self,
        pairs: list[tuple[int, int]],
        heads: int,
        config: ConditionConfig,
        *,
        words: bool,
    ) -> None:
        super().__init__()
        time = 4 * config.widths[0]
        if words:
            self.attentions = nn.ModuleList(
                [_transformer(out, heads, config) for _, out in pairs]
            )
        self.resnets = nn.ModuleList(
            [ResnetBlock(a, b, time, config.norm) for a, b in pairs]
        )

    def layer(self, i: int, x: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """The i-th residual block and its transformer."""
        x = self.resnets[i](x, time)
        result: Tensor = (
            self.attentions[i](x, text) if hasattr(self, "attentions") else x
        )
        return result


def _transformer(width: int, heads: int, config: ConditionConfig) -> Transformer2D:
    return Transformer2D(
        width, config.cross, heads, config.groups, linear=config.linear
    )


class DownLevel(_Level):
    """One level on the way down; halves the map unless it is the last."""

    def __init__(
        self, before: int, level: int, config: ConditionConfig, *, last: bool
    ) -> None:
        width = config.widths[level]
        pairs = [(before, width), *[(width, width)] * (config.layers - 1)]
        super().__init__(pairs, config.heads[level], config, words=config.words[level])
        if not last:
            self.downsamplers = nn.ModuleList([Downsample(width)])

    def forward(
        self, x: Tensor, time: Tensor, text: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return what goes on down, and the skips: the map after every layer."""
        skips = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, time, text)
            skips.append(x)
        if hasattr(self, "downsamplers"):
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips


class UpLevel(_Level):
    """One level on the way up: one layer for each skip of its twin."""

    def __init__(
        self,
        before: int,
        skips: list[int],
        level: int,
        config: ConditionConfig,
    ) -> None:
        width = config.widths[level]
        coming = [before, *[width] * (len(skips) - 1)]
        pairs = [(a + b, width) for a, b in zip(coming, skips, strict=True)]
        super().__init__(pairs, config.heads[level], config, words=config.words[level])
        if level > 0:
            self.upsamplers = nn.ModuleList([Upsample(width)])

    def forward(
        self, x: Tensor, skips: list[Tensor], time: Tensor, text: Tensor
    ) -> Tensor:
        """Take the skips off the end of the list."""
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], dim=1), time, text)
        if hasattr(self, "upsamplers"):
            x = self.upsamplers[0](x)
        return x


class MiddleLevel(_Level):
    """Two residual blocks with a transformer between them; words are always asked."""

    def __init__(self, config: ConditionConfig) -> None:
        width = config.widths[-1]
        super().__init__([(width, width)] * 2, config.heads[-1], config, words=False)
        self.attentions = nn.ModuleList([_transformer(width, config.heads[-1], config)])

    def forward(self, x: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, c, h, w)."""
        x = self.attentions[0](self.resnets[0](x, time), text)
        result: Tensor = self.resnets[1](x, time)
        return result


class UNet2DCondition(nn.Module):
    """epsilon_theta(z_t, t, text), or v; shapes in the module's drawing."""

    def __init__(self, config: ConditionConfig) -> None:
        super().__init__()
        self.config = config
        widths, first, end = config.widths, config.widths[0], len(config.widths) - 1
        self.conv_in = nn.Conv2d(config.latents, first, 3, padding=1)
        self.time_embedding = TimestepEmbedding(first)

        self.down_blocks = nn.ModuleList()
        skips, before = [first], first
        for level, width in enumerate(widths):
            last = level == end
            self.down_blocks.append(DownLevel(before, level, config, last=last))
            skips += [width] * (config.layers + (not last))
            before = width
        self.mid_block = MiddleLevel(config)
        self.up_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            mine = [skips.pop() for _ in range(config.layers + 1)]
            self.up_blocks.append(UpLevel(before, mine, level, config))
            before = widths[level]

        self.conv_norm_out = config.norm(first)
        self.conv_out = nn.Conv2d(first, config.latents, 3, padding=1)
        zero(self.conv_out)

    def forward(self, z_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """z_t (B, latents, h, w), t (B,) ints, text (B, rows, cross) -> as z_t."""
        waves = sinusoidal(t, self.config.widths[0], cosines_first=True, shift=0)
        time = self.time_embedding(waves)
        x = self.conv_in(z_t)
        skips = [x]
        for down in self.down_blocks:
            x, more = down(x, time, text)
            skips += more
        x = self.mid_block(x, time, text)
        for up in self.up_blocks:
            x = up(x, skips, time, text)
        result: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return result
