"""Models that are no U-Net over latents (SD 3, Flux, Sana …): diffusers' own pipeline.

What a pipeline does inside is its own: samplers and variations are not offered, and
there are no previews. Steps are told, a run stops between two of them, and an
inpainting is put back bit for bit as everywhere.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from PIL import Image

from salon.imaging.card import ModelUnusable
from salon.imaging.pipelines import compositing
from salon.imaging.ports import Cancelled, OnStep, Step
from salon.imaging.request import (
    MAX_GUIDANCE,
    MAX_STEPS,
    InvalidRequest,
    PictureRequest,
)

OWN = ""
"""The name of the only sampler: what the folder says."""


class WholePipeline:
    """Any pipeline of diffusers that draws from a prompt.

    Raises:
        ModelUnusable: it draws from something else.
    """

    samplers: tuple[str, ...] = ()

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        if "prompt" not in inspect.signature(pipe.__call__).parameters:
            raise ModelUnusable(
                f"a {type(pipe).__name__} does not draw from words; a model of "
                "`salon train ddpm` is drawn with `salon sample`"
            )

    @property
    def recommended(self) -> tuple[int, float]:
        """Steps and guidance where nobody chose: the pipeline's own."""
        known = inspect.signature(self._pipe.__call__).parameters

        def own(name: str, otherwise: float) -> float:
            value = known[name].default if name in known else otherwise
            return value if isinstance(value, int | float) else otherwise

        steps = min(MAX_STEPS, int(own("num_inference_steps", 28)))
        return steps, min(MAX_GUIDANCE, float(own("guidance_scale", 1.0)))

    def size_for(self, request: PictureRequest) -> tuple[int, int]:
        """What was asked, or what the pipeline has as its own."""
        if request.width:
            return request.width, request.height
        parts = self._pipe.components
        network = parts.get("transformer") or parts.get("unet")
        side = getattr(getattr(network, "config", None), "sample_size", None)
        factor = int(getattr(self._pipe, "vae_scale_factor", 8))
        native = factor * side if isinstance(side, int) else 1024
        return native, native

    def draw(self, request: PictureRequest, on_step: OnStep | None) -> Image.Image:
        """Draw. Raises InvalidRequest and Cancelled."""
        if request.sampler or request.variation:
            field = "sampler" if request.sampler else "variation"
            raise InvalidRequest(
                field, f"a {type(self._pipe).__name__} has its own and takes none"
            )
        pipe = self._pipe_for(request)
        known = inspect.signature(pipe.__call__).parameters
        wanted = self._keywords(request, on_step)
        given = {name: value for name, value in wanted.items() if name in known}
        with torch.inference_mode():
            image: Image.Image = pipe(**given).images[0]
        if request.init is None or request.mask is None:
            return image
        original = request.init.convert("RGB")
        drawn = compositing.unfitted(image, original.size)
        return compositing.composite(original, drawn, compositing.mask_of(request.mask))

    def _pipe_for(self, request: PictureRequest) -> Any:
        """The same models, wired for the use that is asked."""
        if request.init is None:
            return self._pipe
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

        kind, field = (
            (AutoPipelineForImage2Image, "init")
            if request.mask is None
            else (AutoPipelineForInpainting, "mask")
        )
        try:
            return kind.from_pipe(self._pipe)
        except ValueError as error:
            raise InvalidRequest(
                field, f"a {type(self._pipe).__name__} cannot use one"
            ) from error

    def _keywords(
        self, request: PictureRequest, on_step: OnStep | None
    ) -> dict[str, Any]:
        def told(_pipe: Any, i: int, _t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            step = Step(i + 1, request.steps_taken, None)
            if on_step is not None and on_step(step) is False:
                raise Cancelled(f"cancelled at step {step.step} of {step.steps}")
            return kwargs

        size = (request.width, request.height)
        steps, guidance = request.settled
        keywords: dict[str, Any] = {
            "prompt": request.prompt,
            "negative_prompt": request.negative or None,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "width": request.width,
            "height": request.height,
            "generator": torch.Generator("cpu").manual_seed(request.seed),
            "callback_on_step_end": told,
        }
        if request.init is not None:
            white = (255, 255, 255)
            keywords["image"] = compositing.fitted(
                request.init.convert("RGB"), size, white
            )
            keywords["strength"] = request.strength
        if request.mask is not None:
            mask = compositing.mask_of(request.mask)
            keywords["mask_image"] = compositing.fitted(mask, size, (0,))
        return keywords
