"""The embedded model at work: ONNX Runtime and numpy, no torch.

A picture comes about in four moves::

    prompt --USE--> vectors --prior--> reference (32 px, in about 10 ms a thing)
    reference + noise(seed) --U-Net, some steps--> 32 px --upscaler--> 128 px RGBA

Sampling starts from the *noised reference* (card: ``start``) instead of pure noise:
the prior owns the layout, the seed decides the rest. The noise is weaker than it was
in training (card: ``temperature`` below 1): a small U-Net leaves part of full noise in
the picture as blotches, and gives up some variety for clean surfaces. The first preview is the
reference itself, so something is to be seen at once.

A given picture (``init``) is brought to 32 px and stands in for the reference to the
share that is not drawn: the U-Net trusts its reference more than what it sees through
the noise, so a picture that were only noised would be forgotten in one step. What an
inpainting keeps is kept at 32 px at every step, and in the picture's own size at the
end (``pipelines/``).

An :class:`EmbeddedModel` is not for use by two threads at once; one worker owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging import pixels
from salon.imaging.card import ModelCard, ModelUnusable
from salon.imaging.concepts import Concepts
from salon.imaging.pipelines import compositing
from salon.imaging.pipelines.denoising import Known, denoise
from salon.imaging.pipelines.noise import Chance
from salon.imaging.pipelines.straight import StraightPath
from salon.imaging.png import read_parameters, save_png
from salon.imaging.ports import Cancelled, Defaults, Maker, OnStep, Picture, Step
from salon.imaging.reading import Reader
from salon.imaging.request import InvalidRequest, PictureRequest
from salon.imaging.samplers import registry
from salon.imaging.samplers.guidance import guided
from salon.imaging.samplers.names import NAMES
from salon.imaging.text import (
    SentenceEncoder,
    TextCondition,
    TextConditioner,
    Whitening,
)

__all__ = [
    "Cancelled",
    "EmbeddedModel",
    "InvalidRequest",
    "ModelUnusable",
    "PictureRequest",
    "Step",
    "read_parameters",
    "save_png",
]

Floats = NDArray[np.float32]
MODEL_FOLDER = Path(__file__).parent / "model"
"""The model that comes with Salon."""

_SIDE = (pixels.PICTURE, pixels.PICTURE)
_SMALL = (pixels.CANVAS, pixels.CANVAS)
_SAMPLER = "dpm++"


class EmbeddedModel:
    """Prior, U-Net and upscaler of one model folder; an ``ImageModel``."""

    samplers = NAMES

    def __init__(
        self,
        card: ModelCard,
        condition: TextConditioner,
        concepts: Concepts,
        prior: Any,
        unet: Any,
        upscaler: Any,
    ) -> None:
        self.card = card
        self._condition = condition
        self._prior = prior
        self._unet = unet
        self._upscaler = upscaler
        self._labels = set(concepts.labels)
        self._read = Reader(condition, concepts, self._prior_canvas)

    @classmethod
    def load(cls, folder: Path | None = None, threads: int = 1) -> EmbeddedModel:
        """Load the model of ``folder``, the one that comes with Salon by default.

        Takes about 1.5 s, most of it the text encoder, which is warmed up here.
        Raises :class:`~salon.imaging.card.ModelUnusable` if files are missing or
        damaged.
        """
        card = ModelCard.read(folder or MODEL_FOLDER)
        encoder = SentenceEncoder(threads)
        encoder.encode(["warm up"])
        whitening = Whitening.load(card.folder / "text.npz")
        return cls(
            card,
            TextConditioner(encoder, whitening),
            Concepts.load(card.folder / "concepts.npz"),
            *(
                _session(card.folder / f"{part}.onnx", threads)
                for part in ("prior", "unet", "upscaler")
            ),
        )

    @property
    def labels(self) -> set[str]:
        """What it was trained to draw, in English: for evaluation."""
        return self._labels

    @property
    def maker(self) -> Maker:
        return Maker(self.card.name, self.card.version)

    @property
    def defaults(self) -> Defaults:
        steps, guidance = (self.card.defaults[k] for k in ("steps", "guidance"))
        return Defaults(int(steps), guidance, _SAMPLER, *_SIDE)

    def imagine(
        self, request: PictureRequest, on_step: OnStep | None = None
    ) -> Picture:
        """Draw a sticker, or into a picture; see ``ports.py``.

        Without a mask the result is 128 x 128; with one, as large as its picture.
        """
        if (request.width or _SIDE[0], request.height or _SIDE[1]) != _SIDE:
            raise InvalidRequest(
                "width", f"this model draws {_SIDE[0]} x {_SIDE[1]} pixels only"
            )
        known = self.read_as(request.prompt)
        other = None if known == request.prompt else known
        full = replace(self.defaults.filled(request), width=_SIDE[0], height=_SIDE[1])
        return Picture(self.draw(full, on_step), full, self.maker, drawn_as=other)

    def draw(
        self, request: PictureRequest, on_step: OnStep | None = None
    ) -> Image.Image:
        """The picture of :meth:`imagine` alone."""
        drawn = self._finish(self._paint(request, on_step))
        if request.init is None or request.mask is None:
            return drawn
        original = _in_colour(request.init)
        return compositing.composite(
            original,
            compositing.unfitted(drawn, original.size),
            compositing.mask_of(request.mask),
        )

    def read_as(self, prompt: str) -> str:
        """The prompt itself, or the known one that is drawn in its place.

        See ``reading.py``: several things are read one by one, and what the model has
        no idea of as the nearest label it knows, in the same colour.
        """
        return self._read(prompt).prompt

    def canvas(self, request: PictureRequest) -> Floats:
        """The picture before the upscaler, (4, 32, 32) in [-1, 1]: for evaluation."""
        result: Floats = pixels.unfold(self._paint(request, None))[0]
        return result

    def reference_canvas(self, prompt: str) -> Floats:
        """What the prior alone makes of the prompt, (4, 32, 32), in about 10 ms."""
        return self._prior_canvas(self._condition(prompt))

    def _paint(self, request: PictureRequest, on_step: OnStep | None) -> Floats:
        """The drawing as patches (1, 16, 16, 16)."""
        request = self.defaults.filled(request)
        steps, guidance = request.settled
        read = self._read(request.prompt)
        text, reference = read.text, pixels.fold(read.reference[None])
        given = None if request.init is None else _Given.of(request.init, request.mask)
        if given is not None:
            reference = given.blended(reference, request.strength)
        taken = request.steps_taken
        self._tell(on_step, 0, taken, reference)
        path = StraightPath(steps, self.card.defaults["start"])
        warmth = np.float32(self.card.defaults["temperature"])
        chance = Chance(request)
        sampler = registry.make(
            request.sampler,
            path.diffusion,
            lambda x: warmth * chance.more(x.shape),
            spacing="trailing",
        )
        x: Floats = reference
        for step, done in enumerate(
            denoise(
                path.predict(
                    self._denoiser(text, request.negative, guidance, reference)
                ),
                sampler,
                path.diffusion,
                warmth * chance.start(reference.shape),
                steps,
                skip=steps - taken,
                base=reference,
                known=None if given is None else given.known,
            ),
            start=1,
        ):
            # PNDM asks once more than it has steps
            self._tell(on_step, min(step, taken), taken, done.x_0)
            x = done.x
        return x

    def _prior_canvas(self, text: TextCondition) -> Floats:
        """The prior's picture, (4, 32, 32) in [-1, 1]."""
        (canvas,) = self._prior.run(
            None,
            {
                "pooled": text.pooled[None],
                "words": text.words[None],
                "mask": text.mask[None],
            },
        )
        result: Floats = np.clip(canvas[0], -1.0, 1.0)
        return result

    def _denoiser(
        self, text: TextCondition, negative: str, guidance: float, reference: Floats
    ) -> Callable[[Floats, float], Floats]:
        """One U-Net evaluation per step: with guidance, a batch of two."""
        texts = [text]
        if guidance != 1.0:
            texts.append(self._condition(negative))
        n = len(texts)
        fixed = {
            "reference": np.repeat(reference, n, axis=0),
            "pooled": np.stack([c.pooled for c in texts]),
            "words": np.stack([c.words for c in texts]),
            "mask": np.stack([c.mask for c in texts]),
        }

        def denoise(x: Floats, t: float) -> Floats:
            at = np.full(n, t, np.float32)
            (x0,) = self._unet.run(
                None, {"x": np.repeat(x, n, axis=0), "t": at, **fixed}
            )
            return guided(x0[:1], x0[-1:], guidance if n == 2 else 1.0)

        return denoise

    def _tell(
        self, on_step: OnStep | None, step: int, steps: int, patches: Floats
    ) -> None:
        if on_step is None:
            return
        if on_step(Step(step, steps, self._finish(patches))) is False:
            raise Cancelled(f"cancelled at step {step} of {steps}")

    def _finish(self, patches: Floats) -> Image.Image:
        canvas = np.clip(pixels.unfold(patches), -1.0, 1.0)
        (large,) = self._upscaler.run(None, {"canvas": canvas})
        return Image.fromarray(pixels.to_picture(large[0]))


