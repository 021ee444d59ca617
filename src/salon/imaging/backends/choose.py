"""From a path to a model: the only place that knows all engines.

The embedded one needs nothing beyond Salon; the other is imported when it is asked for
and only then, so that torch costs nobody anything who does not use it.
"""

from __future__ import annotations

from salon.imaging.backends import single_file
from salon.imaging.backends.checkpoint import Checkpoint
from salon.imaging.backends.choice import EXTRA, Choice, LoraFile
from salon.imaging.card import ModelUnusable
from salon.imaging.ports import ImageModel

__all__ = ["EXTRA", "Choice", "LoraFile", "check", "load"]


def load(choice: Choice) -> ImageModel:
    """Load the model.

    Raises:
        ModelUnusable: theirs who run it: no model there, a pickle, a missing package;
            says what to do.
    """
    from salon.imaging.runtime import EmbeddedModel

    checkpoint = None if choice.path is None else Checkpoint.at(choice.path)
    if checkpoint is None or checkpoint.kind == "embedded":
        if choice.loras:
            raise ModelUnusable(
                "lora: the embedded model takes none; name a Stable Diffusion model"
            )
        return EmbeddedModel.load(choice.path, choice.threads)
    return _diffusers(checkpoint, choice)


def check(choice: Choice) -> None:
    """The cheap half of :func:`load`: is it there, is it safe, is it installed?"""
    if choice.path is None:
        return
    checkpoint = Checkpoint.at(choice.path)
    if checkpoint.kind == "embedded":
        return
    _installed()
    if checkpoint.kind == "file":
        single_file.check(checkpoint.path)


def _diffusers(checkpoint: Checkpoint, choice: Choice) -> ImageModel:
    _installed()
    from salon.imaging.backends.diffusers import DiffusersModel

    return DiffusersModel.load(checkpoint, choice)


def _installed() -> None:
    import importlib.util

    for package in ("torch", "diffusers", "transformers", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise ModelUnusable(
                f"this model needs the package {package}, which is not installed: "
                f"{EXTRA}"
            )
