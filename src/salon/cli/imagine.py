"""``salon imagine``: draw a picture in the shell, without a server or a network.

Values that a person did not give are the model's own, so they are known only when it is
loaded; what can be checked before is checked before.
"""

import secrets
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from salon.errors import Refusal, StartupError
from salon.imaging.request import InvalidRequest, PictureRequest

if TYPE_CHECKING:
    from PIL.Image import Image

    from salon.imaging.backends.choose import Choice
    from salon.imaging.ports import ImageModel, Picture, Step

EXIT_USAGE = 2
MOST = 64
"""Pictures of one command."""


@dataclass(frozen=True)
class Wish:
    """The command line as it was given; None: the model's own."""

    prompt: str | None
    seed: int
    n: int
    variation: float
    variation_seed: int
    given: dict[str, Any]
    """Fields of the request that were given."""
    again: dict[str, Any] | None
    """Parameters of the picture to draw again."""

    def requests(self) -> list[PictureRequest]:
        """One per picture. Raises InvalidRequest or NoParameters."""
        from salon.imaging.png import request_of

        given = {k: v for k, v in self.given.items() if v is not None}
        if self.again is not None:
            first = request_of(self.again, given.get("init"), given.get("mask"))
            n = _count(self.again)
        else:
            first = PictureRequest(
                self.prompt or "",
                self.seed,
                variation=self.variation,
                variation_seed=self.variation_seed,
                **given,
            )
            n = self.n
        return [_next(first, i) for i in range(n)]


