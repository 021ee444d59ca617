"""``salon data``: pictures with captions to train on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from salon.errors import Error, StartupError, Unavailable

if TYPE_CHECKING:
    from salon.imaging.data.emojiset import Built, Wish

app = typer.Typer(no_args_is_help=True, help="Pictures with captions to train on.")
_INTERRUPTED = 130
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@app.callback()
def data() -> None:
    """Keeps ``emoji`` a command of a group."""


@app.command("sources")
def list_sources() -> None:
    """The art: packages, versions, licences, and what each may be used for."""
    from salon.imaging.data.sources import SOURCES

    grid = Table("source", "package", "licence", "owner", "use", box=None)
    for s in SOURCES.values():
        grid.add_row(s.name, f"{s.package} {s.version}", s.licence, s.owner, s.use)
    Console().print(grid)


@app.command()
def emoji(
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder to make")],
    size: Annotated[int, typer.Option(help="side in pixels, 16 to 512")] = 128,
    count: Annotated[int, typer.Option(help="compositions")] = 5000,
    only: Annotated[
        str, typer.Option(help="kinds, with commas: original,count,relation …")
    ] = "",
    sources: Annotated[
        str, typer.Option(help="art, with commas, or all; see `salon data sources`")
    ] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    skin_tones: Annotated[bool, typer.Option(help="with skin-tone variants")] = False,
    flags: Annotated[bool, typer.Option(help="with flags")] = False,
    evaluation: Annotated[
        bool, typer.Option(help="share-alike art instead; never train on it")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="a contact sheet to write, outside --out")
    ] = None,
    packages: Annotated[
        Path | None, typer.Option(help="where the art is or will be fetched to")
    ] = None,
) -> None:
    """Draw packaged emoji, compose new pictures from them, and caption all of it.

    ^C stops; the same command goes on. A second run finds the set and does nothing.
    """
    _outside(sheet, out, "--sheet")
    fetched = packages or platformdirs.user_cache_path("salon") / "packages"
    _outside(fetched, out, "--packages")
    console = Console()
    with _in_words(out):
        from salon.imaging.data import emojiset
        from salon.imaging.data import sources as table
        from salon.imaging.evaluate.prompts import compositions

        names = _words(sources) or (("openmoji",) if evaluation else table.DEFAULT)
        # No set to train on contains what `salon evaluate` asks for.
        examined = tuple(sorted(c.prompts["en"] for c in compositions()))
        wish = emojiset.Wish(
            size=size,
            sources=names,
            count=count,
            only=_words(only),  # type: ignore[arg-type]  # checked by Wish
            seed=seed,
            skin_tones=skin_tones,
            flags=flags,
            use="evaluate" if evaluation else "train",
            reserved=() if evaluation else examined,
        )
        _say(_build(wish, out, fetched, console), out, console)
        if sheet is not None:
            emojiset.sheet(out).save(sheet)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _outside(path: Path | None, out: Path, option: str) -> None:
    """What lies in the set's folder would be trained on."""
    if path is not None and path.resolve().is_relative_to(out.resolve()):
        raise typer.BadParameter(
            "must lie outside --out, or it would be taken for a part of the set",
            param_hint=option,
        )


def _build(wish: "Wish", out: Path, packages: Path, console: Console) -> "Built":
    from salon.imaging.data import emojiset

    columns = (TextColumn("{task.description:15}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def note(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return emojiset.build(wish, out, packages, note)


def _say(built: "Built", out: Path, console: Console) -> None:
    kinds = ", ".join(f"{n} {kind}" for kind, n in built.kinds.items() if n)
    state = "" if built.fresh else " (was there already)"
    console.print(f"{out}: {built.pictures} pictures{state}: {kinds}", markup=False)
    console.print(f"digest {built.digest}", markup=False)


@contextmanager
def _in_words(out: Path) -> Iterator[None]:
    """Turn what a person can mend into one line and an exit code."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StartupError(
            f"drawing needs {error.name}, which is not installed: "
            "pip install 'salon[train]'"
        ) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise StartupError(
                f"the disk is full; {out} keeps what is made: free some space and run "
                "the same command again"
            ) from error
        raise StartupError(f"{error.filename or out}: {error.strerror}") from error
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on with {out}", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except (StartupError, Unavailable):
        raise
    except Error as error:
        raise StartupError(str(error)) from error
