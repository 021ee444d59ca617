"""The embedded model at work: ONNX Runtime and numpy, no torch.

A picture comes about in four moves::

    prompt --USE--> vectors --prior--> reference (32 px, in about 10 ms)
    reference + noise(seed) --U-Net, some steps--> 32 px --upscaler--> 128 px RGBA

Sampling starts from the *noised reference* (card: ``start``) instead of pure noise:
the prior owns the layout, the seed decides the rest. The noise is weaker than it was
in training (card: ``temperature`` below 1): a small U-Net leaves part of full noise in
the picture as blotches, and gives up some variety for clean surfaces. The first preview is the
reference itself, so something is to be seen at once.

An :class:`EmbeddedModel` is not for use by two threads at once; one worker owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.errors import Error
from salon.imaging import pixels, schedules
from salon.imaging.card import ModelCard, ModelUnusable
from salon.imaging.concepts import CLEAR, FAMILIAR, Concepts, certainty
from salon.imaging.png import read_parameters, save_png
from salon.imaging.request import InvalidRequest, PictureRequest
from salon.imaging.samplers.guidance import guided
from salon.imaging.samplers.multistep import sample
from salon.imaging.text import (
    SentenceEncoder,
    TextCondition,
    TextConditioner,
    Whitening,
    normalise,
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


@dataclass(frozen=True)
class Step:
    """Progress of one picture. ``preview`` is what it looks like so far."""

    step: int
    """0 for the prior's picture, ``steps`` for the last."""
    steps: int
    preview: Image.Image | None


OnStep = Callable[[Step], bool]
"""Called after each step; returning False cancels the picture."""


class Cancelled(Error):
    """The caller's ``on_step`` asked to stop; nothing is wrong."""


class EmbeddedModel:
    """Prior, U-Net and upscaler of one model folder."""

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
        self._concepts = concepts
        self._prior = prior
        self._unet = unet
        self._upscaler = upscaler

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

    def draw(
        self, request: PictureRequest, on_step: OnStep | None = None
    ) -> Image.Image:
        """Return the picture, RGBA, 128 x 128; the same request, the same pixels.

        Raises :class:`Cancelled` when ``on_step`` returns False.
        """
        return self._finish(self._paint(request, on_step))

    def read_as(self, prompt: str) -> str:
        """The prompt itself, or the known one that is drawn in its place.

        See ``concepts.py``: a prompt the model has no idea of is read as the nearest
        label it knows, in the same colour.
        """
        if certainty(self.reference_canvas(prompt)) >= FAMILIAR:
            return prompt
        for known in self._concepts.nearest(prompt, self._condition.encoder):
            if known == normalise(prompt):
                return prompt
            if certainty(self.reference_canvas(known)) >= CLEAR:
                return known
        return prompt

    def canvas(self, request: PictureRequest) -> Floats:
        """The picture before the upscaler, (4, 32, 32) in [-1, 1]: for evaluation."""
        result: Floats = pixels.unfold(self._paint(request, None))[0]
        return result

    def reference_canvas(self, prompt: str) -> Floats:
        """What the prior alone makes of the prompt, (4, 32, 32), in about 10 ms."""
        result: Floats = pixels.unfold(self.reference(self._condition(prompt)))[0]
        return result

    def _paint(self, request: PictureRequest, on_step: OnStep | None) -> Floats:
        text = self._condition(self.read_as(request.prompt))
        reference = self.reference(text)
        self._tell(on_step, 0, request.steps, reference)
        start = self.card.defaults["start"]
        noise = np.random.default_rng(request.seed).standard_normal(
            reference.shape, np.float32
        )
        denoise = self._denoiser(request, text, reference)
        times = schedules.times(request.steps, start)
        noise *= np.float32(self.card.defaults["temperature"])
        x: Floats = schedules.mix(reference, noise, np.float32(start))
        for solved in sample(denoise, x, times):
            self._tell(on_step, solved.step, request.steps, solved.x0)
            x = solved.x
        return x

    def reference(self, text: TextCondition) -> Floats:
        """The prior's picture as patches (1, 16, 16, 16)."""
        (canvas,) = self._prior.run(
            None,
            {
                "pooled": text.pooled[None],
                "words": text.words[None],
                "mask": text.mask[None],
            },
        )
        return pixels.fold(np.clip(canvas, -1.0, 1.0))

    def _denoiser(
        self, request: PictureRequest, text: TextCondition, reference: Floats
    ) -> Callable[[Floats, float], Floats]:
        """One U-Net evaluation per step: with guidance, a batch of two."""
        texts = [text]
        if request.guidance != 1.0:
            texts.append(self._condition(request.negative))
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
            return guided(x0[:1], x0[-1:], request.guidance if n == 2 else 1.0)

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
