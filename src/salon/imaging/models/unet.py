"""The denoiser: a small U-Net (Ronneberger et al. 2015) on 16 x 16 x 16 patches.

Inputs: the noised picture, the reference (the prior's picture), the time and the
text. Time and sentence act on every channel by scale and shift (FiLM, Perez et al.
2018); the words, and the sentence again, are extra keys of the attention at 8 x 8
and 4 x 4, so that a place in the picture can look up a word.

The output is x0 in the preconditioned form derived in ``imaging/schedules.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.schedules import c_out, c_skip
from salon.imaging.text import TEXT_WIDTH

CHANNELS = (64, 128, 256)
CONDITION = 384
PATCH = 16
_FREQUENCIES = 32


class FiLMBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; the condition scales and shifts."""

    def __init__(self, width_in: int, width_out: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.film = nn.Linear(condition, 2 * width_out)
        self.norm2 = nn.GroupNorm(8, width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.shortcut: nn.Module = (
            nn.Identity()
            if width_in == width_out
            else nn.Conv2d(width_in, width_out, 1)
        )
        for layer in (self.film, self.conv2):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(n, in, h, w), (n, condition) -> (n, out, h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1.0 + scale) + shift))
        result: Tensor = self.shortcut(x) + h
        return result


class TextAttention(nn.Module):
    """Every place attends to every place, to the words and to the sentence."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.query_key_value = nn.Conv2d(width, 3 * width, 1)
        self.text_key_value = nn.Linear(TEXT_WIDTH, 2 * width)
        self.leave = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias if self.leave.bias is not None else Tensor())

    def forward(self, x: Tensor, text: Tensor, bias: Tensor) -> Tensor:
        """(n, c, h, w), text (n, k, 512), bias (n, 1, 1, h*w + k) -> (n, c, h, w)."""
        n, c, h, w = x.shape
        q, k, v = (
            part.reshape(n, self.heads, c // self.heads, h * w)
            for part in self.query_key_value(self.norm(x)).chunk(3, dim=1)
        )
        text_k, text_v = (
            part.transpose(1, 2).reshape(n, self.heads, c // self.heads, -1)
            for part in self.text_key_value(text).chunk(2, dim=2)
        )
        k, v = torch.cat([k, text_k], dim=3), torch.cat([v, text_v], dim=3)
        scores = q.transpose(2, 3) @ k / math.sqrt(c // self.heads) + bias
        mixed = v @ scores.softmax(dim=3).transpose(2, 3)
        result: Tensor = x + self.leave(mixed.reshape(n, c, h, w))
        return result


def time_features(t: Tensor) -> Tensor:
    """(n,) in 0..1 -> (n, 64): sines and cosines of 32 frequencies up to 1000."""
    steps = torch.linspace(0.0, 1.0, _FREQUENCIES, device=t.device)
    angles = t[:, None] * torch.exp(steps * math.log(1000.0))[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class UNet(nn.Module):
    """About 10 M parameters at the default widths."""

    def __init__(
        self, channels: tuple[int, int, int] = CHANNELS, condition: int = CONDITION
    ) -> None:
        super().__init__()
        a, b, c = channels
        self.time = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
        )
        self.sentence = nn.Linear(TEXT_WIDTH, condition)
        self.word_sum = nn.Linear(TEXT_WIDTH, condition)
        self.mix = nn.Linear(condition, condition)
        self.enter = nn.Conv2d(3 * PATCH, a, 3, padding=1)
        self.down1 = FiLMBlock(a, a, condition)
        self.half1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.down2 = FiLMBlock(b, b, condition)
        self.attend2 = TextAttention(b)
        self.half2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.down3 = FiLMBlock(c, c, condition)
        self.attend3 = TextAttention(c)
        self.middle = FiLMBlock(c, c, condition)
        self.up3 = FiLMBlock(2 * c, c, condition)
        self.double2 = nn.Conv2d(c, b, 3, padding=1)
        self.up2 = FiLMBlock(2 * b, b, condition)
        self.attend_up2 = TextAttention(b)
        self.double1 = nn.Conv2d(b, a, 3, padding=1)
        self.up1 = FiLMBlock(2 * a, a, condition)
        self.norm = nn.GroupNorm(8, a)
        self.leave = nn.Conv2d(a, PATCH, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias if self.leave.bias is not None else Tensor())

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        reference: Tensor,
        pooled: Tensor,
        words: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Return x0 (n, 16, 16, 16).

        ``x`` and ``reference`` (n, 16, 16, 16) patches, ``t`` (n,) in (0, 1],
        ``pooled`` (n, 512), ``words`` (n, 6, 512), ``mask`` (n, 6).
        """
        at = t[:, None, None, None]
        innovation = x - (1.0 - at) * reference
        estimate = reference + c_skip(at) * innovation
        condition = self._condition(t, pooled, words, mask)
        text = torch.cat([words, pooled.unsqueeze(1)], dim=1)
        # Scaled to about unit size whatever t is, as Karras et al. do with c_in.
        residual = innovation / (at**2 + 0.0625 * (1.0 - at) ** 2).sqrt()
        inputs = torch.cat([estimate, reference, residual], dim=1)
        return estimate + c_out(at) * self._network(inputs, condition, text, mask)

    def _condition(
        self, t: Tensor, pooled: Tensor, words: Tensor, mask: Tensor
    ) -> Tensor:
        count = mask.sum(dim=1, keepdim=True).clamp(min=1.0)
        summed = (words * mask.unsqueeze(-1)).sum(dim=1) / count.sqrt()
        mixed = (
            self.time(time_features(t)) + self.sentence(pooled) + self.word_sum(summed)
        )
        result: Tensor = F.silu(self.mix(F.silu(mixed)))
        return result

    def _network(self, x: Tensor, c: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        bias8, bias4 = _text_bias(mask, 64), _text_bias(mask, 16)
        skip1 = self.down1(self.enter(x), c)
        skip2 = self.attend2(self.down2(self.half1(skip1), c), text, bias8)
        skip3 = self.attend3(self.down3(self.half2(skip2), c), text, bias4)
        h = self.middle(skip3, c)
        h = self.up3(torch.cat([h, skip3], dim=1), c)
        h = self.double2(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        h = self.attend_up2(self.up2(torch.cat([h, skip2], dim=1), c), text, bias8)
        h = self.double1(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        h = self.up1(torch.cat([h, skip1], dim=1), c)
        result: Tensor = self.leave(F.silu(self.norm(h)))
        return result


def _text_bias(mask: Tensor, places: int) -> Tensor:
    """(n, 6) -> (n, 1, 1, places + 7): places and sentence open, padding closed."""
    n = mask.shape[0]
    closed = (mask - 1.0) * 1e4
    opened = torch.zeros(n, places, dtype=mask.dtype, device=mask.device)
    bias = torch.cat([opened, closed, opened[:, :1]], dim=1)
    return bias[:, None, None, :]
