"""Checkpoints that hold arrays and text, never code: safetensors with a header.

A checkpoint is enough to continue as if nothing had happened: weights, their moving
average, both moments of AdamW, the step, the seconds spent and the loss curve.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: dict[str, Any],
) -> None:
    """Write atomically: a crash leaves the old checkpoint or the new one."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for moment in _MOMENTS:
            if moment in optimiser.state.get(parameter, {}):
                tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment]
    for name, parameter in average.named_parameters():
        tensors[f"average.{name}"] = parameter.detach()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    contiguous = {k: v.contiguous().clone() for k, v in tensors.items()}
    save_file(contiguous, part, metadata={"progress": json.dumps(progress)})
    part.replace(path)


def load(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Restore everything in place and return the progress that was saved."""
    with safe_open(path, framework="pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
        names = set(file.keys())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(file.get_tensor(f"model.{name}"))
                optimiser.state[parameter] = {
                    m: file.get_tensor(f"{m}.{name}")
                    for m in _MOMENTS
                    if f"{m}.{name}" in names
                }
            for name, parameter in average.named_parameters():
                parameter.copy_(file.get_tensor(f"average.{name}"))
    return progress


def load_average(path: Path, model: nn.Module) -> dict[str, Any]:
    """Fill ``model`` with the moving average, for use; return the progress."""
    with safe_open(path, framework="pt") as file:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(file.get_tensor(f"average.{name}"))
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    return progress


def progress_of(path: Path) -> dict[str, Any]:
    """The progress alone, without reading the tensors."""
    with safe_open(path, framework="pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    return progress
