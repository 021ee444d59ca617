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
    out: training.Out,
    image_size: Annotated[int | None, typer.Option(help="side in pixels [32]")] = None,
    steps: training.Steps = 10_000,
    resume: training.Resume = False,
    batch: Annotated[int | None, typer.Option(help="pictures a step [32]")] = None,
    lr: training.Rate = None,
    size: Annotated[
        str | None, typer.Option(help="tiny, small, default, paper [small]")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="linear, scaled_linear or cosine [linear]")
    ] = None,
    chain: training.Chain = None,
    prediction: Annotated[
        str | None, typer.Option(help="epsilon, v or sample [epsilon]")
    ] = None,
    zero_snr: Annotated[
        bool | None, typer.Option(help="end at no signal at all; needs v or sample")
    ] = None,
    warmup: training.Warmup = None,
    ema: training.Ema = None,
    dropout: Annotated[float | None, typer.Option(help="[0.1]")] = None,
    flip: Annotated[
        bool | None, typer.Option(help="mirror at random; wrong for letters")
    ] = None,
    precision: training.Precision = None,
    seed: training.Seed = None,
    sample_every: training.SampleEvery = 1000,
    save_every: training.SaveEvery = 120.0,
    device: training.Device = "auto",
    threads: training.Threads = 2,
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
