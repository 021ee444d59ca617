"""``salon train ddpm``: a diffusion model of your own, from any folder of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from salon.cli import training

if TYPE_CHECKING:
    from salon.imaging.training.ddpm import Recipe


def ddpm(
    folder: Annotated[Path, typer.Argument(help="pictures, with all folders below")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the training folder")],
    image_size: Annotated[int | None, typer.Option(help="side in pixels [32]")] = None,
    steps: Annotated[
        int, typer.Option(min=1, help="in all, with those before")
    ] = 10_000,
    resume: Annotated[
        bool, typer.Option(help="go on with the training in --out")
    ] = False,
    batch: Annotated[int | None, typer.Option(help="pictures a step [32]")] = None,
    lr: Annotated[float | None, typer.Option(help="learning rate [2e-4]")] = None,
    size: Annotated[
        str | None, typer.Option(help="tiny, small, default, paper [small]")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="linear, scaled_linear or cosine [linear]")
    ] = None,
    chain: Annotated[
        int | None, typer.Option(help="T, steps of the chain [1000]")
    ] = None,
    prediction: Annotated[
        str | None, typer.Option(help="epsilon, v or sample [epsilon]")
    ] = None,
    zero_snr: Annotated[
        bool | None, typer.Option(help="end at no signal at all; needs v or sample")
    ] = None,
    warmup: Annotated[int | None, typer.Option(help="steps [500]")] = None,
    ema: Annotated[float | None, typer.Option(help="kept a step [0.999]")] = None,
    dropout: Annotated[float | None, typer.Option(help="[0.1]")] = None,
    flip: Annotated[
        bool | None, typer.Option(help="mirror at random; wrong for letters")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16 [float32]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="[0]")] = None,
    sample_every: Annotated[
        int, typer.Option(min=0, help="steps between sheets; 0 for none")
    ] = 1000,
    save_every: Annotated[float, typer.Option(min=1, help="seconds")] = 120.0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=64)] = 2,
) -> None:
    """Train a DDPM on a folder of pictures; ^C stops, --resume goes on to the bit."""
    wishes = training.given(
        image_size=image_size,
        batch=batch,
        learning_rate=lr,
        size=size,
        warmup=warmup,
        ema=ema,
        dropout=dropout,
        flip=flip,
        precision=precision,
        seed=seed,
    )
    process = training.given(
        schedule=schedule, steps=chain, prediction=prediction, zero_snr=zero_snr
    )
    console = Console()
    with training.in_words():
        from salon.imaging.models import device as devices
        from salon.imaging.training.ddpm import Trainer
        from salon.imaging.training.resumable import Plan

        where = devices.choose(device, threads)
        recipe = _recipe(out, resume, wishes, process)
        data = training.read_pictures(folder, recipe.image_size, out, console)
        trainer = Trainer(recipe, data, out, where)
        if resume:
            trainer.resume()
        plan = Plan(steps, save_every, sample_every)
        training.run(trainer, plan, console, f"salon sample {out} -o sheet.png")


def _recipe(
    out: Path, resume: bool, wishes: dict[str, Any], process: dict[str, Any]
) -> "Recipe":
    """The recipe that was stored, or a new one; what was typed is laid over it."""
    from dataclasses import replace

    from salon.imaging.models.ddpm_folder import Process
    from salon.imaging.training.ddpm import CHECKPOINT, Recipe

    stored = training.stored_recipe(out, CHECKPOINT, Recipe, resume)
    if stored is None:
        return Recipe(**{"image_size": 32, **wishes}, process=Process(**process))
    return replace(stored, **wishes, process=replace(stored.process, **process))
