"""What lies at a path: which engine reads it, and is it safe to read?

A pickle (``.bin``, ``.ckpt``, ``.pt``, ``.pth``) is a program: whoever made the file
runs code on this machine. Weights are read from safetensors and ONNX only, and where a
folder has nothing else it is refused here, by name, before any library sees it.
Nothing in this file imports torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from salon.imaging.card import CARD, ModelUnusable

INDEX = "model_index.json"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
WEIGHTS = ".safetensors"

_SAMPLE = 1 << 20

Kind = Literal["embedded", "folder", "file"]


@dataclass(frozen=True)
class Checkpoint:
    """A model on the disk that may be loaded."""

    path: Path
    kind: Kind
    """Salon's own folder, a diffusers folder, or one file with everything."""

    @classmethod
    def at(cls, path: Path) -> Checkpoint:
        """Look at a path. Raises ModelUnusable; says what to do instead."""
        if not path.exists():
            raise ModelUnusable(
                f"there is no model at {path}; name a folder or a {WEIGHTS} file. "
                "Nothing is downloaded: fetch a model first, then name where it lies"
            )
        if path.is_file():
            check_weights(path)
            return cls(path, "file")
        if (path / INDEX).is_file():
            checkpoint = cls(path, "folder")
            checkpoint.check_parts()
            return checkpoint
        if (path / CARD).is_file():
            return cls(path, "embedded")
        raise ModelUnusable(
            f"there is no {CARD} (Salon's own kind) and no {INDEX} (a diffusers "
            f"folder) in {path}"
        )

    @property
    def name(self) -> str:
        """What the model is called: its folder's or its file's name."""
        return self.path.resolve().stem if self.kind == "file" else _folder(self.path)

    def index(self) -> dict[str, Any]:
        """model_index.json. Raises ModelUnusable."""
        return read_json(self.path / INDEX)

    def missing_parts(self) -> dict[str, None]:
        """Components that the folder's index has and the folder has not.

        Diffusers must be told of them (``text_encoder=None``), though the index says
        ``[null, null]`` already.
        """
        return {
            name: None
            for name, entry in self.index().items()
            if isinstance(entry, list) and entry[:1] == [None]
        }

    def check_parts(self) -> None:
        """Refuse a folder with a part whose weights are pickles only."""
        for name, entry in self.index().items():
            folder = self.path / name
            if not (isinstance(entry, list) and entry[0] and folder.is_dir()):
                continue
            files = sorted(folder.iterdir())
            if any(file.suffix == WEIGHTS for file in files):
                continue
            for file in files:
                if file.suffix in PICKLES:
                    check_weights(file)

    def version(self) -> str:
        """Twelve characters that change when the weights do.

        Of every weights file: name, size, the first and the last mebibyte (the first
        holds safetensors' table of contents). Hashing gigabytes takes a minute.
        """
        files = (
            [self.path]
            if self.kind == "file"
            else sorted(self.path.rglob(f"*{WEIGHTS}"))
        )
        found = hashlib.sha256()
        for file in files:
            name = file.name if self.kind == "file" else file.relative_to(self.path)
            size = file.stat().st_size
            found.update(f"{name} {size}\n".encode())
            with file.open("rb") as data:
                found.update(data.read(_SAMPLE))
                data.seek(max(0, size - _SAMPLE))
                found.update(data.read(_SAMPLE))
        return found.hexdigest()[:12]


def check_weights(path: Path) -> None:
    """Refuse a file that is no safetensors. Raises ModelUnusable."""
    if not path.is_file():
        raise ModelUnusable(f"there is no file {path}")
    if path.suffix in PICKLES:
        raise ModelUnusable(
            f"{path.name} is a pickle, and a pickle can run any program when it is "
            f"read: Salon reads {WEIGHTS} only. Ask the model's author for that form, "
            "or convert it where you trust it: "
            "pipeline.save_pretrained(folder, safe_serialization=True)"
        )
    if path.suffix != WEIGHTS:
        raise ModelUnusable(f"{path.name} is no {WEIGHTS} file")


def _folder(path: Path) -> str:
    return path.resolve().name or "model"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises ModelUnusable."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ModelUnusable(f"{path} is no JSON object")
    return values
