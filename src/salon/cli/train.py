"""``salon train``: make the picture model yourself, from packaged emoji art."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from salon.cli.train_ddpm import ddpm
from salon.cli.train_text2image import text2image
from salon.cli.train_vae import vae
from salon.errors import StartupError

if TYPE_CHECKING:
    from salon.imaging.recipe import Watch
    from salon.imaging.training.loop import Progress as TrainingProgress

app = typer.Typer(no_args_is_help=True, help="Train the picture model.")
app.command("ddpm")(ddpm)
app.command("vae")(vae)
app.command("text2image")(text2image)
_Folder = Annotated[Path, typer.Option("--out", "-o", help="the training folder")]
_Threads = Annotated[int, typer.Option(min=1, max=64, help="processor threads")]


@app.callback()
def train() -> None:
    """Keeps ``emoji`` a command of a group."""


@contextmanager
def _training_extra() -> Iterator[None]:
    """Say which packages are missing instead of which module was not found."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StartupError(
            f"training needs {error.name}, which is not installed: "
            "pip install 'salon[train]'"
        ) from error


@app.command()
def emoji(
    out: _Folder = Path("train"),
    minutes: Annotated[
        float, typer.Option(min=0.1, help="for all networks together")
    ] = 60.0,
    stage: Annotated[
        str | None, typer.Option(help="only prior, upscaler, unet or polish")
    ] = None,
    threads: _Threads = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    begin: Annotated[
        Path | None,
        typer.Option(help="a model folder to go on from, instead of from nothing"),
    ] = None,
) -> None:
    """Fetch, draw and caption the emoji, train the three networks, write the model.

    Can be stopped at any time and started again with the same folder, on another
    machine too: a checkpoint holds all that is needed.
    """
    with _training_extra():
        from salon.imaging import recipe
        from salon.imaging.models import device
    if stage is not None and stage not in recipe.STAGES:
        raise typer.BadParameter(
            f"one of {', '.join(recipe.STAGES)}", param_hint="stage"
        )
    device.choose("cpu", threads)
    console = Console()
    place = recipe.Workplace(out, out / "packages", seed)
    data = recipe.prepare_data(place, threads, console.log)
    for name, share in recipe.STAGES.items():
        if stage in (None, name):
            seconds = 60.0 * minutes * share
            with _bar(name, console) as watch:
                recipe.train_stage(name, data, place, seconds, watch, begin)
    if stage is None:
        export(out, out / "model")
        sheet(out / "model", out / "sheet.png")


@contextmanager
def _bar(name: str, console: Console) -> "Iterator[Watch]":
    """A progress bar for one stage, fed by what the loop reports."""
    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  step {task.fields[step]:6}  "),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=1.0, step=0, loss=0.0)

        def watch(_: str, done: "TrainingProgress", share: float, loss: float) -> None:
            bar.update(task, completed=share, step=done.step, loss=loss)

        yield watch


@app.command()
def export(
    out: _Folder = Path("train"),
    to: Annotated[Path, typer.Option(help="the model folder to write")] = Path("model"),
    version: Annotated[str, typer.Option("--as", help="the model's version")] = "1",
) -> None:
    """Write the trained networks as the model folder that Salon draws with."""
    with _training_extra():
        from salon.imaging import recipe
    metrics = out / "metrics.json"
    facts = recipe.facts(version) | {"curves": recipe.curves(out)}
    if metrics.exists():
        facts["metrics"] = json.loads(metrics.read_text("utf-8"))
    recipe.write_model(out, to, facts)


@app.command()
def judge(
    out: _Folder = Path("train"),
    minutes: Annotated[float, typer.Option(min=0.05)] = 20.0,
    threads: _Threads = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train the encoder that `salon evaluate --judge` looks at pictures with.

    It learns from nine vendors' emoji and is examined with OpenMoji, which it has never
    seen. Can be stopped and started again; the files lie in OUT/judge.
    """
    with _training_extra():
        from salon.imaging import judging
        from salon.imaging.models import device
    device.choose("cpu", threads)
    console = Console()
    with _bar("judge", console) as bar:

        def watch(done: "TrainingProgress", share: float, loss: float) -> None:
            bar("judge", done, share, loss)

        seconds = 60.0 * minutes
        exam = judging.make(out, out / "packages", seconds, watch, console.log, seed)
    console.print_json(json.dumps(exam))


@app.command()
def evaluate(
    out: _Folder = Path("train"),
    model: Annotated[Path, typer.Option(help="the model folder")] = Path("model"),
    features: Annotated[
        Path | None, typer.Option(help="MobileNetV2: .onnx, or torchvision's .pth")
    ] = None,
    count: Annotated[int, typer.Option(min=10, help="labels to draw")] = 320,
    threads: _Threads = 1,
) -> None:
    """`salon evaluate`, its figures kept for the card of the training folder."""
    from salon.cli.evaluate import evaluate as examine

    examiner = out / "judge" if (out / "judge" / "judge.json").exists() else None
    examine(model, out, out / "packages", features, examiner, count, threads)
    (out / "evaluation.json").replace(out / "metrics.json")


@app.command()
def sheet(
    model: Annotated[Path, typer.Option(help="the model folder")] = Path("model"),
    to: Annotated[Path, typer.Option(help="the PNG to write")] = Path("sheet.png"),
) -> None:
    """Draw the sample sheet, the same prompts and seeds every time, and the curves."""
    from salon.imaging import plots
    from salon.imaging.runtime import EmbeddedModel

    drawn = EmbeddedModel.load(model)
    plots.sample_sheet(drawn).save(to)
    curves = drawn.card.contents.get("curves")
    if curves:
        plots.loss_curves(curves).save(to.with_name("loss.png"))
