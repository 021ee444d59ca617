"""What a single file holds, by the names and shapes of its tensors alone.

A checkpoint of one file is the training program's own state (CompVis' LDM, Stability's
sgm): U-Net under ``model.diffusion_model.``, autoencoder under ``first_stage_model.``,
text encoders under ``cond_stage_model.`` (versions 1 and 2) or
``conditioner.embedders.`` (XL). It has no configuration; but nearly all of it can be
read off the shapes, and what cannot is the same for all of a family (``family.py``).

What is told apart:

* **1**: one CLIP ViT-L (``cond_stage_model.transformer.``), attention in 8 heads;
* **2**: one OpenCLIP ViT-H (``cond_stage_model.model.``);
* **XL**: both a CLIP and an OpenCLIP, and a label of the picture's sizes.

Everything is counted, and what is left over is refused: a tensor that is dropped in
silence is a picture that is wrong in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from salon.imaging.card import ModelUnusable

UNET = "model.diffusion_model."
VAE = "first_stage_model."
CLIP = "cond_stage_model.transformer.text_model."
OPEN_CLIP = "cond_stage_model.model."
XL_CLIP = "conditioner.embedders.0.transformer.text_model."
XL_OPEN_CLIP = "conditioner.embedders.1.model."
ONLY_OPEN_CLIP = "conditioner.embedders.0.model."
"""Of XL's refiner, and of version 2 as sgm writes it."""

VOCABULARY = 49_408
SIZE_WIDTH = 256
"""Sinusoids of each of the six sizes that XL is told."""
SIZES = 6 * SIZE_WIDTH
"""Original size, crop corner and target size, of two numbers each."""

Shapes = Mapping[str, tuple[int, ...]]
Family = Literal["1", "2", "XL"]


@dataclass(frozen=True)
class Unet:
    """A U-Net over latents."""

    in_channels: int
    """4; 9 where it was trained for inpainting."""
    out_channels: int
    channels: tuple[int, ...]
    """One per block, the finest first."""
    layers: int
    """Residual layers of a block."""
    depths: tuple[int, ...]
    """Transformer layers of a block's attentions; 0 for none."""
    middle: int
    context: int
    """Numbers in one vector of text."""
    linear: bool
    """Attention projects with matrices; version 1 with 1 x 1 convolutions."""
    label: int | None
    """Numbers in the vector beside the time; XL's sizes and pooled text."""


@dataclass(frozen=True)
class Autoencoder:
    """Pictures to latents and back."""

    colours: int
    latent: int
    channels: tuple[int, ...]
    layers: int


@dataclass(frozen=True)
class Text:
    """A text encoder."""

    open: bool
    """OpenCLIP's; it pads with token 0 and has another activation than CLIP."""
    width: int
    layers: int
    feedforward: int
    places: int
    """How many tokens it reads; 77."""
    vocabulary: int
    projection: int | None


@dataclass(frozen=True)
class Layout:
    """A whole single file."""

    family: Family
    unet: Unet
    autoencoder: Autoencoder
    texts: tuple[Text, ...]
    v_prediction: bool = False
    """Said by a tensor named ``v_pred``, as trainers of XL mark it."""
    zero_snr: bool = False
    """Said by a tensor named ``ztsnr``."""

    @classmethod
    def of(cls, shapes: Shapes) -> Layout:
        """Recognise a file. Raises ModelUnusable; says what was found instead."""
        _refuse_others(shapes)
        unet = _unet(shapes)
        family, texts = _texts(shapes, unet)
        return cls(
            family,
            unet,
            _autoencoder(shapes),
            texts,
            "v_pred" in shapes,
            "ztsnr" in shapes,
        )


_BARE = rf"(?:{re.escape(UNET)})?"
_OTHERS: tuple[tuple[str, str], ...] = (
    (
        r"lora_|.*\.lora[_.]|.*\.hada_w|.*\.lokr_",
        "is a LoRA: it changes a model and is none; give it with --lora",
    ),
    (
        r"emb_params$|clip_[lg]$",
        "is a learned word (textual inversion), which Salon does not use",
    ),
    (
        r"control_model\.|controlnet_cond_embedding\.|input_hint_block\.",
        "is a ControlNet, which Salon does not use",
    ),
    (
        _BARE + r"joint_blocks\.",
        "is a Stable Diffusion 3; Salon reads that from a diffusers folder",
    ),
    (
        _BARE + r"(double_blocks|single_blocks|single_stream_modulation)\.",
        "is a Flux or its kin; Salon reads that from a diffusers folder",
    ),
    (
        r"edm_mean$|edm_vpred\.",
        "is an XL with EDM's noise (Playground 2.5, CosXL); Salon reads that from a "
        "diffusers folder",
    ),
    (
        r"(down_blocks|mid_block|encoder\.down_blocks|text_model)\.",
        "is one part of a diffusers folder; name the folder that has model_index.json",
    ),
)


