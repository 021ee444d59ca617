"""The KL autoencoder of latent diffusion (Rombach et al. 2022, section 3.1).

Pictures are mostly texture that no eye needs: an autoencoder puts them aside, so that
diffusion works on what is left, f times smaller in each direction::

    x (B, c, H, W) ─ encoder ─ quant_conv ─▶ mean, logvar     q(z | x), diagonal Gaussian
    z (B, 4, H/f, W/f) ─ post_quant_conv ─ decoder ─▶ x       f = 2^(levels - 1)

It is a VAE (Kingma & Welling 2014) with a very small KL term: latents should stay near
N(0, I) in scale, and be decodable nearby, but pictures come first. Nothing in it is
fixed to one size: pictures may have any sides that f divides.

Latents have the scale that they happen to have; ``scaling_factor`` = 1 / their standard
deviation brings them to 1, which is what the diffusion's noise presumes. ``encode`` and
``decode`` are unscaled, as diffusers' are: who diffuses latents scales them.

Blocks, names and shapes are diffusers' ``AutoencoderKL``: weights can be loaded there,
and the other way round. RGB has 3 channels, RGBA 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.models.attention import SpatialAttention
from salon.imaging.models.blocks import Downsample, Norm, ResnetBlock, Upsample

_EPSILON = 1e-6
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Of the attention's layers in files from before 2023 (Stable Diffusion 1.5's)."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Everything that decides the shape, and the scale of the latents.

    Raises:
        ValueError: the groups do not divide a channel count.
    """

    channels: int = 3
    """Of a picture: 3 for RGB, 4 for RGBA."""
    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    """Residual blocks a level on the way in; one more on the way out."""
    latents: int = 4
    """Channels of a latent."""
    groups: int = 32
    image_size: int = 512
    """Side of the pictures it was trained on; others work as well."""
    scaling_factor: float = 0.18215

    def __post_init__(self) -> None:
        if any(width % self.groups for width in self.widths):
            raise ValueError(f"groups: {self.groups} must divide all of {self.widths}")

    @property
    def factor(self) -> int:
        """f: pixels of a picture for one place of a latent, along a side."""
        return 1 << (len(self.widths) - 1)

    def as_diffusers(self) -> dict[str, Any]:
        """The ``config.json`` with which diffusers builds the same network."""
        return {
            "_class_name": "AutoencoderKL",
            "in_channels": self.channels,
            "out_channels": self.channels,
            "down_block_types": ["DownEncoderBlock2D"] * len(self.widths),
            "up_block_types": ["UpDecoderBlock2D"] * len(self.widths),
            "block_out_channels": list(self.widths),
            "layers_per_block": self.layers,
            "act_fn": "silu",
            "latent_channels": self.latents,
            "norm_num_groups": self.groups,
            "sample_size": self.image_size,
            "scaling_factor": self.scaling_factor,
        }

    @classmethod
    def from_diffusers(cls, values: dict[str, Any]) -> AutoencoderConfig:
        """The inverse; raises ValueError for a network that is not built here."""
        try:
            config = cls(
                int(values["in_channels"]),
                tuple(int(c) for c in values["block_out_channels"]),
                int(values["layers_per_block"]),
                int(values["latent_channels"]),
                int(values.get("norm_num_groups", 32)),
                int(values.get("sample_size", 512)),
                float(values.get("scaling_factor", 0.18215)),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the autoencoder's config.json lacks {error}") from error
        expected = config.as_diffusers() | {
            "mid_block_add_attention": True,
            "use_quant_conv": True,
            "use_post_quant_conv": True,
            "shift_factor": None,
        }
        refuse_other(values, expected, "autoencoder")
        return config


def refuse_other(values: dict[str, Any], expected: dict[str, Any], what: str) -> None:
    """Raise ValueError where a ``config.json`` asks for what is not built here."""
    for name, wanted in expected.items():
        if values.get(name, wanted) != wanted:
            raise ValueError(
                f"the {what}'s config.json has {name} = {values[name]!r}; "
                f"only {wanted!r} can be built here"
            )


class DiagonalGaussianDistribution:
    """q(z | x): each number of a latent has its own mean and variance.

    Args:
        parameters: (B, 2 c, h, w): means, then logarithms of variances, which are cut
            to -30...20 so that neither they nor their exponentials overflow.
    """

    def __init__(self, parameters: Tensor) -> None:
        self.mean, logvar = parameters.chunk(2, dim=1)
        self.logvar = logvar.clamp(-30.0, 20.0)
        self.std = torch.exp(0.5 * self.logvar)

    def sample(self, noise: Tensor) -> Tensor:
        """Draw mean + std * noise, noise ~ N(0, I): differentiable in mean and std."""
        return self.mean + self.std * noise

    def mode(self) -> Tensor:
        """The most probable latent."""
        return self.mean

    def kl(self) -> Tensor:
        """KL(q || N(0, I)), summed over a latent: (B,), at least 0."""
        each = self.mean**2 + self.logvar.exp() - 1.0 - self.logvar
        return 0.5 * each.flatten(1).sum(1)


class _Level(nn.Module):
    """Residual blocks of one level, then perhaps a change of size."""

    def __init__(
        self,
        widths: list[int],
        norm: Norm,
        *,
        halve: bool = False,
        double: bool = False,
    ) -> None:
        super().__init__()
        pairs = pairwise(widths)
        self.resnets = nn.ModuleList([ResnetBlock(a, b, None, norm) for a, b in pairs])
        if halve:
            down = Downsample(widths[-1], one_sided=True)
            self.downsamplers = nn.ModuleList([down])
        if double:
            self.upsamplers = nn.ModuleList([Upsample(widths[-1])])

    def forward(self, x: Tensor) -> Tensor:
        """(B, first, h, w) -> (B, last, h', w')."""
        for resnet in self.resnets:
            x = resnet(x)
        for name in ("downsamplers", "upsamplers"):
            if hasattr(self, name):
                x = getattr(self, name)[0](x)
        return x


class _Middle(nn.Module):
    """Two residual blocks with attention between them, at the smallest map."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([SpatialAttention(width, norm)])
        self.resnets = nn.ModuleList(
            [ResnetBlock(width, width, None, norm) for _ in range(2)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, c, h, w)."""
        result: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return result


class Encoder(nn.Module):
    """(B, channels, H, W) -> (B, 2 * latents, H / f, W / f)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        norm, widths = Norm(config.groups, _EPSILON), config.widths
        self.conv_in = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            run = [before, *[width] * config.layers]
            self.down_blocks.append(_Level(run, norm, halve=level < len(widths) - 1))
            before = width
        self.mid_block = _Middle(before, norm)
        self.conv_norm_out = norm(before)
        self.conv_out = nn.Conv2d(before, 2 * config.latents, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        result: Tensor = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))
        return result


class Decoder(nn.Module):
    """(B, latents, h, w) -> (B, channels, f h, f w)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        norm, widths = Norm(config.groups, _EPSILON), config.widths[::-1]
        self.conv_in = nn.Conv2d(config.latents, widths[0], 3, padding=1)
        self.mid_block = _Middle(widths[0], norm)
        self.up_blocks = nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            run = [before, *[width] * (config.layers + 1)]
            self.up_blocks.append(_Level(run, norm, double=level < len(widths) - 1))
            before = width
        self.conv_norm_out = norm(before)
        self.conv_out = nn.Conv2d(before, config.channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        result: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return result


class AutoencoderKL(nn.Module):
    """Encoder and decoder; see the module."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latents, 2 * config.latents, 1)
        self.post_quant_conv = nn.Conv2d(config.latents, config.latents, 1)
        self.decoder = Decoder(config)

    def encode(self, x: Tensor) -> DiagonalGaussianDistribution:
        """q(z | x) for pictures (B, channels, H, W) in [-1, 1].

        Raises:
            ValueError: a side is no multiple of f, or channels are missing.
        """
        f, c = self.config.factor, self.config.channels
        if x.shape[1] != c or x.shape[2] % f or x.shape[3] % f:
            raise ValueError(
                f"pictures need {c} channels and sides that are multiples of {f}, "
                f"got {tuple(x.shape)}"
            )
        return DiagonalGaussianDistribution(self.quant_conv(self.encoder(x)))

    def decode(self, z: Tensor) -> Tensor:
        """(B, latents, h, w) -> (B, channels, f h, f w), about [-1, 1], not cut."""
        result: Tensor = self.decoder(self.post_quant_conv(z))
        return result

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct: decode the most probable latent."""
        return self.decode(self.encode(x).mode())

    def decoder_parameters(self) -> list[nn.Parameter]:
        """What may be tuned without moving any latent (as sd-vae-ft-mse did)."""
        return [*self.post_quant_conv.parameters(), *self.decoder.parameters()]

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """``load_state_dict``, strict, and with the attention's old names as well."""
        self.load_state_dict(
            {_new_name(k): _new_shape(k, v) for k, v in weights.items()}
        )


def _new_name(name: str) -> str:
    head, dot, rest = name.rpartition(".attentions.0.")
    layer, _, kind = rest.partition(".")
    return f"{head}{dot}{_OLD_NAMES.get(layer, layer)}.{kind}" if dot else name


def _new_shape(name: str, value: Tensor) -> Tensor:
    old = ".attentions." in name and value.ndim == 4  # 1 x 1 convolutions once
    return value[:, :, 0, 0] if old else value
