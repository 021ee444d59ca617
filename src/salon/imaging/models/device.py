"""Where PyTorch computes."""

from __future__ import annotations

import torch

from salon.errors import Error

DEVICES = ("auto", "cpu", "cuda")


class NoSuchDevice(Error):
    """A graphics card was asked for and PyTorch finds none."""


def choose(wish: str, threads: int) -> str:
    """``cpu`` or ``cuda``, and no more than ``threads`` processor threads.

    Raises:
        ValueError: the wish is none of ``DEVICES``.
        NoSuchDevice: ``cuda``, but there is no card.
    """
    if wish not in DEVICES:
        raise ValueError(f"device: {wish!r} is unknown; one of {', '.join(DEVICES)}")
    torch.set_num_threads(threads)
    card = bool(torch.cuda.is_available())
    if wish == "cuda" and not card:
        raise NoSuchDevice("device cuda: PyTorch finds no graphics card here")
    return "cuda" if card and wish != "cpu" else "cpu"