def _refuse_others(shapes: Shapes) -> None:
    """Say what a file is that is no Stable Diffusion 1, 2 or XL."""
    for pattern, words in _OTHERS:
        found = re.compile(pattern)
        name = next((name for name in shapes if found.match(name)), None)
        if name is not None:
            raise ModelUnusable(f"the file {words} (it has the tensor {name})")
    if f"{UNET}input_blocks.0.0.weight" not in shapes:
        firsts = sorted({".".join(name.split(".")[:2]) for name in shapes})
        some = ", ".join(firsts[:4]) + (" …" if len(firsts) > 4 else "")
        raise ModelUnusable(
            f"the file is no Stable Diffusion 1, 2 or XL in their original layout; "
            f"its tensors are called {some or '(there are none)'}. A diffusers folder "
            "is read whatever it holds"
        )


# --- the U-Net


def _unet(shapes: Shapes) -> Unet:
    of = _Reader(shapes, UNET, "U-Net")
    of.allow(
        r"(time_embed\.[02]|input_blocks|middle_block|output_blocks|out|label_emb)\."
    )
    channels, depths, layers = _down(of)
    middle = of.count(r"middle_block\.1\.transformer_blocks\.(\d+)\.")
    if not middle or not of.has("middle_block.2.in_layers.2.weight"):
        raise of.unusual("there is no attention in the middle")
    if depths[-1] not in (0, middle):
        raise of.unusual("the middle is not as deep as the last block")
    _check_up(of, depths, layers)
    where = "middle_block.1."
    label = of.shape("label_emb.0.0.weight")[1] if of.any("label_emb.") else None
    result = Unet(
        of.shape("input_blocks.0.0.weight")[1],
        of.shape("out.2.weight")[0],
        channels,
        layers,
        depths,
        middle,
        of.shape(f"{where}transformer_blocks.0.attn2.to_k.weight")[1],
        len(of.shape(f"{where}proj_in.weight")) == 2,
        label,
    )
    if result.in_channels not in (result.out_channels, 2 * result.out_channels + 1):
        raise of.unusual(
            f"it reads {result.in_channels} channels and draws {result.out_channels} "
            "(it wants a further picture, such as one to edit, enlarge or measure)"
        )
    return result


