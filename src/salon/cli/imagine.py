"""``salon imagine``: draw a picture in the shell, without a server or a network."""

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from salon.errors import StartupError
from salon.imaging.request import InvalidRequest, PictureRequest

EXIT_USAGE = 2


def imagine(
    prompt: Annotated[str, typer.Argument(help="what to draw, in any language")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="the PNG file to write")
    ] = Path("picture.png"),
    seed: Annotated[
        int | None, typer.Option(help="the same seed draws the same picture")
    ] = None,
    steps: Annotated[int, typer.Option(help="1 to 50; more is slower")] = 12,
    guidance: Annotated[
        float, typer.Option(help="0 to 20; how closely to follow the prompt")
    ] = 1.8,
    negative: Annotated[str, typer.Option(help="what should not be in it")] = "",
    model: Annotated[Path | None, typer.Option(help="folder of another model")] = None,
    threads: Annotated[int, typer.Option(min=1, max=64)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Draw a picture and write it, with how it was made, into a PNG file."""
    try:
        request = PictureRequest(
            prompt,
            secrets.randbelow(1 << 32) if seed is None else seed,
            steps,
            guidance,
            negative,
        )
    except InvalidRequest as error:
        sys.stderr.write(f"salon imagine: {error}\n")
        raise typer.Exit(EXIT_USAGE) from error
    _check_writable(out)
    _draw(request, out, model, threads, quiet)
    if not quiet:
        sys.stderr.write(f"{out}  (seed {request.seed})\n")


def _check_writable(out: Path) -> None:
    """Say that a file cannot be written before the work and not after it."""
    if out.is_dir():
        raise StartupError(f"{out} is a folder; name a file with -o")
    if not out.absolute().parent.is_dir():
        raise StartupError(f"the folder {out.absolute().parent} does not exist")


def _draw(
    request: PictureRequest, out: Path, folder: Path | None, threads: int, quiet: bool
) -> None:
    from salon.imaging.runtime import EmbeddedModel, ModelUnusable, Step, save_png

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("loading the model", total=request.steps + 1)

        def on_step(step: Step) -> bool:
            progress.update(task, completed=step.step + 1, description="drawing")
            return True

        try:
            drawn = EmbeddedModel.load(folder, threads)
        except ModelUnusable as error:
            raise StartupError(str(error)) from error
        image = drawn.draw(request, on_step)
    try:
        save_png(image, out, request, drawn.card.name, drawn.card.version)
    except OSError as error:
        raise StartupError(f"{out} cannot be written: {error.strerror}") from error
