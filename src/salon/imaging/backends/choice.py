"""What is asked of an engine: which model, with what, and where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXTRA = "pip install 'salon[diffusers]'"


@dataclass(frozen=True)
class LoraFile:
    """LoRA weights to add, and how strongly."""

    path: Path
    scale: float = 1.0


@dataclass(frozen=True)
class Choice:
    """Which model, and where it runs. Empty: the embedded one, on the CPU."""

    path: Path | None = None
    loras: Sequence[LoraFile] = ()
    device: str = "auto"
    """cpu, cuda, cuda:1, mps or auto; the embedded model is always on the CPU."""
    dtype: str = "auto"
    """float32, float16, bfloat16 or auto."""
    threads: int = 1
