"""What the commands of ``salon train`` share: words, bars, and the stop by ^C."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from salon.errors import Error, StartupError, Unavailable

if TYPE_CHECKING:
    from salon.imaging.data.folder import PictureFolder
    from salon.imaging.latent.cache import Latents
    from salon.imaging.training.resumable import BaseRecipe, BaseTrainer, Plan
    from salon.imaging.training.resumable import Progress as TrainingProgress

R = TypeVar("R", bound="BaseRecipe")

# What every kind of training can be told. None leaves it to the recipe.
Out = Annotated[Path, typer.Option("--out", "-o", help="the training folder")]
Steps = Annotated[int, typer.Option(min=1, help="in all, with those before")]
Resume = Annotated[bool, typer.Option(help="go on with the training in --out")]
Rate = Annotated[float | None, typer.Option("--lr", help="learning rate [2e-4]")]
Warmup = Annotated[int | None, typer.Option(help="steps [500]")]
Ema = Annotated[float | None, typer.Option(help="kept a step [0.999]")]
Precision = Annotated[str | None, typer.Option(help="float32 or bfloat16 [float32]")]
Seed = Annotated[int | None, typer.Option(help="[0]")]
SampleEvery = Annotated[
    int, typer.Option(min=0, help="steps between sheets; 0 for none")
]
SaveEvery = Annotated[float, typer.Option(min=1, help="seconds")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto")]
Threads = Annotated[int, typer.Option(min=1, max=64)]
Chain = Annotated[int | None, typer.Option(help="T, steps of the chain [1000]")]


def given(**options: Any) -> dict[str, Any]:
    """Those that were typed."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def in_words(what: str = "training") -> Iterator[None]:
    """Turn what a person can mend into one line and an exit code."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StartupError(
            f"{what} needs {error.name}, which is not installed: "
            "pip install 'salon[train]'"
        ) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise StartupError(
            f"{error.filename or 'a file'}: {error.strerror or error}"
        ) from error
    except (StartupError, Unavailable):
        raise
    except Error as error:
        raise StartupError(str(error)) from error


@contextmanager
def counting(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar that goes away, moved by (done, in all)."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, n: bar.update(task, completed=done, total=n)


def stored_recipe(out: Path, checkpoint: str, kind: type[R], resume: bool) -> R | None:
    """The recipe to go on with; None where a new training may begin.

    Raises StartupError where a training is there and nobody asked to go on with it,
    and CannotResume where it is the other way round.
    """
    from salon.imaging.training import resumable

    if resume:
        return resumable.stored(out / checkpoint, kind)
    if (out / checkpoint).exists():
        raise StartupError(
            f"{out} already holds a training: go on with --resume, or choose "
            "another folder with --out"
        )
    return None


def read_pictures(
    folder: Path, side: int, out: Path, console: Console
) -> "PictureFolder":
    """All pictures of a folder; what was left out is said."""
    from salon.imaging.data import folder as pictures

    with counting("reading", console) as note:
        data = pictures.load(folder, side, out, note)
    say_pictures(data, f"pictures, {side} x {side}", console)
    return data


def say_pictures(data: "PictureFolder | Latents", what: str, console: Console) -> None:
    """How many there are, and which were left out."""
    from salon.imaging.data import folder as pictures

    console.print(f"{len(data)} {what}")
    if data.skipped:
        words = pictures.describe(data.skipped)
        console.print(f"{len(data.skipped)} skipped: {words}", markup=False)


def run(trainer: "BaseTrainer[Any]", plan: "Plan", console: Console, then: str) -> None:
    """Train under a bar until the plan or a person says stop; say what to do then."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with until_interrupted() as stop, Progress(*columns, console=console) as bar:
        task = bar.add_task(
            "", total=plan.steps, completed=trainer.progress.step, loss=float("nan")
        )

        def watch(progress: "TrainingProgress") -> None:
            bar.update(task, completed=progress.step, loss=progress.loss)

        trainer.run(plan, watch, stop)
        stopped = stop()
    if stopped:
        console.print(f"stopped at step {trainer.progress.step}; --resume goes on")
    console.print(f"{trainer.out / 'model'}: {then}", markup=False)


@contextmanager
def until_interrupted() -> Iterator[Callable[[], bool]]:
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
