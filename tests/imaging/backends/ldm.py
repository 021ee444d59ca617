"""Tiny random Stable Diffusions as folders, and the same weights as single files.

The names of the original layout (CompVis' LDM, Stability's sgm) are written down here a
second time, from the other side: what is tested reads them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from salon.imaging.clip_tokenizer import ClipTokenizer
from tests.imaging.backends.tiny import SD

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Twins:
    """The same weights twice."""

    folder: Path
    file: Path


def tokenizer(place: Path, padding: str) -> CLIPTokenizer:
    ClipTokenizer.load().save(place, padding=padding)
    return CLIPTokenizer.from_pretrained(str(place))


def text_encoder(kind: Any, *, opened: bool, layers: int = 2, width: int = 64) -> Any:
    return kind(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=width,
            intermediate_size=128,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            hidden_act="gelu" if opened else "quick_gelu",
            bos_token_id=49406,
            eos_token_id=49407,
            pad_token_id=0 if opened else 49407,
        )
    ).eval()


def vae(scale: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        scaling_factor=scale,
        force_upcast=scale != 0.18215,
    ).eval()


def unet_1(in_channels: int = 4) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=64,
        in_channels=in_channels,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=8,
    ).eval()


def unet_2(in_channels: int = 4) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=64,
        in_channels=in_channels,
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
    ).eval()


def unet_xl(in_channels: int = 4) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=in_channels,
        block_out_channels=(64, 128),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=64 + 128,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=128 + 6 * 256,
    ).eval()


def version_1(place: Path, **more: Any) -> Twins:
    torch.manual_seed(0)
    pipe = StableDiffusionPipeline(
        vae=vae(0.18215),
        text_encoder=text_encoder(CLIPTextModel, opened=False),
        tokenizer=tokenizer(place / "words", "<|endoftext|>"),
        unet=unet_1(**more),
        scheduler=PNDMScheduler(
            **SD, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    tensors = _common(pipe) | _clip(pipe.text_encoder, "cond_stage_model.transformer.")
    return _saved(pipe, tensors, place)


def version_2(
    place: Path,
    *,
    prediction: str = "epsilon",
    metadata: dict[str, str] | None = None,
    **more: Any,
) -> Twins:
    """The last layer of the text encoder is in the file, and not in use."""
    torch.manual_seed(0)
    whole = text_encoder(CLIPTextModelWithProjection, opened=True, layers=3)
    used = text_encoder(CLIPTextModel, opened=True)
    weights = {k.removeprefix("text_model."): v for k, v in whole.state_dict().items()}
    own = {k: weights[k.removeprefix("text_model.")] for k in used.state_dict()}
    used.load_state_dict(own)
    pipe = StableDiffusionPipeline(
        vae=vae(0.18215),
        text_encoder=used,
        tokenizer=tokenizer(place / "words", "!"),
        unet=unet_2(**more),
        scheduler=DDIMScheduler(
            **SD,
            prediction_type=prediction,
            steps_offset=1,
            set_alpha_to_one=False,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    tensors = _common(pipe) | _open_clip(whole, "cond_stage_model.model.")
    return _saved(pipe, tensors, place, metadata)


def xl(place: Path, *, marks: tuple[str, ...] = (), **more: Any) -> Twins:
    torch.manual_seed(0)
    v = {"prediction_type": "v_prediction"} if "v_pred" in marks else {}
    zero = (
        {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        if "ztsnr" in marks
        else {"timestep_spacing": "leading"}
    )
    pipe = StableDiffusionXLPipeline(
        vae=vae(0.13025),
        text_encoder=text_encoder(CLIPTextModel, opened=False),
        text_encoder_2=text_encoder(
            CLIPTextModelWithProjection, opened=True, width=128
        ),
        tokenizer=tokenizer(place / "words", "<|endoftext|>"),
        tokenizer_2=tokenizer(place / "words2", "!"),
        unet=unet_xl(**more),
        scheduler=EulerDiscreteScheduler(**SD, steps_offset=1, **v, **zero),
    )
    tensors = _common(pipe)
    tensors |= _clip(pipe.text_encoder, "conditioner.embedders.0.transformer.")
    tensors |= _open_clip(pipe.text_encoder_2, "conditioner.embedders.1.model.")
    tensors |= {name: torch.tensor([]) for name in marks}
    return _saved(pipe, tensors, place)


def _saved(
    pipe: Any, tensors: Tensors, place: Path, metadata: dict[str, str] | None = None
) -> Twins:
    pipe.save_pretrained(place / "folder")
    whole = {name: value.contiguous().clone() for name, value in tensors.items()}
    save_file(whole, place / "model.safetensors", metadata)
    return Twins(place / "folder", place / "model.safetensors")


def _common(pipe: Any) -> Tensors:
    return unet_names(pipe.unet) | vae_names(pipe.vae)


# --- names


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}


def unet_names(unet: Any) -> Tensors:
    layers = unet.config.layers_per_block
    state = unet.state_dict()
    attentive = {name.split(".")[1] for name in state if re.match(r"up.*attent", name)}

    def renamed(name: str) -> str:
        if found := re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
            way, block, part, layer, rest = found.groups()
            first = 1 if way == "down" else 0
            i = first + int(block) * (layers + 1) + int(layer)
            last = first + int(block) * (layers + 1) + layers
            side = "input_blocks" if way == "down" else "output_blocks"
            if part == "downsamplers":
                return f"{side}.{last}.0.op.{rest.removeprefix('conv.')}"
            if part == "upsamplers":
                return f"{side}.{last}.{2 if block in attentive else 1}.{rest}"
            return f"{side}.{i}.{0 if part == 'resnets' else 1}.{_resnet(rest)}"
        for ours, theirs in _ENDS.items():
            if name.startswith(f"{ours}."):
                return theirs + "." + _resnet(name.removeprefix(f"{ours}."))
        raise AssertionError(name)

    return {f"model.diffusion_model.{renamed(n)}": v for n, v in state.items()}


def _resnet(rest: str) -> str:
    head, _, tail = rest.partition(".")
    return f"{_RESNET[head]}.{tail}" if head in _RESNET else rest


_VAE = (
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"(down|up)_blocks", r"\1"),
    (r"resnets", "block"),
    (r"(down|up)samplers\.0", r"\1sample"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
)


def vae_names(vae: Any) -> Tensors:
    blocks = len(vae.config.block_out_channels)
    result = {}
    for name, value in vae.state_dict().items():
        theirs = name
        for ours, new in _VAE:
            theirs = re.sub(ours, new, theirs)
        theirs = re.sub(
            r"decoder\.up\.(\d+)",
            lambda m: f"decoder.up.{blocks - 1 - int(m[1])}",
            theirs,
        )
        if re.search(r"attn_1\.(q|k|v|proj_out)\.weight", theirs):
            value = value[:, :, None, None]  # noqa: PLW2901 - 1 x 1 convolutions then
        result[f"first_stage_model.{theirs}"] = value
    return result


def _clip(model: Any, prefix: str) -> Tensors:
    return {
        f"{prefix}text_model.{name.removeprefix('text_model.')}": value
        for name, value in model.state_dict().items()
    }


_OPEN = (
    ("embeddings.token_embedding.weight", "token_embedding.weight"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"),
    ("encoder.layers", "transformer.resblocks"),
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.out_proj", "attn.out_proj"),
)


def _open_clip(model: Any, prefix: str) -> Tensors:
    state = {k.removeprefix("text_model."): v for k, v in model.state_dict().items()}
    result: Tensors = {}
    for name, value in state.items():
        if found := re.match(r"(.*)\.self_attn\.q_proj\.(\w+)", name):
            where, kind = found.groups()
            layer = where.replace("encoder.layers", "transformer.resblocks")
            rows = [state[f"{where}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            result[f"{layer}.attn.in_proj_{kind}"] = torch.cat(rows)
        elif name == "text_projection.weight":
            result["text_projection"] = value.T
        elif not re.search(r"self_attn\.[kv]_proj", name):
            theirs = name
            for ours, new in _OPEN:
                theirs = theirs.replace(ours, new)
            result[theirs] = value
    return {f"{prefix}{name}": value for name, value in result.items()}
