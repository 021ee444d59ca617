"""A picture that says how it was made: text chunks in the PNG.

Two chunks: ``parameters`` in the form that the Stable Diffusion web UI (A1111) made
common, which many viewers show, and ``salon`` with the same as JSON, exact. What is
read back is the JSON; of pictures of other programs, what the web UI's text says.

Pictures that were given (``init``, ``mask``) are named by the SHA-256 of their pixels:
to draw again they must be given again, and a wrong one is noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import IO, Any

from PIL import Image, PngImagePlugin

from salon.errors import Refusal
from salon.imaging.ports import Lora, Maker, Picture
from salon.imaging.request import InvalidRequest, PictureRequest
from salon.imaging.samplers.names import TITLES

_MAX_TEXT = 64 * 1024
_SAMPLER = "dpm++"
"""What the embedded model draws with where nobody chose."""


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
    """:func:`save` for a picture of the embedded model that is only an image."""
    save(Picture(image, request, Maker(model, version)), target)


def save(picture: Picture, target: Path | IO[bytes], **more: Any) -> None:
    """Write the picture as PNG with everything needed to draw it again.

    ``more`` goes into the JSON as it is. Raises OSError if the target cannot be
    written. The bytes depend only on the arguments.
    """
    facts = {**facts_of(picture), **more}
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", _a1111(facts, picture.image.size))
    info.add_itxt("salon", json.dumps(facts, ensure_ascii=False, sort_keys=True))
    picture.image.save(target, format="PNG", pnginfo=info)


def facts_of(picture: Picture) -> dict[str, Any]:
    """All that decides the picture's pixels, ready for JSON."""
    request, maker = picture.request, picture.maker
    return {
        "prompt": request.prompt,
        "negative": request.negative,
        "seed": request.seed,
        "steps": request.steps,
        "guidance": request.guidance,
        "sampler": request.sampler,
        "width": request.width,
        "height": request.height,
        "strength": request.strength,
        "variation": request.variation,
        "variation_seed": request.variation_seed,
        "init": fingerprint(request.init),
        "mask": fingerprint(request.mask),
        "model": maker.model,
        "version": maker.version,
        "backend": maker.backend,
        "device": maker.device,
        "dtype": maker.dtype,
        "loras": [[lora.name, lora.scale] for lora in maker.loras],
    }


