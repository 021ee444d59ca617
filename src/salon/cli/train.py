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
from salon.errors import StartupError

if TYPE_CHECKING:
    from salon.imaging.recipe import Watch
    from salon.imaging.training.loop import Progress as TrainingProgress

app = typer.Typer(no_args_is_help=True, help="Train the picture model.")
app.command("ddpm")(ddpm)
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
) -> None:
    """Fetch, draw and caption the emoji, train the three networks, write the model.

    Can be stopped at any time and started again with the same folder.
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
                recipe.train_stage(name, data, place, seconds, watch)
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
def evaluate(
    out: _Folder = Path("train"),
    model: Annotated[Path, typer.Option(help="the model folder")] = Path("model"),
    features: Annotated[
        Path | None,
        typer.Option(help="MobileNetV2 weights in torchvision's file format"),
    ] = None,
    count: Annotated[int, typer.Option(min=10, help="labels to draw")] = 320,
    threads: _Threads = 2,
) -> None:
    """Measure label retrieval and write it to metrics.json in the training folder."""
    from salon.imaging.data.dataset import Dataset
    from salon.imaging.evaluation import Evaluation, Features
    from salon.imaging.runtime import EmbeddedModel

    console = Console()
    eye = None
    if features is not None:
        with _training_extra():
            from salon.imaging.export import export_features
        export_features(features, out / "features.onnx")
        eye = Features(out / "features.onnx", threads)
    evaluation = Evaluation(
        EmbeddedModel.load(model, threads), Dataset.load(out / "dataset"), eye
    )
    report = evaluation.run(count, note=console.log)
    text = json.dumps(report, indent=2)
    (out / "metrics.json").write_text(text + "\n", "utf-8")
    console.print_json(text)


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
