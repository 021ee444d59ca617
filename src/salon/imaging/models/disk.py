"""Parts of a model folder: JSON and safetensors, each written aside and renamed.

A crash leaves the old file or the new one. Nothing that is read here is code: a folder
whose weights are a pickle is refused, by name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from salon.errors import Error

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""What diffusers calls the weights of a part; transformers says model.safetensors."""


class ModelUnreadable(Error):
    """The folder holds no model of this kind, or one that is damaged."""


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Raises OSError, or ValueError where it is no JSON object."""
    values = json.loads(path.read_text("utf-8"))
    if isinstance(values, dict):
        return values
    raise ValueError(f"{path.name} is no JSON object")


def write_weights(path: Path, network: nn.Module) -> None:
    """All of a network's numbers. Raises OSError."""
    weights = {
        k: v.detach().contiguous().cpu() for k, v in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        save_file(weights, part, metadata={"format": "pt"})
        part.replace(path)
    except SafetensorError as error:  # the library has no OSError of its own
        raise OSError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Raises FileNotFoundError, OSError, or SafetensorError where it is damaged."""
    pickles = [] if path.exists() else [*path.parent.glob("*.bin")]
    if pickles:
        raise ValueError(
            f"its weights are a pickle ({pickles[0].name}), which can run any program "
            "when it is read; convert it to safetensors where you trust it"
        )
    weights: dict[str, Tensor] = load_file(path)
    return weights


def copy_once(source: Path, target: Path) -> None:
    """Copy a file that never changes, unless it is there. Raises OSError."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Say in words what is wrong with a folder that cannot be read.

    Raises:
        ModelUnreadable: files are missing, damaged, or of a model of another kind.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ModelUnreadable(
            f"{folder} holds no {what}: {error.filename or error} is missing"
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelUnreadable(
            f"the {what} in {folder} cannot be used: {error}"
        ) from error


def digest(*files: Path) -> str:
    """SHA-256 of the files' names and contents, in this order. Raises OSError."""
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as data:
            found.update(hashlib.file_digest(data, "sha256").digest())
    return found.hexdigest()
