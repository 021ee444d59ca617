"""``salon sample``: draw a sheet of pictures with a model of ``salon train``."""

import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)

from salon.cli import training
from salon.errors import StartupError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from salon.imaging.latent.folder import LatentModel, Wish
    from salon.imaging.models.ddpm_folder import DDPM

_AT_ONCE = 16
"""Pictures drawn together: bounds the memory, whatever --n is."""


def sample(
    folder: Annotated[
        Path, typer.Argument(help="of salon train ddpm or text2image, or its model")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="the PNG")] = Path(
        "sheet.png"
    ),
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="what to draw, a row for each; of text2image only"),
    ] = None,
    negative: Annotated[str, typer.Option(help="what to keep away from")] = "",
    guidance: Annotated[
        float | None, typer.Option(min=0, max=100, help="1 is none [4]")
    ] = None,
    n: Annotated[
        int, typer.Option("--n", min=1, max=1024, help="how many of each")
    ] = 16,
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
    """Draw N pictures, or N for each prompt, onto one sheet; the PNG says how."""
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise StartupError(f"{out} cannot be written: name a file in a folder that is")
    first = secrets.randbelow(1 << 32) if seed is None else seed
    how = f"seed {first}, {sampler}"
    with training.in_words("sampling"):
        from salon.imaging.latent import folder as latent_folder
        from salon.imaging.models import ddpm_folder
        from salon.imaging.models import device as devices

        where = devices.choose(device, threads)
        inner = folder / "model"
        place = inner if inner.is_dir() else folder
        if latent_folder.is_one(place):
            model = latent_folder.load(place, where)
            steps = steps or _steps(sampler, model.schedule.diffusion.steps)
            scale = 4.0 if guidance is None else guidance
            wishes = _wishes(prompt or [""], negative, n, first)
            pictures = _draw_texts(model, wishes, sampler, steps, scale, quiet)
            columns = columns or (n if prompt and len(prompt) > 1 else None)
            said = "; ".join(prompt or ["any picture"])
            how = f"{said}\n{how}, {steps} steps, guidance {scale:g}"
        else:
            if prompt or negative or guidance is not None:
                raise ValueError(
                    "prompt, negative, guidance: a model of `salon train ddpm` knows "
                    "no words; leave them out, or name one of `salon train text2image`"
                )
            ddpm = ddpm_folder.load(place, where)
            steps = steps or _steps(sampler, ddpm.process.steps)
            pictures = _draw(ddpm, n, first, sampler, steps, quiet)
            whole = steps == ddpm.process.steps
            how = f"{how}, {'all' if whole else steps} steps"
    _write(out, pictures, columns, how)
    if not quiet:
        sys.stderr.write(f"{out}  (seed {first})\n")


def _steps(sampler: str, chain: int) -> int:
    """Where none were given."""
    if sampler.startswith("ddpm"):
        return chain
    return min(25, chain)


def _wishes(prompts: Sequence[str], negative: str, n: int, seed: int) -> "list[Wish]":
    """The same seeds for every prompt: a column is one noise."""
    from salon.imaging.latent.folder import Wish

    return [Wish(prompt, (seed, i), negative) for prompt in prompts for i in range(n)]


def _draw_texts(
    model: "LatentModel",
    wishes: "Sequence[Wish]",
    sampler: str,
    steps: int,
    guidance: float,
    quiet: bool,
) -> "NDArray[np.uint8]":
    import numpy as np

    groups = [wishes[i : i + _AT_ONCE] for i in range(0, len(wishes), _AT_ONCE)]
    with _bar(steps * len(groups), quiet) as (bar, task):
        drawn = [
            model.draw(group, sampler, steps, guidance, lambda: bar.advance(task))
            for group in groups
        ]
    return np.concatenate(drawn)


def _draw(
    model: "DDPM", n: int, seed: int, sampler: str, steps: int, quiet: bool
) -> "NDArray[np.uint8]":
    import numpy as np

    groups = [range(i, min(i + _AT_ONCE, n)) for i in range(0, n, _AT_ONCE)]
    drawn = []
    with _bar(steps * len(groups), quiet) as (bar, task):
        for group in groups:
            seeds = [(seed, i) for i in group]
            last = np.empty(0, np.uint8)
            for preview in model.draw(seeds, sampler, steps):
                last = preview
                bar.advance(task)
            drawn.append(last)
    return np.concatenate(drawn)


@contextmanager
def _bar(calls: int, quiet: bool) -> "Iterator[tuple[Progress, TaskID]]":
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        yield bar, bar.add_task("", total=calls)


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
