"""``salon evaluate``: how good is a picture model? One JSON, one sheet."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from salon.errors import StartupError

if TYPE_CHECKING:
    from salon.imaging.evaluate.eyes import Eye


def evaluate(
    model: Annotated[
        Path | None,
        typer.Argument(help="a model folder or file; left out: the one inside Salon"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="folder for report and sheet")
    ] = Path("evaluation"),
    packages: Annotated[
        Path | None,
        typer.Option(help="where the art is or will be fetched to with npm"),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="MobileNetV2: .onnx, or torchvision's .pth (needs torch)"),
    ] = None,
    judge: Annotated[
        Path | None, typer.Option(help="folder of `salon train judge`")
    ] = None,
    count: Annotated[int, typer.Option(min=10, help="labels to draw")] = 320,
    threads: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Draw fixed prompts with fixed seeds and measure what comes out.

    Writes evaluation.json and compositions.png. About eight minutes for the model
    inside Salon, on one core; the first run fetches and draws the real pictures.
    """
    from salon.imaging.backends import choose
    from salon.imaging.card import ModelUnusable
    from salon.imaging.evaluate import report, sheet
    from salon.imaging.evaluate.gallery import open_gallery

    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    try:
        loaded = choose.load(choose.Choice(model, threads=threads))
    except ModelUnusable as error:
        raise StartupError(str(error)) from error
    try:
        gallery = open_gallery(out, packages or out / "packages", console.log)
    except ModuleNotFoundError as error:
        raise StartupError(
            f"drawing the real pictures needs {error.name}, which is not installed: "
            "pip install 'salon[train]'"
        ) from error
    examination = report.Examination(
        loaded,
        gallery,
        _eyes(features, judge, out, threads),
        getattr(loaded, "labels", None),
        console.log,
    )
    found: dict[str, Any] = {
        "model": loaded.maker.model,
        "version": loaded.maker.version,
        **examination.run(count),
        "cost": report.cost(model),
    }
    text = json.dumps(found, indent=2)
    (out / "evaluation.json").write_text(text + "\n", "utf-8")
    sheet.composition_sheet(examination.sheet).save(out / "compositions.png")
    console.print_json(text)


def _eyes(
    features: Path | None, judge: Path | None, out: Path, threads: int
) -> "dict[str, Eye]":
    from salon.imaging.evaluate.eyes import Judge, MobileNet

    found: dict[str, Eye] = {}
    if features is not None:
        if not features.is_file():
            raise StartupError(f"there is no file {features}")
        path = out / "features.onnx"
        if features.suffix == ".onnx":
            if features.absolute() != path.absolute():
                shutil.copyfile(features, path)
        else:
            _convert(features, path)
        found["mobilenet"] = MobileNet(path, threads)
    if judge is not None:
        if not (judge / "judge.json").is_file():
            raise StartupError(f"{judge} holds no judge; make one: salon train judge")
        found["judge"] = Judge(judge, threads)
    return found


def _convert(weights: Path, path: Path) -> None:
    try:
        from salon.imaging.export import export_features
    except ModuleNotFoundError as error:
        raise StartupError(
            f"turning {weights.name} into ONNX needs {error.name}, which is not "
            "installed: pip install 'salon[train]'"
        ) from error
    export_features(weights, path)
