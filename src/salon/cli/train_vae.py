"""``salon train vae``: the autoencoder of a latent diffusion of your own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from salon.cli import training

if TYPE_CHECKING:
    from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
    from salon.imaging.training.autoencoder import Recipe


def vae(
    folder: Annotated[Path, typer.Argument(help="pictures, with all folders below")],
    out: training.Out,
    image_size: Annotated[int | None, typer.Option(help="side in pixels [64]")] = None,
    steps: training.Steps = 10_000,
    resume: training.Resume = False,
    begin: Annotated[
        Path | None,
        typer.Option(help="an autoencoder to go on from, in a new training"),
    ] = None,
    decoder_only: Annotated[
        bool | None,
        typer.Option(
            "--decoder-only",
            help="leave the encoder of --begin as it is: latents do not move",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="tiny, small, default, sd [small]")
    ] = None,
    latents: Annotated[
        int | None, typer.Option(help="channels of a latent [4]")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="pictures a step [16]")] = None,
    lr: training.Rate = None,
    loss: Annotated[str | None, typer.Option(help="l1 or l2 [l1]")] = None,
    kl: Annotated[float | None, typer.Option(help="weight of the KL [1e-6]")] = None,
    judge: Annotated[
        Path | None,
        typer.Option(help="folder of `salon train judge`: look with its eyes as well"),
    ] = None,
    perceptual: Annotated[
        float | None, typer.Option(help="weight of what --judge sees [0.1]")
    ] = None,
    warmup: training.Warmup = None,
    ema: training.Ema = None,
    precision: training.Precision = None,
    seed: training.Seed = None,
    sample_every: training.SampleEvery = 1000,
    save_every: training.SaveEvery = 120.0,
    device: training.Device = "auto",
    threads: training.Threads = 2,
) -> None:
    """Train a KL autoencoder on a folder of pictures, for `salon train text2image`.

    ^C stops, --resume goes on to the bit. --begin and --judge must be named again then.
    """
    wishes = training.given(
        batch=batch,
        learning_rate=lr,
        loss=loss,
        kl=kl,
        perceptual=perceptual,
        decoder_only=decoder_only,
        warmup=warmup,
        ema=ema,
        precision=precision,
        seed=seed,
    )
    form = training.given(image_size=image_size, size=size, latents=latents)
    console = Console()
    with training.in_words():
        from salon.imaging.models import device as devices
        from salon.imaging.models.perceptual import Perceptual
        from salon.imaging.models.perceptual import digest as perceptual_digest
        from salon.imaging.training.autoencoder import Trainer
        from salon.imaging.training.resumable import Plan

        where = devices.choose(device, threads)
        eyes = None if judge is None else Perceptual.load(judge)
        if judge is not None:
            wishes = {"perceptual": 0.1, **wishes, "judge": perceptual_digest(judge)}
        recipe, base = _recipe(out, resume, begin, wishes, form)
        side = recipe.shape.image_size
        data = training.read_pictures(folder, side, out, console)
        trainer = Trainer(recipe, data, out, where, begin=base, perceptual=eyes)
        if resume:
            trainer.resume()
        plan = Plan(steps, save_every, sample_every)
        then = f"salon vae reconstruct {out} {folder} -o sheet.png"
        training.run(trainer, plan, console, then)


def _recipe(
    out: Path,
    resume: bool,
    begin: Path | None,
    wishes: dict[str, Any],
    form: dict[str, Any],
) -> "tuple[Recipe, AutoencoderKL | None]":
    """The recipe that was stored, or a new one, with what it goes on from."""
    from dataclasses import replace

    from salon.imaging.models import autoencoder_folder
    from salon.imaging.training.autoencoder import CHECKPOINT, Recipe

    base = None
    if begin is not None:
        base = autoencoder_folder.load(begin)
        wishes = wishes | {"begin": autoencoder_folder.digest(begin)}
    stored = training.stored_recipe(out, CHECKPOINT, Recipe, resume)
    if stored is None:
        shape = _shape(None if base is None else base.config, form)
        return Recipe(**{"batch": 16, **wishes}, shape=shape), base
    if stored.begin and base is None:
        raise ValueError(
            "begin: the training went on from an autoencoder; name it again"
        )
    if form:
        wishes = wishes | {"shape": _shape(stored.shape, form)}
    return replace(stored, **wishes), base


def _shape(
    base: "AutoencoderConfig | None", form: dict[str, Any]
) -> "AutoencoderConfig":
    """The shape that was asked for, or that of ``base`` at another picture size."""
    from dataclasses import replace

    from salon.imaging.training import autoencoder

    if base is None:
        wanted: dict[str, Any] = {
            "size": "small",
            "image_size": 64,
            "latents": 4,
        } | form
        return autoencoder.shape(**wanted)
    if other := sorted(set(form) - {"image_size"}):
        raise ValueError(f"{other[0]}: is that of the autoencoder that it goes on from")
    return replace(base, **form)
