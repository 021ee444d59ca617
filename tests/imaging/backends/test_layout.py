"""What a file is, from names and shapes alone; sizes of the real ones, on no memory."""

import json
from typing import Any

import pytest

from salon.imaging.backends import family
from salon.imaging.backends.layout import Autoencoder, Layout, Text, Unet
from salon.imaging.card import ModelUnusable
from tests.imaging.backends import needs

UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["lora_unet_down_blocks_0.lora_down.weight"], r"is a LoRA.*with --lora"),
        (["unet.down_blocks.0.attn.to_q.lora_A.weight"], "is a LoRA"),
        (["emb_params"], "is a learned word"),
        (["control_model.time_embed.0.weight"], "is a ControlNet"),
        ([f"{UNET}joint_blocks.0.x_block.mlp.fc1.weight"], "is a Stable Diffusion 3"),
        (["double_blocks.0.img_attn.norm.key_norm.scale"], "is a Flux"),
        ([f"{UNET}input_blocks.0.0.weight", "edm_mean"], "EDM's noise"),
        (["down_blocks.0.resnets.0.conv1.weight"], "one part of a diffusers folder"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight"], "one part of a diffusers"),
        (["a.b.c", "d.e.f"], r"no Stable Diffusion 1, 2 or XL.*called a\.b, d\.e\. A"),
        ([], r"its tensors are called \(there are none\)"),
        ([f"{UNET}input_blocks.0.0.weight", f"{UNET}odd.weight"], "odd.weight is none"),
    ],
)
def test_what_is_no_such_model_is_named(names, words) -> None:
    with pytest.raises(ModelUnusable, match=words):
        Layout.of(dict.fromkeys(names, (4, 4, 3, 3)))


