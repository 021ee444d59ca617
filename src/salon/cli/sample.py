"""``salon sample``: draw a sheet of pictures with a model of ``salon train ddpm``."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from salon.errors import StartupError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from salon.imaging.models.ddpm_folder import DDPM

_AT_ONCE = 16
"""Pictures drawn together: bounds the memory, whatever --n is."""


def sample(
    folder: Annotated[Path, typer.Argument(help="of salon train ddpm, or its model")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the PNG")] = Path(
        "sheet.png"
    ),
    n: Annotated[int, typer.Option("--n", min=1, max=1024, help="how many")] = 16,
    sampler: Annotated[
        str,
        typer.Option(help="ddpm, ddpm-large, ddim, pndm, euler, dpm++, unipc, lcm"),
    ] = "dpm++",
    steps: Annotated[
        int | None, typer.Option(min=1, help="[25; the whole chain for ddpm]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="draws the same again")
    ] = None,
    columns: Annotated[int | None, typer.Option(min=1)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=64)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Draw N pictures onto one sheet; the PNG says how."""
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise StartupError(f"{out} cannot be written: name a file in a folder that is")
    model = _load(folder, device, threads)
    if steps is None and not sampler.startswith("ddpm"):
        steps = min(25, model.process.steps)
    first = secrets.randbelow(1 << 32) if seed is None else seed
    try:
        pictures = _draw(model, n, first, sampler, steps, quiet)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _write(out, pictures, columns, f"seed {first}, {sampler}, {steps or 'all'} steps")
    if not quiet:
        sys.stderr.write(f"{out}  (seed {first})\n")


def _load(folder: Path, device: str, threads: int) -> "DDPM":
    try:
        from salon.imaging.models import ddpm_folder, disk
        from salon.imaging.models import device as devices
    except ModuleNotFoundError as error:
        raise StartupError(
            f"sampling needs {error.name}, which is not installed: "
            "pip install 'salon[train]'"
        ) from error
    inner = folder / "model"
    try:
        where = devices.choose(device, threads)
        return ddpm_folder.load(inner if inner.is_dir() else folder, where)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except (disk.ModelUnreadable, devices.NoSuchDevice) as error:
        raise StartupError(str(error)) from error


def _draw(
    model: "DDPM", n: int, seed: int, sampler: str, steps: int | None, quiet: bool
) -> "NDArray[np.uint8]":
    import numpy as np

    groups = [range(i, min(i + _AT_ONCE, n)) for i in range(0, n, _AT_ONCE)]
    calls = (steps or model.process.steps) * len(groups)
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn())
    drawn = []
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("", total=calls)
        for group in groups:
            seeds = [(seed, i) for i in group]
            last = np.empty(0, np.uint8)
            for preview in model.draw(seeds, sampler, steps):
                last = preview
                bar.advance(task)
            drawn.append(last)
    return np.concatenate(drawn)


def _write(
    out: Path, pictures: "NDArray[np.uint8]", columns: int | None, how: str
) -> None:
    from PIL import PngImagePlugin

    from salon.imaging.diffusion.sheet import sheet

    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", how)
    try:
        sheet(pictures, columns).save(out, format="PNG", pnginfo=info)
    except OSError as error:
        raise StartupError(f"{out} cannot be written: {error.strerror}") from error
