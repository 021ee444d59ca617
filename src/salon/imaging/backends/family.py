"""The configuration that a single file lacks, as a diffusers folder without weights.

Shapes come from the file (``layout.py``). What a shape does not show is the same for
all of a family, and stands here: heads of attention, activations, the noise schedule,
the autoencoder's scale. The sources are the families' papers and programs: Rombach et
al. 2022 (CompVis/stable-diffusion, v1-inference.yaml), Stability-AI/stablediffusion
(v2-inference.yaml, v2-inference-v.yaml), Podell et al. 2023 (Stability-AI/generative-
models, sd_xl_base.yaml), and OpenAI's and LAION's CLIP.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from salon.imaging.backends.layout import (
    SIZE_WIDTH,
    Autoencoder,
    Family,
    Layout,
    Text,
    Unet,
)
from salon.imaging.clip_tokenizer import ClipTokenizer

PIPELINES: dict[Family, str] = {
    "1": "StableDiffusionPipeline",
    "2": "StableDiffusionPipeline",
    "XL": "StableDiffusionXLPipeline",
}
_HEADS = 8
"""Of version 1, in every block."""
_HEAD_WIDTH = 64
"""Of everything since, and of all text encoders."""
_SCALE: dict[Family, float] = {"1": 0.18215, "2": 0.18215, "XL": 0.13025}
"""One by the deviation of the autoencoder's latents."""
_START, _END = 49406, 49407


def write(layout: Layout, folder: Path, *, v_prediction: bool) -> None:
    """Write ``model_index.json`` and the parts' configurations. Raises OSError.

    Args:
        layout: what the file holds.
        folder: an empty one; a few hundred kilobytes, most of them the vocabulary.
        v_prediction: the network was trained on v and not on epsilon.
    """
    family = layout.family
    scheduler = _scheduler(layout, v_prediction)
    _save(folder / "model_index.json", _index(layout, scheduler["_class_name"]))
    _save(folder / "scheduler" / "scheduler_config.json", scheduler)
    unet = _unet(layout.unet, family, _native(family, v_prediction))
    _save(folder / "unet" / "config.json", unet)
    _save(folder / "vae" / "config.json", _vae(layout.autoencoder, family))
    rules = ClipTokenizer.load()
    for text, ending in zip(layout.texts, ("", "_2"), strict=False):
        pooled = ending == "_2"
        _save(folder / f"text_encoder{ending}" / "config.json", _text(text, pooled))
        padding = {"padding": "!"} if text.open else {}
        rules.save(folder / f"tokenizer{ending}", length=text.places, **padding)


def _index(layout: Layout, scheduler: str) -> dict[str, Any]:
    common = {
        "_class_name": PIPELINES[layout.family],
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
    }
    if layout.family != "XL":
        return common | {
            "safety_checker": [None, None],
            "requires_safety_checker": False,
        }
    return common | {
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "force_zeros_for_empty_prompt": True,
    }


def _native(family: Family, v_prediction: bool) -> int:
    """Side of the latents in training: 512, 768 or 1024 pixels."""
    if family == "XL":
        return 128
    return 96 if family == "2" and v_prediction else 64


def _scheduler(layout: Layout, v_prediction: bool) -> dict[str, Any]:
    """1000 steps, the roots of beta on a straight line."""
    kind = {"1": "PNDMScheduler", "2": "DDIMScheduler", "XL": "EulerDiscreteScheduler"}
    zero = {"rescale_betas_zero_snr": True} if layout.zero_snr else {}
    return {
        "_class_name": kind[layout.family],
        "num_train_timesteps": 1000,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "v_prediction" if v_prediction else "epsilon",
        "timestep_spacing": "trailing" if layout.zero_snr else "leading",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "clip_sample": False,
        **zero,
    }


def _unet(unet: Unet, family: Family, native: int) -> dict[str, Any]:
    down = ["CrossAttnDownBlock2D" if d else "DownBlock2D" for d in unet.depths]
    up = ["CrossAttnUpBlock2D" if d else "UpBlock2D" for d in reversed(unet.depths)]
    # diffusers takes the middle's depth from the last block, used or not
    depths = [d or 1 for d in unet.depths[:-1]] + [unet.depths[-1] or unet.middle]
    heads: Any = _HEADS  # `attention_head_dim` counts heads, whatever its name says
    if unet.linear:
        heads = [max(1, c // _HEAD_WIDTH) for c in unet.channels]
    config = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": native,
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "down_block_types": down,
        "up_block_types": up,
        "block_out_channels": list(unet.channels),
        "layers_per_block": unet.layers,
        "transformer_layers_per_block": depths,
        "cross_attention_dim": unet.context,
        "attention_head_dim": heads,
        "use_linear_projection": unet.linear,
        "upcast_attention": family == "2",  # 2.1 overflows in half precision
    }
    if unet.label is None:
        return config
    return config | {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_WIDTH,
        "projection_class_embeddings_input_dim": unet.label,
    }


def _vae(vae: Autoencoder, family: Family) -> dict[str, Any]:
    n = len(vae.channels)
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": 1024 if family == "XL" else 512,
        "in_channels": vae.colours,
        "out_channels": vae.colours,
        "latent_channels": vae.latent,
        "down_block_types": ["DownEncoderBlock2D"] * n,
        "up_block_types": ["UpDecoderBlock2D"] * n,
        "block_out_channels": list(vae.channels),
        "layers_per_block": vae.layers,
        "scaling_factor": _SCALE[family],
        "force_upcast": family == "XL",  # its decoder overflows in half precision
    }


def _text(text: Text, pooled: bool) -> dict[str, Any]:
    return {
        "architectures": ["CLIPTextModelWithProjection" if pooled else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": text.vocabulary,
        "max_position_embeddings": text.places,
        "hidden_size": text.width,
        "intermediate_size": text.feedforward,
        "num_hidden_layers": text.layers,
        "num_attention_heads": max(1, text.width // _HEAD_WIDTH),
        "hidden_act": "gelu" if text.open else "quick_gelu",
        "projection_dim": text.projection or text.width,
        "bos_token_id": _START,
        "eos_token_id": _END,
        "pad_token_id": 0 if text.open else _END,
    }


def _save(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), "utf-8")
