"""``salon train ddpm``: a diffusion model of your own, from any folder of pictures."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from salon.errors import Error, StartupError

if TYPE_CHECKING:
    from salon.imaging.data.folder import PictureFolder
    from salon.imaging.training.ddpm import Plan, Recipe, Trainer
    from salon.imaging.training.ddpm import Progress as TrainingProgress


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
    wishes = {
        "image_size": image_size,
        "batch": batch,
        "learning_rate": lr,
        "size": size,
        "warmup": warmup,
        "ema": ema,
        "dropout": dropout,
        "flip": flip,
        "precision": precision,
        "seed": seed,
    }
    process = {
        "schedule": schedule,
        "steps": chain,
        "prediction": prediction,
        "zero_snr": zero_snr,
    }
    console = Console()
    with _in_words():
        from salon.imaging.models import device as devices
        from salon.imaging.training.ddpm import Plan

        where = devices.choose(device, threads)
        recipe = _recipe(out, resume, _given(wishes), _given(process))
        data = _pictures(folder, recipe.image_size, out, console)
        trainer = _trainer(recipe, data, out, where, resume)
        plan = Plan(steps, save_every, sample_every)
        _run(trainer, plan, console)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what a person can mend into one line and an exit code."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StartupError(
            f"training needs {error.name}, which is not installed: "
            "pip install 'salon[train]'"
        ) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise StartupError(f"{error.filename or 'a file'}: {error.strerror}") from error
    except StartupError:
        raise
    except Error as error:
        raise StartupError(str(error)) from error


def _recipe(
    out: Path, resume: bool, wishes: dict[str, Any], process: dict[str, Any]
) -> "Recipe":
    """The recipe that was stored, or a new one; what was typed is laid over it."""
    from dataclasses import asdict

    from salon.imaging.models.ddpm_folder import Process
    from salon.imaging.training import ddpm as training

    begun = (out / training.CHECKPOINT).exists()
    if begun and not resume:
        raise StartupError(
            f"{out} already holds a training: go on with --resume, or choose "
            "another folder with --out"
        )
    if resume:
        stored = asdict(training.stored_recipe(out))
        inner = Process(**{**stored.pop("process"), **process})
        return training.Recipe(**{**stored, **wishes, "process": inner})
    return training.Recipe(**{"image_size": 32, **wishes}, process=Process(**process))


def _pictures(folder: Path, side: int, out: Path, console: Console) -> "PictureFolder":
    from salon.imaging.data import folder as pictures

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        data = pictures.load(
            folder, side, out, lambda done, n: bar.update(task, completed=done, total=n)
        )
    console.print(f"{len(data)} pictures, {side} x {side}")
    if data.skipped:
        words = pictures.describe(data.skipped)
        console.print(f"{len(data.skipped)} skipped: {words}", markup=False)
    return data


def _trainer(
    recipe: "Recipe", data: "PictureFolder", out: Path, device: str, resume: bool
) -> "Trainer":
    from salon.imaging.training.ddpm import Trainer

    trainer = Trainer(recipe, data, out, device)
    if resume:
        trainer.resume()
    return trainer


def _run(trainer: "Trainer", plan: "Plan", console: Console) -> None:
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with _until_interrupted() as stop, Progress(*columns, console=console) as bar:
        task = bar.add_task(
            "", total=plan.steps, completed=trainer.progress.step, loss=float("nan")
        )

        def watch(progress: "TrainingProgress") -> None:
            bar.update(task, completed=progress.step, loss=progress.loss)

        trainer.run(plan, watch, stop)
        stopped = stop()
    where = trainer.out / "model"
    if stopped:
        console.print(f"stopped at step {trainer.progress.step}; --resume goes on")
    console.print(f"{where}: salon sample {trainer.out} -o sheet.png", markup=False)


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """^C and SIGTERM end the training after the step; a second ^C ends it at once."""
    asked: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