def imagine(
    prompt: Annotated[
        str | None, typer.Argument(help="what to draw; in any language")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="the PNG file to write")
    ] = Path("picture.png"),
    negative: Annotated[str, typer.Option(help="what should not be in it")] = "",
    seed: Annotated[
        int | None, typer.Option(help="the same seed draws the same picture")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="1 to 50; more is slower  [the model's own]")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="0 to 20; how closely to follow the prompt  [the model's]"),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="ddpm, ddim, pndm, euler, dpm++, unipc or lcm  [the model's]"
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels  [the model's]")
    ] = None,
    n: Annotated[
        int, typer.Option("--n", min=1, max=MOST, help="pictures; more than 1: a grid")
    ] = 1,
    init: Annotated[
        Path | None, typer.Option(help="a picture to start from (image to image)")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="0 to 1: how much of --init is drawn anew  [0.8]"),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="inpainting: white in it is drawn anew")
    ] = None,
    expand: Annotated[
        int,
        typer.Option(min=0, max=1024, help="outpainting: margins of so many pixels"),
    ] = 0,
    variation: Annotated[
        float, typer.Option(help="0 to 1: how far to turn from the seed's picture")
    ] = 0.0,
    variation_seed: Annotated[
        int | None, typer.Option(help="towards which other seed")
    ] = None,
    again: Annotated[
        Path | None, typer.Option(help="draw this PNG again, as it says it was made")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="a diffusers folder, a .safetensors file, or Salon's kind"),
    ] = None,
    lora: Annotated[
        list[str] | None, typer.Option(help="FILE[:SCALE]; may be given several times")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="float32, float16, bfloat16 or auto")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=64)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Draw a picture and write it, with how it was made, into a PNG file."""
    try:
        given = {
            "negative": negative,
            "steps": steps,
            "guidance": guidance,
            "sampler": sampler,
            "strength": strength,
            **_size(size),
            **_pictures(init, mask, expand),
        }
        wish = Wish(
            prompt,
            secrets.randbelow(1 << 32) if seed is None else seed,
            n,
            variation,
            _other_seed(variation, variation_seed),
            given,
            _parameters(again, prompt),
        )
        if again is None:
            wish.requests()  # say what is wrong before a model is loaded
        _check_writable(out)
        choice = _choice(model, lora or [], device, dtype, threads)
        pictures = _draw(wish, choice, quiet)
    except Refusal as error:
        sys.stderr.write(f"salon imagine: {error}\n")
        raise typer.Exit(EXIT_USAGE) from error
    _write(pictures, out)
    if not quiet:
        _report(pictures, out)


def _other_seed(variation: float, given: int | None) -> int:
    """Chance only where it matters, so that the same command writes the same file."""
    if given is not None:
        return given
    return secrets.randbelow(1 << 32) if variation else 0


def _draw(wish: Wish, choice: "Choice", quiet: bool) -> "list[Picture]":
    from salon.imaging.backends import choose
    from salon.imaging.card import ModelUnusable

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("loading the model", total=None)
        try:
            model = choose.load(choice)
        except ModelUnusable as error:
            raise StartupError(str(error)) from error
        if wish.again is not None:
            _check_maker(wish.again, model)
        requests = [model.defaults.filled(r) for r in wish.requests()]
        progress.update(task, total=sum(r.steps_taken + 1 for r in requests))
        done = 0

        def on_step(step: "Step") -> bool:
            progress.update(task, completed=done + step.step + 1, description="drawing")
            return True

        pictures = []
        for request in requests:
            pictures.append(model.imagine(request, on_step))
            done += request.steps_taken + 1
        progress.update(task, completed=done)
    return pictures


def _check_maker(parameters: dict[str, Any], model: "ImageModel") -> None:
    """Say what is not as it was when the picture was drawn; another model is an error."""
    from salon.imaging.png import maker_of

    if "model" not in parameters:  # of another program: as near as can be
        sys.stderr.write("drawn by another program: the picture will be another\n")
        return
    then, now = maker_of(parameters), model.maker
    if (then.model, then.version) != (now.model, now.version):
        raise InvalidRequest(
            "model",
            f"the picture was drawn by {then.model} {then.version}, this is "
            f"{now.model} {now.version}; name the right one with --model",
        )
    if then.loras != now.loras:
        said = ", ".join(f"{lora.name}:{lora.scale:g}" for lora in then.loras)
        raise InvalidRequest("lora", f"the picture was drawn with {said or 'none'}")
    if (then.device, then.dtype) != (now.device, now.dtype):
        sys.stderr.write(
            f"drawn on {then.device} in {then.dtype}, now on {now.device} in "
            f"{now.dtype}: single bits may differ\n"
        )


def _choice(
    model: Path | None, loras: list[str], device: str, dtype: str, threads: int
) -> "Choice":
    from salon.imaging.backends.choose import Choice

    return Choice(model, [_lora(text) for text in loras], device, dtype, threads)


def _lora(text: str) -> Any:
    from salon.imaging.backends.choose import LoraFile

    name, colon, scale = text.rpartition(":")
    if not colon or "/" in scale:
        return LoraFile(Path(text))
    try:
        return LoraFile(Path(name), float(scale))
    except ValueError as error:
        raise InvalidRequest("lora", f"{text}: write FILE or FILE:SCALE") from error


def _size(text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InvalidRequest("size", f"write WIDTHxHEIGHT, such as 512x768, not {text}")
    return {"width": int(width), "height": int(height)}


def _pictures(
    init: Path | None, mask: Path | None, expand: int
) -> "dict[str, Image | None]":
    given = None if init is None else _opened(init, "init")
    hole = None if mask is None else _opened(mask, "mask")
    if not expand:
        return {"init": given, "mask": hole}
    if given is None or hole is not None:
        raise InvalidRequest("expand", "needs --init, and has a mask of its own")
    from salon.imaging.pipelines.compositing import expanded

    if given.mode not in ("RGB", "RGBA"):
        given = given.convert("RGBA")
    wide, margins = expanded(given, expand, expand, expand, expand)
    return {"init": wide, "mask": margins}


def _opened(path: Path, field: str) -> "Image":
    from PIL import Image, ImageOps

    from salon.imaging.request import MAX_INIT_PIXELS

    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_INIT_PIXELS:
                raise InvalidRequest(
                    field,
                    f"has {image.width} x {image.height} pixels; at most "
                    f"{MAX_INIT_PIXELS // 1_000_000} million are allowed",
                )
            image.load()
            turned = ImageOps.exif_transpose(image)
            return turned if turned.mode in _MODES else turned.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(field, f"{path} cannot be read as a picture") from error


_MODES = ("RGB", "RGBA", "L")


def _parameters(again: Path | None, prompt: str | None) -> dict[str, Any] | None:
    if again is None:
        return None
    if prompt is not None:
        raise InvalidRequest("again", "a picture drawn again has its own prompt")
    from salon.imaging.png import read_parameters

    try:
        return read_parameters(again.read_bytes())
    except OSError as error:
        raise InvalidRequest("again", f"{again}: {error.strerror}") from error


def _count(parameters: dict[str, Any]) -> int:
    n = parameters.get("n", 1)
    return n if isinstance(n, int) and 1 <= n <= MOST else 1


def _next(first: PictureRequest, i: int) -> PictureRequest:
    """The i-th of a grid: the next seed, or the next variation of one seed."""
    if first.variation:
        return replace(first, variation_seed=(first.variation_seed + i) % (1 << 64))
    return replace(first, seed=(first.seed + i) % (1 << 64))


def _write(pictures: "list[Picture]", out: Path) -> None:
    """One picture into ``out``; of several the grid, and each beside it."""
    from salon.imaging import png

    first = pictures[0]
    try:
        if len(pictures) == 1:
            png.save(first, out)
            return
        for i, picture in enumerate(pictures, start=1):
            png.save(picture, out.with_name(f"{out.stem}-{i}{out.suffix}"))
        grid = _grid([picture.image for picture in pictures])
        png.save(replace(first, image=grid), out, n=len(pictures))
    except OSError as error:
        raise StartupError(f"{out} cannot be written: {error.strerror}") from error


def _grid(images: "list[Image]") -> "Image":
    """Row by row, as square as may be."""
    import math

    from PIL import Image

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width, height = images[0].size
    sheet = Image.new(images[0].mode, (columns * width, rows * height))
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * width, i // columns * height))
    return sheet


def _report(pictures: "list[Picture]", out: Path) -> None:
    first = pictures[0].request
    many = f", {len(pictures)} pictures" if len(pictures) > 1 else ""
    turned = f", variation seed {first.variation_seed}" if first.variation else ""
    sys.stderr.write(f"{out}  (seed {first.seed}{turned}{many})\n")
    said = [f"drawn as “{p.drawn_as}”" for p in pictures if p.drawn_as is not None]
    said += [note.message for picture in pictures for note in picture.notes]
    for words in dict.fromkeys(said):
        sys.stderr.write(f"note: {words}\n")


def _check_writable(out: Path) -> None:
    """Say that a file cannot be written before the work and not after it."""
    if out.is_dir():
        raise StartupError(f"{out} is a folder; name a file with -o")
    if not out.absolute().parent.is_dir():
        raise StartupError(f"the folder {out.absolute().parent} does not exist")
