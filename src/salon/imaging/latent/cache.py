"""Pictures as latents, made once: the autoencoder is frozen, so they never change.

The file is named after the pixels and the autoencoder that it was made from, so that a
cache is never one of something else; several can lie in one folder. It holds mean and
log variance of q(z | x), not a draw from it: training draws anew at every step, as it
would if it encoded every picture again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from salon.imaging.data import folder as pictures
from salon.imaging.data.captioned import Captioned
from salon.imaging.data.folder import FolderUnusable, Note, PictureFolder, Skipped
from salon.imaging.latent import reconstruct
from salon.imaging.models.autoencoder_kl import (
    AutoencoderKL,
    DiagonalGaussianDistribution,
)


@dataclass(frozen=True)
class Latents:
    """The latents of captioned pictures, unscaled."""

    moments: NDArray[np.float32]
    """(N, 2 c, h, w), a memory map: means, then log variances."""
    captions: Sequence[Sequence[str]]
    """One or more for each picture."""
    digest: str
    """Of pictures, autoencoder and captions: equal digests, equal trainings."""
    skipped: list[Skipped]

    def __len__(self) -> int:
        return len(self.moments)

    def q(self, indices: NDArray[np.int64]) -> DiagonalGaussianDistribution:
        """Distributions of some pictures' latents."""
        return DiagonalGaussianDistribution(torch.from_numpy(self.moments[indices]))


def load(
    folder: Path,
    captioned: Captioned,
    network: AutoencoderKL,
    autoencoder: str,
    side: int,
    cache: Path,
    reading: Note = lambda _done, _all: None,
    encoding: Note = lambda _done, _all: None,
) -> Latents:
    """The latents of a captioned folder, from the cache where it has them.

    Args:
        folder: of the pictures.
        captioned: which of them, and their captions.
        network: frozen.
        autoencoder: its digest (``autoencoder_folder.digest``).
        side: of the square pictures, in pixels.
        cache: a folder for pictures and latents; made if need be.
        reading: progress in pictures that are read.
        encoding: progress in pictures that are encoded.

    Raises:
        FolderUnusable: none of the pictures can be read.
        ValueError: ``side`` out of range, or no multiple of the autoencoder's factor.
        OSError: the cache cannot be written (a full disk); nothing half done stays.
    """
    if side % network.config.factor:
        raise ValueError(
            f"image size {side} must be a multiple of {network.config.factor}, the "
            "factor by which this autoencoder shrinks pictures"
        )
    data = pictures.load(folder, side, cache, reading, captioned.paths)
    with (cache / pictures.FILE).open("rb") as file:
        pixels = hashlib.file_digest(file, "sha256").hexdigest()
    key = hashlib.sha256(f"{pixels} {autoencoder}".encode()).hexdigest()
    target = cache / f"latents-{key[:16]}.npy"
    if not target.exists():
        _write(network, data, target, encoding)
    moments = np.load(target, mmap_mode="r", allow_pickle=False)
    captions = captioned.without([s.path for s in data.skipped])
    if len(moments) != len(captions):
        raise FolderUnusable(f"{target} is damaged; delete it, it is made again")
    said = hashlib.sha256(repr(captions).encode()).hexdigest()
    return Latents(moments, captions, f"{key} {said}", data.skipped)


def _write(
    network: AutoencoderKL, data: PictureFolder, target: Path, note: Note
) -> None:
    """Encode everything into a file beside, then rename it."""
    config = network.config
    side = data.pictures.shape[1] // config.factor
    header = {
        "descr": "<f4",
        "fortran_order": False,
        "shape": (len(data), 2 * config.latents, side, side),
    }
    part, done = target.with_suffix(".part"), 0
    try:
        with part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for q in reconstruct.encoded(network, data, np.arange(len(data))):
                both = torch.cat([q.mean, q.logvar], dim=1).float().cpu()
                file.write(both.numpy().astype("<f4").tobytes())
                done += len(both)
                note(done, len(data))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
