"""An autoencoder on the disk: an ordinary diffusers folder.

::

    config.json                          AutoencoderConfig, with the scaling factor
    diffusion_pytorch_model.safetensors  the averaged weights
    card.json                            how it was trained, where we trained it

``diffusers.AutoencoderKL.from_pretrained`` reads it, and answers as ours does. Read
are also the ``vae/`` of any Stable Diffusion 1 or 2, and sd-vae-ft-mse.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salon.imaging.models import disk
from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL


def save(folder: Path, network: AutoencoderKL, card: dict[str, Any]) -> None:
    """Write the folder, the configuration last. Raises OSError."""
    disk.write_weights(folder / disk.WEIGHTS, network)
    disk.write_json(folder / "card.json", card)
    disk.write_json(folder / disk.CONFIG, network.config.as_diffusers())


def find(folder: Path) -> Path:
    """Where the autoencoder lies: here, in a training's ``model/``, or in ``vae/``.

    Raises:
        ModelUnreadable: in none of them.
    """
    for place in (folder / "model", folder / "vae", folder / "model" / "vae", folder):
        if (place / disk.CONFIG).is_file():
            return place
    raise disk.ModelUnreadable(
        f"{folder} holds no autoencoder: there is no {disk.CONFIG} in it, nor in its "
        "model/ or vae/. `salon train vae` makes one"
    )


def load(folder: Path, device: str = "cpu") -> AutoencoderKL:
    """Read an autoencoder, to be used.

    Raises:
        ModelUnreadable: files are missing, damaged, or of a network of another kind.
    """
    place = find(folder)
    with disk.reading(place, "autoencoder"):
        config = AutoencoderConfig.from_diffusers(disk.read_json(place / disk.CONFIG))
        network = AutoencoderKL(config)
        network.load_weights(disk.read_weights(place / disk.WEIGHTS))
    return network.to(device).requires_grad_(False).eval()


def copy(source: Path, target: Path) -> None:
    """The files themselves, to the bit; what is there already stays. Raises OSError."""
    place = find(source)
    for name in (disk.WEIGHTS, disk.CONFIG):
        disk.copy_once(place / name, target / name)


def digest(folder: Path) -> str:
    """Of shape and weights: equal digests, equal latents. Raises ModelUnreadable."""
    place = find(folder)
    with disk.reading(place, "autoencoder"):
        return disk.digest(place / disk.CONFIG, place / disk.WEIGHTS)
