"""``salon vae``: what an autoencoder keeps of pictures; latents in and out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from salon.cli import training
from salon.errors import StartupError

if TYPE_CHECKING:
    from salon.imaging.data.folder import PictureFolder
    from salon.imaging.models.autoencoder_kl import AutoencoderKL

app = typer.Typer(
    no_args_is_help=True, help="An autoencoder at work: pictures, latents, pictures."
)
_Model = Annotated[
    Path, typer.Argument(help="of salon train vae, or any diffusers AutoencoderKL")
]
_Pictures = Annotated[Path, typer.Argument(help="a folder of pictures")]
_Side = Annotated[
    int | None, typer.Option("--image-size", help="side in pixels [as it was trained]")
]
_N = Annotated[int, typer.Option("--n", min=1, max=10_000, help="at most so many")]
MAX_SHOWN = 256
"""Pairs on a sheet; PSNR is of all."""


@app.command()
def reconstruct(
    model: _Model,
    pictures: _Pictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="the PNG")] = Path(
        "reconstructions.png"
    ),
    n: _N = 16,
    image_size: _Side = None,
    device: training.Device = "auto",
    threads: training.Threads = 1,
) -> None:
    """Pictures and what is left of them, side by side, and the PSNR."""
    import numpy as np

    console = Console()
    _writable(out)
    with training.in_words("an autoencoder"):
        from salon.imaging.latent import reconstruct as work

        network = _load(model, device, threads)
        data = _read(network, pictures, image_size, n, console)
        copies = work.reconstructed(network, data, np.arange(len(data)))
        originals = np.asarray(data.pictures)
        words = f"PSNR {work.psnr(originals, copies):.2f} dB, {len(data)} pictures"
        work.pairs(originals[:MAX_SHOWN], copies[:MAX_SHOWN], words).save(out, "PNG")
    console.print(f"{out}: {words}", markup=False)


@app.command()
def encode(
    model: _Model,
    pictures: _Pictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="a .safetensors file")],
    n: _N = 10_000,
    image_size: _Side = None,
    device: training.Device = "auto",
    threads: training.Threads = 1,
) -> None:
    """Pictures to their most probable latents, unscaled, in the order of their names."""
    console = Console()
    _writable(out)
    with training.in_words("an autoencoder"):
        from salon.imaging.latent import reconstruct as work

        network = _load(model, device, threads)
        data = _read(network, pictures, image_size, n, console)
        with training.counting("encoding", console) as note:
            shape = work.write_latents(network, data, out, note)
    console.print(f"{out}: latents {shape}, float32", markup=False)


@app.command()
def decode(
    model: _Model,
    latents: Annotated[Path, typer.Argument(help="of salon vae encode")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the PNG")] = Path(
        "decoded.png"
    ),
    n: _N = 16,
    device: training.Device = "auto",
    threads: training.Threads = 1,
) -> None:
    """Latents to a sheet of pictures."""
    console = Console()
    _writable(out)
    with training.in_words("an autoencoder"):
        from salon.imaging.diffusion.sheet import sheet
        from salon.imaging.latent import reconstruct as work

        network = _load(model, device, threads)
        drawn = work.decoded(network, work.read_latents(network, latents)[:n])
        sheet(drawn).save(out, "PNG")
    console.print(f"{out}: {len(drawn)} pictures", markup=False)


def _writable(out: Path) -> None:
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise StartupError(f"{out} cannot be written: name a file in a folder that is")


def _load(folder: Path, device: str, threads: int) -> "AutoencoderKL":
    from salon.imaging.models import autoencoder_folder
    from salon.imaging.models import device as devices

    where = devices.choose(device, threads)
    return autoencoder_folder.load(folder, where)


def _read(
    network: "AutoencoderKL",
    folder: Path,
    side: int | None,
    most: int,
    console: Console,
) -> "PictureFolder":
    """The first pictures of a folder, by name; nothing is kept of them."""
    import tempfile

    from salon.imaging.data import folder as pictures

    wanted = side or network.config.image_size
    with tempfile.TemporaryDirectory() as place:
        paths = pictures.paths(folder)[:most]
        with training.counting("reading", console) as note:
            data = pictures.load(folder, wanted, Path(place), note, paths)
        training.say_pictures(data, f"pictures, {wanted} x {wanted}", console)
        return data.in_memory()