SD = {
    "sample_size": 64,
    "in_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
XL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 2),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
UNETS: dict[str, dict[str, Any]] = {
    "1": SD,
    "2": SD
    | {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "XL": XL,
}
EXPECTED = {
    "1": Unet(
        4, 4, (320, 640, 1280, 1280), 2, (1, 1, 1, 0), 1, 768, linear=False, label=None
    ),
    "2": Unet(
        4, 4, (320, 640, 1280, 1280), 2, (1, 1, 1, 0), 1, 1024, linear=True, label=None
    ),
    "XL": Unet(
        4, 4, (320, 640, 1280), 2, (0, 2, 10), 10, 2048, linear=True, label=2816
    ),
}
CLIP_L = Text(False, 768, 12, 3072, 77, 49408, None)
CLIP_H = Text(True, 1024, 23, 4096, 77, 49408, 1024)
CLIP_G = Text(True, 1280, 32, 5120, 77, 49408, 1280)
PARAMETERS = {"1": 859_520_964, "2": 865_910_724, "XL": 2_567_463_684}
"""Of the U-Nets, as their authors count them."""


def _clip(text: Text, prefix: str) -> dict[str, tuple[int, ...]]:
    where = f"{prefix}encoder.layers."
    shapes: dict[str, tuple[int, ...]] = {
        f"{where}{i}.mlp.fc1.weight": (text.feedforward, text.width)
        for i in range(text.layers)
    }
    shapes[f"{prefix}embeddings.token_embedding.weight"] = (49408, text.width)
    shapes[f"{prefix}embeddings.position_embedding.weight"] = (77, text.width)
    return shapes


def _open_clip(text: Text, prefix: str, layers: int) -> dict[str, tuple[int, ...]]:
    where = f"{prefix}transformer.resblocks."
    shapes: dict[str, tuple[int, ...]] = {
        f"{where}{i}.mlp.c_fc.weight": (text.feedforward, text.width)
        for i in range(layers)
    }
    shapes[f"{prefix}token_embedding.weight"] = (49408, text.width)
    shapes[f"{prefix}positional_embedding"] = (77, text.width)
    shapes[f"{prefix}text_projection"] = (text.width, text.projection or 0)
    return shapes


def _texts(kind: str) -> dict[str, tuple[int, ...]]:
    if kind == "1":
        return _clip(CLIP_L, "cond_stage_model.transformer.text_model.")
    if kind == "2":
        return _open_clip(CLIP_H, "cond_stage_model.model.", 24)
    return _clip(
        CLIP_L, "conditioner.embedders.0.transformer.text_model."
    ) | _open_clip(CLIP_G, "conditioner.embedders.1.model.", 32)


@pytest.fixture(scope="module")
def real(request) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a model of the real size."""
    needs.diffusers()
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from tests.imaging.backends import ldm

    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS[request.param])
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    tensors = ldm.unet_names(unet) | ldm.vae_names(vae)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    return shapes | _texts(request.param)


@pytest.mark.parametrize(
    ("real", "kind", "texts"),
    [
        ("1", "1", (CLIP_L,)),
        ("2", "2", (CLIP_H,)),
        ("XL", "XL", (CLIP_L, CLIP_G)),
    ],
    indirect=["real"],
)
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_real_sizes_are_recognised_and_configured(
    real, kind, texts, tmp_path
) -> None:
    import torch
    from diffusers import UNet2DConditionModel

    layout = Layout.of(real)
    assert layout.family == kind
    assert layout.unet == EXPECTED[kind]
    assert layout.autoencoder == Autoencoder(3, 4, (128, 256, 512, 512), 2)
    assert layout.texts == texts
    family.write(layout, tmp_path, v_prediction=kind == "2")
    config = json.loads((tmp_path / "unet" / "config.json").read_text())
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    counted = sum(parameter.numel() for parameter in unet.parameters())
    assert counted == PARAMETERS[kind]
    given = {name: UNETS[kind][name] for name in UNETS[kind]}
    if kind == "2":
        given["sample_size"] = 96  # v: trained at 768 pixels
    said = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    assert {name: said[name] for name in given} == given


@pytest.mark.parametrize("real", ["XL"], indirect=True)
@pytest.mark.torch
def test_a_refiner_is_named(real) -> None:
    prefix = "conditioner.embedders.1."
    one = {
        name.replace(prefix, "conditioner.embedders.0."): shape
        for name, shape in real.items()
        if not name.startswith("conditioner.embedders.0.")
    }

    with pytest.raises(ModelUnusable, match="is a refiner of Stable Diffusion XL"):
        Layout.of(one)


CHANGES: list[tuple[dict[str, tuple[int, ...] | None], str]] = [
    (
        {f"{UNET}input_blocks.0.0.weight": (320, 8, 3, 3)},
        "reads 8 channels and draws 4",
    ),
    (
        {f"{UNET}label_emb.0.0.weight": (1280, 999)},
        "Stable Diffusion 1 .*wants a label",
    ),
    (
        {f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 1024)},
        "reads text of 1024 numbers, and its text encoders write 768",
    ),
    (
        {
            "cond_stage_model.transformer.text_model.embeddings.token_embedding"
            ".weight": (30_000, 768)
        },
        "knows 30,000 tokens",
    ),
    (
        {"first_stage_model.encoder.down.2.attn.0.q.weight": (1, 1)},
        "outside of its mid",
    ),
    (
        {"first_stage_model.encoder.conv_in.weight": None},
        r"autoencoder of the file.*encoder.conv_in.weight is missing",
    ),
    ({f"{UNET}out.2.weight": (4,)}, r"out.2.weight is flat"),
    (
        {f"{UNET}output_blocks.5.1.transformer_blocks.1.norm1.weight": (1280,)},
        "its way up does not mirror its way down",
    ),
]


@pytest.mark.parametrize("real", ["1"], indirect=True)
@pytest.mark.parametrize(("change", "words"), CHANGES)
@pytest.mark.torch
def test_a_model_that_is_built_otherwise_is_refused(real, change, words) -> None:
    shapes = {k: v for k, v in (real | change).items() if v is not None}

    with pytest.raises(ModelUnusable, match=words):
        Layout.of(shapes)