@dataclass(frozen=True)
class _Given:
    """A picture that somebody gave, as the U-Net sees it."""

    patches: Floats
    """(1, 16, 16, 16)"""
    known: Known | None
    """What of it is kept; None where there is no mask."""

    @classmethod
    def of(cls, init: Image.Image, mask: Image.Image | None) -> _Given:
        square = compositing.fitted(init.convert("RGBA"), _SMALL, (0, 0, 0, 0))
        patches = pixels.fold(pixels.to_canvas(np.asarray(square))[None])
        if mask is None:
            return cls(patches, None)
        small = compositing.shrunken(compositing.mask_of(mask), _SMALL)
        repaint = pixels.fold(np.repeat(small[None, None], 4, axis=1))
        return cls(patches, Known(patches, repaint))

    def blended(self, reference: Floats, strength: float) -> Floats:
        """The reference of a drawing that is to keep a share of this picture."""
        share = np.float32(strength)
        result: Floats = share * reference + (np.float32(1.0) - share) * self.patches
        if self.known is not None:
            result = self.known.put_into(result, self.patches)
        return result


def _in_colour(image: Image.Image) -> Image.Image:
    """RGB and RGBA as they are, bit for bit; all else (palettes, grey) as RGBA."""
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")


def _session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session; its memory arena is off, small graphs need none."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ORT raises its own kinds, and RuntimeError
        raise ModelUnusable(f"{path} is not a usable ONNX model: {error}") from error
