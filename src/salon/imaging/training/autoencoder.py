"""Training the autoencoder of latent diffusion, or only its decoder.

Rombach et al. 2022 (arXiv 2112.10752), section 3.1 and appendix G, without the
adversary::

    z = mean + std * eps,   eps ~ N(0, I)             a draw from q(z | x)
    L = |x - decode(z)| + w_p d(x, decode(z)) + w_kl KL(q(z | x) || N(0, I))

The first term is the mean over a picture's numbers of |.| or (.)^2, d is
``models/perceptual.py`` where a judge is given. KL is summed over a latent and divided
by the numbers of the *picture*, so that w_kl = 1e-6 is the paper's weight: the paper
sums both. It is that small because latents need only be of one scale and without
holes; a VAE's usual weight of 1 would blur the pictures.

*Decoder only* (as sd-vae-ft-mse): the encoder stays, so no latent moves, every U-Net
that was trained on them still fits, and the decoder learns to read them better.

Some pictures, at most 64, are held out: sheets and PSNR are of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from salon.imaging.data.folder import PictureFolder
from salon.imaging.latent import reconstruct
from salon.imaging.models import autoencoder_folder
from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from salon.imaging.models.perceptual import Perceptual
from salon.imaging.training.resumable import BaseRecipe, BaseTrainer, Plan

CHECKPOINT = "vae.safetensors"
_HELD_OUT, _HELD_SHARE = 64, 20
_FIRST_LOGVAR = -3.0
"""Of a new network. 0, what chance gives, would drown the first means in noise: on
sixteen-pixel discs the loss after 140 steps is half as large with -3."""
_MEASURED = 256
"""Pictures whose latents give the scaling factor."""

SHAPES: dict[str, AutoencoderConfig] = {
    "tiny": AutoencoderConfig(widths=(16, 32), layers=1, groups=8),
    "small": AutoencoderConfig(widths=(16, 32, 64), layers=1, groups=8),
    "default": AutoencoderConfig(widths=(64, 128, 256), layers=2, groups=32),
    "sd": AutoencoderConfig(),
}
"""f = 2, 4, 4 and 8; the last is Stable Diffusion's own."""


def shape(size: str, image_size: int, latents: int) -> AutoencoderConfig:
    """The network of that name. Raises ValueError where there is none."""
    if size not in SHAPES:
        raise ValueError(f"size: {size!r} is unknown; one of {', '.join(SHAPES)}")
    if not 1 <= latents <= 64:
        raise ValueError(f"latents: must be 1 to 64 channels, got {latents}")
    return replace(SHAPES[size], image_size=image_size, latents=latents)


