"""A picture that says how it was made: text chunks in the PNG.

Two chunks: ``parameters`` in the form that the Stable Diffusion web UI (A1111) made
common, which many viewers show, and ``salon`` with the same as JSON, exact.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from PIL import Image, PngImagePlugin

from salon.errors import Refusal
from salon.imaging.request import InvalidRequest, PictureRequest

SAMPLER = "DPM++ 2M"
_MAX_TEXT = 64 * 1024


class NoParameters(Refusal):
    """The file is no PNG, or none of ours; the file's fault, not the program's."""

    def __init__(self, message: str) -> None:
        super().__init__("no_parameters", message, field="file")


def save_png(
    image: Image.Image,
    target: Path | IO[bytes],
    request: PictureRequest,
    model: str = "salon-emoji",
    version: str = "1",
) -> None:
    """Write the picture as PNG with everything needed to draw it again.

    Raises OSError if the target cannot be written. The bytes depend only on the
    arguments.
    """
    facts = {**asdict(request), "sampler": SAMPLER, "model": model, "version": version}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", _a1111(request, image.size, model, version))
    info.add_itxt("salon", json.dumps(facts, ensure_ascii=False, sort_keys=True))
    image.save(target, format="PNG", pnginfo=info)


def read_parameters(data: bytes) -> dict[str, Any]:
    """Return the ``salon`` chunk: the request's fields, sampler, model, version.

    Raises :class:`NoParameters` if the bytes are not a PNG that Salon made.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()  # text chunks may come after the pixels
            text = getattr(image, "text", {}).get("salon")
    except (OSError, ValueError, SyntaxError) as error:
        raise NoParameters(f"this is not a readable PNG: {error}") from error
    if text is None or len(text) > _MAX_TEXT:
        raise NoParameters("this PNG does not say how Salon made it")
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise NoParameters("the PNG's parameters are damaged") from error
    if not isinstance(facts, dict):
        raise NoParameters("the PNG's parameters are damaged")
    return facts


def request_of(parameters: dict[str, Any]) -> PictureRequest:
    """The request that drew the picture, to draw it again.

    Raises :class:`NoParameters` if fields are missing or out of range.
    """
    try:
        return PictureRequest(
            prompt=str(parameters["prompt"]),
            seed=int(parameters["seed"]),
            steps=int(parameters["steps"]),
            guidance=float(parameters["guidance"]),
            negative=str(parameters.get("negative", "")),
        )
    except (KeyError, TypeError, ValueError, InvalidRequest) as error:
        raise NoParameters(f"the PNG's parameters are damaged: {error}") from error


def _a1111(
    request: PictureRequest, size: tuple[int, int], model: str, version: str
) -> str:
    lines = [request.prompt]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    lines.append(
        f"Steps: {request.steps}, Sampler: {SAMPLER}, CFG scale: {request.guidance:g}, "
        f"Seed: {request.seed}, Size: {size[0]}x{size[1]}, "
        f"Model: {model}, Version: {version}"
    )
    return "\n".join(lines)
