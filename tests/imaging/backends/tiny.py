"""Tiny random Stable Diffusions, made on the spot: nothing is downloaded.

The tokenizer is CLIP's with an alphabet and no merges, so one letter is one token.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

SD = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


def tokenizer(folder: Path) -> CLIPTokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(n) for n in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )


def text_encoder(kind: Any, tokens: CLIPTokenizer) -> Any:
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            intermediate_size=64,
            projection_dim=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=tokens.bos_token_id,
            eos_token_id=tokens.eos_token_id,
            pad_token_id=tokens.eos_token_id,
        )
    ).eval()


def vae(colours: int = 3, latent: int = 4) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=colours,
        out_channels=colours,
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent,
        norm_num_groups=8,
        sample_size=32,
        shift_factor=0.0,
    ).eval()


def unet(cross: int = 32, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=more.pop("in_channels", 4),
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross,
        attention_head_dim=8,
        norm_num_groups=8,
        **more,
    ).eval()


def stable_diffusion(folder: Path, **more: Any) -> Path:
    """Version 1: a folder as Stable Diffusion 1.5 has it, PNDM and all."""
    torch.manual_seed(0)
    tokens = tokenizer(folder / "tokenizer-files")
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder(CLIPTextModel, tokens),
        tokenizer=tokens,
        unet=unet(**more),
        scheduler=PNDMScheduler(
            **SD, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=True
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def zero_snr(folder: Path) -> Path:
    """Version 1 with v-prediction and a zero terminal SNR."""
    stable_diffusion(folder)
    scheduler = DDIMScheduler(
        **SD,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
    )
    scheduler.save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def xl(folder: Path) -> Path:
    torch.manual_seed(0)
    tokens = tokenizer(folder / "tokenizer-files")
    StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=text_encoder(CLIPTextModel, tokens),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, tokens),
        tokenizer=tokens,
        tokenizer_2=tokens,
        unet=unet(
            64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        ),
        scheduler=DDIMScheduler(**SD, steps_offset=1, clip_sample=False),
    ).save_pretrained(folder)
    return folder


def sticker(folder: Path) -> Path:
    """Transparent pictures, no text encoder, as Salon's own latent models are."""
    torch.manual_seed(0)
    StableDiffusionPipeline(
        vae=vae(colours=4),
        text_encoder=None,
        tokenizer=None,
        unet=unet(512),
        scheduler=DDIMScheduler(
            **SD,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            steps_offset=1,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def sd3(folder: Path) -> Path:
    """Flow matching with a transformer: nothing that our loop knows."""
    torch.manual_seed(0)
    tokens = tokenizer(folder / "tokenizer-files")
    StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=64,
            pooled_projection_dim=64,
            out_channels=16,
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(latent=16),
        text_encoder=text_encoder(CLIPTextModelWithProjection, tokens),
        tokenizer=tokens,
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, tokens),
        tokenizer_2=tokens,
        text_encoder_3=None,
        tokenizer_3=None,
    ).save_pretrained(folder)
    return folder


def lora(folder: Path, model: Path, name: str, seed: int) -> Path:
    """Random LoRA weights for the folder's U-Net, as diffusers saves them."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    network = UNet2DConditionModel.from_pretrained(model / "unet")
    network.add_adapter(
        LoraConfig(
            r=4,
            lora_alpha=8,
            init_lora_weights=False,
            target_modules=["to_k", "to_q", "to_v", "to_out.0"],
        )
    )
    StableDiffusionPipeline.save_lora_weights(
        folder, get_peft_model_state_dict(network), weight_name=f"{name}.safetensors"
    )
    return folder / f"{name}.safetensors"
