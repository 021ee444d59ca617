"""model.json: what a model folder holds, and the check that it is all there.

The card names every file with its size and SHA-256. A file that is missing, cut or
changed is refused before anything is loaded from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salon.errors import Unavailable

CARD = "model.json"


class ModelUnusable(Unavailable):
    """The model's files are missing or damaged; the operator's to fix."""


@dataclass(frozen=True)
class ModelCard:
    """Name, version and files of one model folder."""

    folder: Path
    name: str
    version: str
    defaults: dict[str, float]
    contents: dict[str, Any]
    """The whole of model.json."""

    @classmethod
    def read(cls, folder: Path) -> ModelCard:
        """Read and check the folder; raises :class:`ModelUnusable`."""
        try:
            contents = json.loads((folder / CARD).read_text("utf-8"))
            files: dict[str, dict[str, Any]] = contents["files"]
            card = cls(
                folder,
                contents["name"],
                contents["version"],
                contents["defaults"],
                contents,
            )
        except FileNotFoundError:
            raise ModelUnusable(
                f"there is no {CARD} in {folder}; reinstall Salon or train a model "
                "with `salon train emoji`"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnusable(f"{folder / CARD} cannot be read: {error}") from error
        for name, facts in files.items():
            _check(folder / name, facts)
        return card


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as the card keeps them."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _check(path: Path, facts: dict[str, Any]) -> None:
    if not path.is_file():
        raise ModelUnusable(f"the model file {path} is missing; reinstall Salon")
    found = fingerprint(path)
    if found["sha256"] != facts["sha256"]:
        raise ModelUnusable(
            f"the model file {path} is damaged: it has {found['bytes']} bytes with "
            f"SHA-256 {found['sha256'][:12]}…, expected {facts['bytes']} bytes with "
            f"{facts['sha256'][:12]}…; reinstall Salon"
        )
