"""CLIP's text encoder (Radford et al. 2021, arXiv 2103.00020), as Stable Diffusion has it.

A transformer that reads from left to right: row i of the result has seen the tokens up
to i. Stable Diffusion 1 uses *all* rows after the last layer and its normalisation,
77 x 768, as words for cross-attention. It is frozen: nothing here is trained.

Names and shapes are those of transformers' ``CLIPTextModel``: its weights load here
(``clip_text_folder`` of a Stable Diffusion: ``text_encoder/``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),  # OpenAI's own models
    "gelu": F.gelu,  # LAION's (Stable Diffusion 2)
}


@dataclass(frozen=True)
class ClipTextConfig:
    """The shape; the defaults are ViT-L/14's, 12 layers of 768."""

    vocabulary: int = 49408
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    positions: int = 77
    activation: str = "quick_gelu"
    epsilon: float = 1e-5

    @classmethod
    def from_transformers(cls, values: dict[str, Any]) -> ClipTextConfig:
        """From ``config.json``; raises ValueError for what is not built here."""
        try:
            config = cls(
                int(values["vocab_size"]),
                int(values["hidden_size"]),
                int(values["num_hidden_layers"]),
                int(values["num_attention_heads"]),
                int(values["intermediate_size"]),
                int(values.get("max_position_embeddings", 77)),
                str(values.get("hidden_act", "quick_gelu")),
                float(values.get("layer_norm_eps", 1e-5)),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the text encoder's config.json lacks {error}") from error
        if config.activation not in _ACTIVATIONS:
            raise ValueError(f"hidden_act {config.activation!r} cannot be built here")
        return config


class _Embeddings(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, width)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        result: Tensor = self.token_embedding(ids) + self.position_embedding(places)
        return result


class _Attention(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self._heads = config.heads
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.q_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, width); row i sees rows up to i only."""
        q, k, v = (
            layer(x).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return result


class _MLP(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self._activation = _ACTIVATIONS[config.activation]
        self.fc1 = nn.Linear(config.width, config.inner)
        self.fc2 = nn.Linear(config.inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, width) -> (B, n, width)."""
        result: Tensor = self.fc2(self._activation(self.fc1(x)))
        return result


class _Layer(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config)
        self.layer_norm1 = nn.LayerNorm(config.width, eps=config.epsilon)
        self.mlp = _MLP(config)
        self.layer_norm2 = nn.LayerNorm(config.width, eps=config.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, width) -> (B, n, width)."""
        x = x + self.self_attn(self.layer_norm1(x))
        result: Tensor = x + self.mlp(self.layer_norm2(x))
        return result


class _Encoder(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.layers)])


class _Transformer(nn.Module):
    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.width, eps=config.epsilon)


class ClipText(nn.Module):
    """(B, n) token ids -> (B, n, width), the last hidden state."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = _Transformer(config)

    def forward(self, ids: Tensor) -> Tensor:
        """Run all layers; n is at most ``config.positions``."""
        x = self.text_model.embeddings(ids)
        for layer in self.text_model.encoder.layers:
            x = layer(x)
        result: Tensor = self.text_model.final_layer_norm(x)
        return result

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Strict, but for ``position_ids``, a constant that old files contain."""
        kept = {
            name if name.startswith("text_model.") else f"text_model.{name}": value
            for name, value in weights.items()
            if not name.endswith("position_ids")
        }
        self.load_state_dict(kept)