@dataclass(frozen=True, kw_only=True)
class Recipe(BaseRecipe):
    """Of one autoencoder."""

    shape: AutoencoderConfig
    """``scaling_factor`` is measured, unless only the decoder is trained."""
    loss: Literal["l1", "l2"] = "l1"
    kl: float = 1e-6
    perceptual: float = 0.0
    """Weight of d; above 0 there must be a judge."""
    judge: str = ""
    """Its digest; empty where there is none."""
    decoder_only: bool = False
    begin: str = ""
    """Digest of the autoencoder that it goes on from; empty for a new one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in ("l1", "l2"):
            raise ValueError(f"loss: {self.loss!r} is unknown; one of l1, l2")
        side, factor = self.shape.image_size, self.shape.factor
        if side % factor:
            raise ValueError(
                f"image size {side} must be a multiple of {factor}, the factor by "
                "which this autoencoder shrinks pictures"
            )
        if self.decoder_only and not self.begin:
            raise ValueError(
                "decoder_only: needs an autoencoder to begin with; name its folder "
                "with --begin"
            )

    def bounds(self) -> dict[str, tuple[float, float]]:
        return super().bounds() | {"kl": (0.0, 1.0), "perceptual": (0.0, 100.0)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        given = values["shape"]
        return cls(
            **{
                **values,
                "shape": AutoencoderConfig(
                    **given | {"widths": tuple(given["widths"])}
                ),
            }
        )


class Trainer(BaseTrainer[Recipe]):
    """One training in one folder: ``vae.safetensors``, ``model/``, sheets, loss.png.

    Args:
        recipe: see :class:`Recipe`.
        data: pictures of side ``recipe.shape.image_size``.
        out: where to write.
        device: "cpu" or "cuda".
        begin: the network to go on from, where the recipe has ``begin``; it is copied.
        perceptual: where the recipe has a weight for it.
    """

    CHECKPOINT = CHECKPOINT
    LOSS = "reconstruction + KL"

    def __init__(
        self,
        recipe: Recipe,
        data: PictureFolder,
        out: Path,
        device: str = "cpu",
        *,
        begin: AutoencoderKL | None = None,
        perceptual: Perceptual | None = None,
    ) -> None:
        if bool(recipe.begin) != (begin is not None):
            raise ValueError("begin: recipe and trainer must both have one, or none")
        if bool(recipe.perceptual) != (perceptual is not None):
            raise ValueError("perceptual: a weight and a --judge go together")
        network = _network(recipe, begin).to(device)
        self.data = data
        self._training, self.held_out = split(len(data), recipe.seed)
        self._perceptual = perceptual.to(device) if perceptual else None
        super().__init__(
            recipe,
            network,
            out,
            device,
            count=len(self._training),
            digest=data.digest,
        )

    def _loss(self) -> Tensor:
        x = torch.from_numpy(self.data.batch(self._training[self._places()]))
        x = x.to(self._device)
        self._model.train()
        with self._mixed():
            z, divergence = self._latents(x)
            y = self._model.decode(z)
        error = y.float() - x
        loss = error.abs().mean() if self.recipe.loss == "l1" else (error**2).mean()
        loss = loss + self.recipe.kl * divergence
        if self._perceptual is not None:
            loss = loss + self.recipe.perceptual * self._perceptual(x, y.float())
        return loss

    def _latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A draw from q(z | x), and KL(q || N(0, I)) for each number of a picture."""
        if self.recipe.decoder_only:
            with torch.no_grad():
                q = self._model.encode(x)
            return q.sample(self._noise(q.mean)), x.new_zeros(())
        q = self._model.encode(x)
        return q.sample(self._noise(q.mean)), q.kl().mean() / x[0].numel()

    def _save_model(self) -> None:
        if not self.recipe.decoder_only:
            indices = _spread_out(self._training, _MEASURED)
            scale = 1.0 / reconstruct.spread(self._average, self.data, indices)
            self._average.config = replace(
                self._average.config, scaling_factor=round(scale, 6)
            )
        card = self.card() | {
            "held_out": len(self.held_out),
            "psnr_db": round(self.psnr(), 3),
        }
        autoencoder_folder.save(self.out / "model", self._average, card)

    @property
    def shown(self) -> NDArray[np.int64]:
        """What is looked at: held-out pictures, or trained ones where there are few."""
        return self.held_out if len(self.held_out) else self._training[:_HELD_OUT]

    def psnr(self) -> float:
        """Of the average over :attr:`shown`, in dB."""
        copies = reconstruct.reconstructed(self._average, self.data, self.shown)
        return reconstruct.psnr(self.data.pictures[self.shown], copies)

    def sheet(self, plan: Plan) -> Image.Image:
        """Pictures and their reconstructions by the average."""
        copies = reconstruct.reconstructed(self._average, self.data, self.shown)
        originals = self.data.pictures[self.shown]
        kind = "held-out" if len(self.held_out) else "training"
        decibels = reconstruct.psnr(originals, copies)
        words = (
            f"step {self.progress.step}: PSNR {decibels:.2f} dB, {len(copies)} {kind}"
        )
        n = plan.samples
        return reconstruct.pairs(originals[:n], copies[:n], words)


def split(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(training, held out): every twentieth picture, at most 64, by the seed alone."""
    order = np.random.default_rng((seed, 0x5A1)).permutation(count)
    held = min(_HELD_OUT, count // _HELD_SHARE)
    return np.sort(order[held:]), np.sort(order[:held])


def _network(recipe: Recipe, begin: AutoencoderKL | None) -> AutoencoderKL:
    torch.manual_seed(recipe.seed)
    network = AutoencoderKL(recipe.shape)
    if begin is None:
        with torch.no_grad():
            network.quant_conv.bias[recipe.shape.latents :] = _FIRST_LOGVAR
    else:
        network.load_state_dict(begin.state_dict())
    if recipe.decoder_only:
        network.requires_grad_(False)
        for parameter in network.decoder_parameters():
            parameter.requires_grad_(True)
    return network


def _spread_out(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    places = np.linspace(0, len(indices) - 1, min(most, len(indices)))
    result: NDArray[np.int64] = indices[places.round().astype(np.int64)]
    return result
