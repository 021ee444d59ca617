"""Attention (Vaswani et al. 2017): within a picture, and from a picture to words.

::

    attention(q, k, v) = softmax(q k^T / sqrt(d)) v

* *Self-attention*: places of a map ask places of the same map, so that far corners
  agree.
* *Cross-attention* (Rombach et al. 2022, section 3.3): places ask, **words** answer.
  q comes from the map, k and v from the rows of the text; every place takes from the
  text what concerns it. This is how a prompt steers a latent diffusion.

A row of zeros as a word has key and value 0 (neither has a bias): it is a place to
look at when no word concerns one, and adds nothing.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from salon.imaging.models.blocks import Norm, zero

_TRANSFORMER_NORM_EPSILON = 1e-6
"""Of the group normalisation before a transformer; 1e-6 also where blocks use 1e-5."""


class SpatialAttention(nn.Module):
    """Every place of the map looks at every other; one head, added to the input."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.group_norm = norm(width)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        zero(self.to_out[0])

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, h, w) -> (B, c, h, w)."""
        places = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, h * w, c)
        q, k, v = self.to_q(places), self.to_k(places), self.to_v(places)
        mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])
        out = self.to_out[0](mixed[:, 0])  # (B, h * w, c)
        result: Tensor = x + out.transpose(1, 2).reshape(x.shape)
        return result


class CrossAttention(nn.Module):
    """Several heads; asks rows of ``context``, or its own where there are none.

    Args:
        width: of what asks and of the result.
        context: width of the rows that are asked; None for self-attention.
        heads: divides ``width``.
    """

    def __init__(self, width: int, context: int | None, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context or width, width, bias=False)
        self.to_v = nn.Linear(context or width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, places: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, n, width), (B, rows, context) -> (B, n, width)."""
        asked = places if context is None else context
        q = self._split(self.to_q(places))
        k, v = self._split(self.to_k(asked)), self._split(self.to_v(asked))
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, n, d)
        result: Tensor = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return result

    def _split(self, x: Tensor) -> Tensor:
        """(B, n, heads * d) -> (B, heads, n, d)."""
        return x.unflatten(2, (self._heads, -1)).transpose(1, 2)


class GEGLU(nn.Module):
    """Half of a linear layer gates the other (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., inner)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        result: Tensor = value * F.gelu(gate)
        return result


class FeedForward(nn.Module):
    """GEGLU to four times the width, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # net[1] is diffusers' dropout, which Stable Diffusion sets to 0.
        self.net = nn.ModuleList(
            [GEGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        for layer in self.net:
            x = layer(x)
        return x


class BasicTransformerBlock(nn.Module):
    """Places among themselves, places to words, each place for itself."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = CrossAttention(width, None, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = CrossAttention(width, context, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, n, width), (B, rows, context) -> (B, n, width)."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        result: Tensor = x + self.ff(self.norm3(x))
        return result


class Transformer2D(nn.Module):
    """A map read as a sequence of places, sent through transformer blocks, added.

    Args:
        width: channels of the map.
        context: width of the rows of text.
        heads: of every attention in it.
        groups: of the normalisation before.
        linear: ``proj_in`` and ``proj_out`` are linear layers (Stable Diffusion 2)
            and no 1 x 1 convolutions (1.5): the same arithmetic, other shapes.
        depth: transformer blocks.
    """

    def __init__(
        self,
        width: int,
        context: int,
        heads: int,
        groups: int,
        *,
        linear: bool = False,
        depth: int = 1,
    ) -> None:
        super().__init__()
        self._linear = linear
        self.norm = nn.GroupNorm(groups, width, eps=_TRANSFORMER_NORM_EPSILON)
        self.proj_in = nn.Linear(width, width) if linear else nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList(
            [BasicTransformerBlock(width, context, heads) for _ in range(depth)]
        )
        self.proj_out = (
            nn.Linear(width, width) if linear else nn.Conv2d(width, width, 1)
        )
        zero(self.proj_out)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, width, h, w), (B, rows, context) -> (B, width, h, w)."""
        normed = self.norm(x)
        if self._linear:
            places = self.proj_in(normed.flatten(2).transpose(1, 2))
        else:
            places = self.proj_in(normed).flatten(2).transpose(1, 2)  # (B, h * w, c)
        for block in self.transformer_blocks:
            places = block(places, context)
        if self._linear:
            places = self.proj_out(places)
        back = places.transpose(1, 2).reshape(x.shape)
        result: Tensor = x + (back if self._linear else self.proj_out(back))
        return result