def fingerprint(image: Image.Image | None) -> str | None:
    """SHA-256 of mode, size and pixels; None for none."""
    if image is None:
        return None
    head = f"{image.mode} {image.width} {image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def read_parameters(data: bytes) -> dict[str, Any]:
    """How the picture was made: the ``salon`` chunk.

    For a picture of another program, what its ``parameters`` say of prompt, negative,
    seed, steps, guidance, sampler and size.

    Raises :class:`NoParameters` if the bytes are not a PNG that says how it was made.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()  # text chunks may come after the pixels
            chunks = getattr(image, "text", {})
    except (OSError, ValueError, SyntaxError) as error:
        raise NoParameters(f"this is not a readable PNG: {error}") from error
    text, theirs = chunks.get("salon"), chunks.get("parameters")
    if text is None and theirs is not None and len(theirs) <= _MAX_TEXT:
        return parse_a1111(theirs)
    if text is None or len(text) > _MAX_TEXT:
        raise NoParameters("this PNG does not say how Salon made it")
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise NoParameters("the PNG's parameters are damaged") from error
    if not isinstance(facts, dict):
        raise NoParameters("the PNG's parameters are damaged")
    return facts


def request_of(
    parameters: dict[str, Any],
    init: Image.Image | None = None,
    mask: Image.Image | None = None,
) -> PictureRequest:
    """The request that drew the picture, to draw it again.

    Raises:
        NoParameters: fields are missing or out of range.
        InvalidRequest: the picture was drawn from another one than ``init``, or with
            another ``mask``, or these are missing.
    """
    for name, given in (("init", init), ("mask", mask)):
        if parameters.get(name) != fingerprint(given):
            raise InvalidRequest(name, _WRONG_PICTURE[given is None])
    try:
        return PictureRequest(
            prompt=str(parameters["prompt"]),
            seed=int(parameters["seed"]),
            steps=int(parameters["steps"]),
            guidance=float(parameters["guidance"]),
            negative=str(parameters.get("negative", "")),
            sampler=str(parameters.get("sampler", "")),
            width=int(parameters.get("width", 0)),
            height=int(parameters.get("height", 0)),
            init=init,
            mask=mask,
            strength=float(parameters.get("strength", 0.8)),
            variation=float(parameters.get("variation", 0.0)),
            variation_seed=int(parameters.get("variation_seed", 0)),
        )
    except (KeyError, TypeError, ValueError, InvalidRequest) as error:
        raise NoParameters(f"the PNG's parameters are damaged: {error}") from error


_WRONG_PICTURE = {
    True: "this picture was drawn with one; give the same file again",
    False: "this picture was drawn without it, or with another file",
}


def maker_of(parameters: dict[str, Any]) -> Maker:
    """What drew the picture. Raises :class:`NoParameters` if that is not said."""
    try:
        return Maker(
            str(parameters["model"]),
            str(parameters["version"]),
            str(parameters.get("backend", "onnx")),
            str(parameters.get("device", "cpu")),
            str(parameters.get("dtype", "float32")),
            tuple(Lora(str(n), float(s)) for n, s in parameters.get("loras", [])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NoParameters("the PNG does not say which model drew it") from error


def _a1111(facts: dict[str, Any], size: tuple[int, int]) -> str:
    lines = [facts["prompt"]]
    if facts["negative"]:
        lines.append(f"Negative prompt: {facts['negative']}")
    said = {
        "Steps": facts["steps"],
        "Sampler": TITLES[facts["sampler"] or _SAMPLER],
        "CFG scale": f"{facts['guidance']:g}",
        "Seed": facts["seed"],
        "Size": f"{size[0]}x{size[1]}",
        "Model": facts["model"],
    }
    if facts["variation"]:
        said["Variation seed"] = facts["variation_seed"]
        said["Variation seed strength"] = f"{facts['variation']:g}"
    if facts["init"]:
        said["Denoising strength"] = f"{facts['strength']:g}"
    said["Version"] = facts["version"]
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in said.items()))
    return "\n".join(lines)


def _quoted(value: Any) -> str:
    """The web UI quotes values that hold its separators, as JSON does."""
    text = str(value)
    special = any(mark in text for mark in ',:\n"')
    return json.dumps(text, ensure_ascii=False) if special else text


_PAIR = re.compile(r'\s*([\w ./-]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"


def parse_a1111(text: str) -> dict[str, Any]:
    """The web UI's text as fields of a request; unknown samplers are left out.

    Raises :class:`NoParameters` if it has no line of steps and seed.
    """
    *words, last = text.strip().split("\n")
    pairs = dict(_PAIR.findall(last))
    split = next((i for i, w in enumerate(words) if w.startswith(_NEGATIVE)), None)
    positive = words if split is None else words[:split]
    negative = [] if split is None else words[split:]
    width, _, height = pairs.get("Size", "").partition("x")
    try:
        facts = {
            "prompt": "\n".join(positive),
            "negative": "\n".join(negative).removeprefix(_NEGATIVE).strip(),
            "steps": int(pairs["Steps"]),
            "guidance": float(pairs.get("CFG scale", 1.0)),
            "seed": int(pairs["Seed"]),
            "width": int(width or 0),
            "height": int(height or 0),
        }
    except (KeyError, ValueError) as error:
        raise NoParameters("this PNG does not say how it was made") from error
    title = pairs.get("Sampler", "")
    named = next((n for n, t in TITLES.items() if title and title.startswith(t)), None)
    return facts if named is None else {**facts, "sampler": named}
