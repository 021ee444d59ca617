"""A tiny random CLIP with its tokenizer, as a Stable Diffusion has them. No download."""

from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel

from salon.imaging.clip_tokenizer import ClipTokenizer


def folder(place: Path) -> Path:
    tokenizer = ClipTokenizer([("r", "e"), ("re", "d</w>"), ("d", "i")])
    tokenizer.save(place / "tokenizer")
    torch.manual_seed(0)
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer.vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=tokenizer.start,
            eos_token_id=tokenizer.end,
            pad_token_id=tokenizer.end,
        )
    ).save_pretrained(place / "text_encoder")
    return place