def _down(of: _Reader) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Channels and depths of the blocks on the way down, and layers of each."""
    blocks: list[list[tuple[int, int]]] = [[]]  # of (channels, depth)
    for i in range(1, 1 + of.count(r"input_blocks\.([1-9]\d*)\.")):
        if of.any(f"input_blocks.{i}.0.op."):
            blocks.append([])
            continue
        width = of.shape(f"input_blocks.{i}.0.out_layers.3.weight")[0]
        blocks[-1].append((width, _depth(of, f"input_blocks.{i}.1.")))
    kinds = [set(block) for block in blocks]
    layers = len(blocks[0])
    if any(len(kind) != 1 for kind in kinds) or any(
        len(block) != layers for block in blocks
    ):
        raise of.unusual("its layers differ within a block")
    found = [block[0] for block in blocks]
    return tuple(c for c, _ in found), tuple(d for _, d in found), layers


def _check_up(of: _Reader, depths: tuple[int, ...], layers: int) -> None:
    """The way up mirrors the way down, with one layer more in a block."""
    n = of.count(r"output_blocks\.(\d+)\.")
    expected = [d for d in reversed(depths) for _ in range(layers + 1)]
    found = [_depth(of, f"output_blocks.{i}.1.") for i in range(n)]
    if found != expected:
        raise of.unusual("its way up does not mirror its way down")


def _depth(of: _Reader, where: str) -> int:
    return of.count(rf"{re.escape(where)}transformer_blocks\.(\d+)\.")


# --- the autoencoder


def _autoencoder(shapes: Shapes) -> Autoencoder:
    of = _Reader(shapes, VAE, "autoencoder")
    if not of.any("decoder.") or not of.any("encoder."):
        raise ModelUnusable(
            "the file has no autoencoder (first_stage_model), which turns latents into "
            "pictures; name a file that has all parts, or a diffusers folder"
        )
    n = of.count(r"encoder\.down\.(\d+)\.")
    layers = of.count(r"encoder\.down\.0\.block\.(\d+)\.")
    if any(re.match(r"(encoder\.down|decoder\.up)\.\d+\.attn\.", k) for k in of.names):
        raise of.unusual("it has attention outside of its middle")
    return Autoencoder(
        of.shape("encoder.conv_in.weight")[1],
        of.shape("decoder.conv_in.weight")[1],
        tuple(of.shape(f"encoder.down.{i}.block.0.conv1.weight")[0] for i in range(n)),
        layers,
    )


# --- the text encoders


def _texts(shapes: Shapes, unet: Unet) -> tuple[Family, tuple[Text, ...]]:
    def has(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in shapes)

    family: Family
    texts: tuple[Text, ...]
    if has(XL_OPEN_CLIP) and has(XL_CLIP):
        family, texts = "XL", (_clip(shapes, XL_CLIP), _open_clip(shapes, XL_OPEN_CLIP))
        if unet.label != SIZES + (texts[1].projection or 0):
            raise ModelUnusable(
                f"the file has XL's text encoders, and a U-Net with a label of "
                f"{unet.label or 0} numbers that is not XL's"
            )
    elif has(ONLY_OPEN_CLIP) and unet.label is not None:
        raise ModelUnusable(
            "the file is a refiner of Stable Diffusion XL, which finishes pictures of "
            "another model and draws none of its own; name an XL base model"
        )
    elif has(CLIP):
        family, texts = "1", (_clip(shapes, CLIP),)
    elif has(OPEN_CLIP) or has(ONLY_OPEN_CLIP):
        prefix = OPEN_CLIP if has(OPEN_CLIP) else ONLY_OPEN_CLIP
        family, texts = "2", (_open_clip(shapes, prefix, penultimate=True),)
    else:
        raise ModelUnusable(
            "the file has a U-Net and no text encoder that Salon knows; name a file "
            "that has all parts, or a diffusers folder"
        )
    if family != "XL" and unet.label is not None:
        raise ModelUnusable(
            f"the file is a Stable Diffusion {family} whose U-Net wants a label "
            "(unCLIP, an upscaler), which Salon cannot give"
        )
    width = sum(text.width for text in texts)
    if unet.context != width:
        raise ModelUnusable(
            f"the file's U-Net reads text of {unet.context} numbers, and its text "
            f"encoders write {width}: they do not belong together"
        )
    return family, texts


def _clip(shapes: Shapes, prefix: str) -> Text:
    of = _Reader(shapes, prefix, "text encoder")
    vocabulary, width = of.shape("embeddings.token_embedding.weight")
    return _checked(
        Text(
            False,
            width,
            of.count(r"encoder\.layers\.(\d+)\."),
            of.shape("encoder.layers.0.mlp.fc1.weight")[0],
            of.shape("embeddings.position_embedding.weight")[0],
            vocabulary,
            None,
        )
    )


def _open_clip(shapes: Shapes, prefix: str, *, penultimate: bool = False) -> Text:
    """An OpenCLIP tower.

    Version 2 reads its last layer but one, so files carry a layer that is not used;
    files that were written from a diffusers folder do not, and lack the projection.
    """
    of = _Reader(shapes, prefix, "text encoder")
    vocabulary, width = of.shape("token_embedding.weight")
    layers = of.count(r"transformer\.resblocks\.(\d+)\.")
    projected = of.has("text_projection")
    return _checked(
        Text(
            True,
            width,
            layers - 1 if penultimate and projected else layers,
            of.shape("transformer.resblocks.0.mlp.c_fc.weight")[0],
            of.shape("positional_embedding")[0],
            vocabulary,
            of.shape("text_projection")[1] if projected else None,
        )
    )


def _checked(text: Text) -> Text:
    if text.vocabulary < VOCABULARY:
        raise ModelUnusable(
            f"the file's text encoder knows {text.vocabulary:,} tokens; CLIP's tokenizer "
            f"has {VOCABULARY:,}. It needs a tokenizer of its own, from a diffusers folder"
        )
    return text


class _Reader:
    """The tensors of one part, by their names within it."""

    def __init__(self, shapes: Shapes, prefix: str, part: str) -> None:
        self._part = part
        self._shapes = {
            name.removeprefix(prefix): shape
            for name, shape in shapes.items()
            if name.startswith(prefix)
        }

    @property
    def names(self) -> list[str]:
        return list(self._shapes)

    def has(self, name: str) -> bool:
        return name in self._shapes

    def any(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Two numbers at least, or one refuses the file."""
        shape = self._shapes.get(name)
        if shape is None or len(shape) < 2:
            raise self.unusual(f"{name} is {'missing' if shape is None else 'flat'}")
        return shape

    def count(self, pattern: str) -> int:
        """How many different numbers stand at the pattern's group."""
        match: Callable[[str], re.Match[str] | None] = re.compile(pattern).match
        return len({found[1] for name in self._shapes if (found := match(name))})

    def allow(self, pattern: str) -> None:
        """Refuse parts that are none of these."""
        known = re.compile(pattern)
        other = next((name for name in self._shapes if not known.match(name)), None)
        if other is not None:
            raise self.unusual(f"{other} is none of its known parts")

    def unusual(self, why: str) -> ModelUnusable:
        return ModelUnusable(
            f"the {self._part} of the file is built in a way that Salon does not know: "
            f"{why}. Name a diffusers folder of the model, or put its configuration "
            "into a folder of the file's name beside it"
        )
