"""What an autoencoder keeps of a picture: encode, decode, and look at both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from salon.imaging.data.folder import PictureFolder
from salon.imaging.diffusion.sheet import sheet, titled
from salon.imaging.models.autoencoder_kl import (
    AutoencoderKL,
    DiagonalGaussianDistribution,
)

Bytes = NDArray[np.uint8]

BATCH = 16
"""Pictures that go through the network together: bounds the memory."""
_PEAK = 255.0
_LATENTS = "latents"


def to_bytes(x: Tensor) -> Bytes:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3), rounded; what lies outside is cut."""
    values = x.float().cpu().numpy().transpose(0, 2, 3, 1)
    result: Bytes = (values * 127.5 + 128.0).clip(0, 255).astype(np.uint8)
    return result


def psnr(originals: Bytes, copies: Bytes) -> float:
    """Peak signal-to-noise ratio in dB over all pictures; infinite where equal.

    10 log10(255^2 / mean squared error): 20 is a smear, 30 good, 40 hard to tell apart.
    """
    difference = originals.astype(np.float64) - copies
    error = float(np.mean(difference**2))
    return 10.0 * math.log10(_PEAK**2 / error) if error else math.inf


def encoded(
    network: AutoencoderKL, data: PictureFolder, indices: NDArray[np.int64]
) -> Iterator[DiagonalGaussianDistribution]:
    """q(z | x) of the chosen pictures, a batch at a time."""
    device = next(network.parameters()).device
    for i in range(0, len(indices), BATCH):
        x = torch.from_numpy(data.batch(indices[i : i + BATCH])).to(device)
        with torch.inference_mode():
            yield network.encode(x)


def reconstructed(
    network: AutoencoderKL, data: PictureFolder, indices: NDArray[np.int64]
) -> Bytes:
    """The most probable latents of the chosen pictures, decoded: (n, H, W, 3)."""
    modes = (q.mode() for q in encoded(network, data, indices))
    return np.concatenate([decoded(network, z) for z in modes])


def decoded(network: AutoencoderKL, z: Tensor) -> Bytes:
    """Unscaled latents (n, c, h, w) -> pictures (n, H, W, 3), a batch at a time."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [to_bytes(network.decode(part.to(device))) for part in z.split(BATCH)]
    return np.concatenate(parts)


def write_latents(
    network: AutoencoderKL,
    data: PictureFolder,
    target: Path,
    note: Callable[[int, int], None] = lambda _done, _n: None,
) -> tuple[int, ...]:
    """The most probable latents of all pictures, unscaled; returns their shape.

    A safetensors file with one tensor, "latents". Raises OSError.
    """
    parts: list[Tensor] = []
    for q in encoded(network, data, np.arange(len(data))):
        parts.append(q.mode().cpu())
        note(min(len(parts) * BATCH, len(data)), len(data))
    latents = torch.cat(parts)
    try:
        save_file({_LATENTS: latents}, target)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    return tuple(latents.shape)


def read_latents(network: AutoencoderKL, path: Path) -> Tensor:
    """What :func:`write_latents` wrote, (n, c, h, w).

    Raises:
        ValueError: it is no such file, or of an autoencoder with other channels.
        OSError: it cannot be read.
    """
    try:
        latents = load_file(path)[_LATENTS]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is no file of `salon vae encode`: {error}") from error
    channels = network.config.latents
    if latents.ndim != 4 or latents.shape[1] != channels:
        raise ValueError(
            f"{path} holds {tuple(latents.shape)}; this autoencoder reads "
            f"(n, {channels}, h, w)"
        )
    result: Tensor = latents.float()
    return result


def spread(
    network: AutoencoderKL, data: PictureFolder, indices: NDArray[np.int64]
) -> float:
    """Standard deviation of the latents z ~ q(z | x) of these pictures.

    Of all numbers together, as Stable Diffusion measures it: one factor for all
    channels. Variance of the means plus mean of the variances, so nothing is drawn.
    """
    count, total, squares = 0, 0.0, 0.0
    for q in encoded(network, data, indices):
        mean = q.mean.double()
        count += mean.numel()
        total += float(mean.sum())
        squares += float((mean**2 + q.std.double() ** 2).sum())
    return math.sqrt(max(squares / count - (total / count) ** 2, 1e-12))


def pairs(originals: Bytes, copies: Bytes, title: str) -> Image.Image:
    """A sheet of pairs: each picture, and right of it what became of it."""
    both = np.concatenate([originals, copies], axis=2)
    return titled(sheet(both), f"{title} (left: picture, right: reconstruction)")
