"""Latent diffusion with a U-Net: Stable Diffusion 1, 2, XL and their kin.

The models are diffusers', the loop is ours (``pipelines/denoising.py``): all seven
samplers, the three uses, the guess x_0 as preview and the stop between two steps are
then the same as for the embedded model, and noise comes from the same numbers.

Latents are float32 throughout; only what enters a network is cast to its type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from salon.imaging import pixels
from salon.imaging.backends.conditioning import Condition
from salon.imaging.backends.preview import LatentPreview
from salon.imaging.backends.schedule import Schedule
from salon.imaging.pipelines import compositing
from salon.imaging.pipelines.denoising import Known, denoise
from salon.imaging.pipelines.noise import Chance
from salon.imaging.ports import Cancelled, Note, OnStep, Step
from salon.imaging.request import SIDE_STEP, InvalidRequest, PictureRequest
from salon.imaging.samplers import registry
from salon.imaging.samplers.guidance import mixed


class Conditioner(Protocol):
    """Words to what the U-Net reads."""

    def __call__(
        self, request: PictureRequest, size: tuple[int, int], guided: bool
    ) -> Condition: ...


@dataclass(frozen=True)
class Drawn:
    """A batch, with what should be known of it."""

    images: list[Image.Image]
    notes: tuple[Note, ...]


class Autoencoder:
    """AutoencoderKL and the like, between pictures and latents in float32."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        config = vae.config
        self.factor = 2 ** (len(config.block_out_channels) - 1)
        self.colours = int(config.out_channels)
        self._scale = float(getattr(config, "scaling_factor", None) or 1.0)
        self._shift = float(getattr(config, "shift_factor", None) or 0.0)
        if getattr(config, "force_upcast", False) and vae.dtype == torch.float16:
            vae.to(torch.float32)  # XL's decoder overflows in half precision

    def encode(self, image: Image.Image) -> torch.Tensor:
        """The posterior's mode for one picture: (1, c, h / factor, w / factor)."""
        return self.encode_canvas(_to_canvas(image, self.colours))

    def encode_canvas(self, canvas: torch.Tensor) -> torch.Tensor:
        """The same for (1, colours, h, w) in [-1, 1]."""
        x = canvas.to(self._vae.device, self._vae.dtype)
        encoded = self._vae.encode(x)
        latent = (
            encoded.latent_dist.mode()
            if hasattr(encoded, "latent_dist")
            else encoded.latents
        )
        result: torch.Tensor = (latent.float() - self._shift) * self._scale
        return result

    def decode(self, latents: torch.Tensor) -> Image.Image:
        """One picture of (1, c, h, w)."""
        z = (latents / self._scale + self._shift).to(self._vae.device, self._vae.dtype)
        return _to_image(self._vae.decode(z).sample[0].float().cpu().numpy())


class LatentDiffusion:
    """U-Net, autoencoder and conditioner of one folder."""

    def __init__(
        self, unet: Any, vae: Any, conditioner: Conditioner, schedule: Schedule
    ) -> None:
        self._unet = unet
        self._autoencoder = Autoencoder(vae)
        self._conditioner = conditioner
        self._schedule = schedule
        self._channels = int(vae.config.latent_channels)
        self._preview = self._fitted_preview()
        self.samplers = registry.usable(schedule.diffusion)

    @property
    def recommended(self) -> tuple[int, float]:
        """Steps and guidance where nobody chose.

        XL was made for less guidance than its elders. Consistency models (Luo et al.
        2023, arXiv 2310.04378) take four steps; where guidance is an input of the U-Net
        it is 8.5 as in their pipeline, else they are drawn without.
        """
        if self._schedule.sampler == "lcm":
            return 4, 8.5 if self._guidance_width else 1.0
        xl = self._unet.config.addition_embed_type == "text_time"
        return (30, 5.0) if xl else (25, 7.5)

    @property
    def native(self) -> tuple[int, int]:
        """Width and height that the U-Net was trained at."""
        side = self._unet.config.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        factor = self._autoencoder.factor
        return width * factor, height * factor

    def size_for(self, request: PictureRequest) -> tuple[int, int]:
        """What was asked; or the shape of ``init``, as many pixels as trained."""
        if request.width:
            return request.width, request.height
        if request.init is None:
            return self.native
        scale = math.sqrt(math.prod(self.native) / math.prod(request.init.size))
        step = max(SIDE_STEP, self._autoencoder.factor)
        width, height = (
            max(step, round(side * scale / step) * step) for side in request.init.size
        )
        return width, height

    def draw(self, requests: Sequence[PictureRequest], on_step: OnStep | None) -> Drawn:
        """Draw requests that differ in their seeds only, all at once.

        ``on_step`` sees the first. Raises InvalidRequest and Cancelled.
        """
        request = requests[0]
        if request.sampler not in self.samplers:
            raise InvalidRequest(
                "sampler",
                f"{request.sampler} cannot start at this model's zero terminal SNR; "
                f"one of {', '.join(self.samplers)}",
            )
        with torch.inference_mode():
            return self._draw(requests, request, on_step)

    def _draw(
        self,
        requests: Sequence[PictureRequest],
        request: PictureRequest,
        on_step: OnStep | None,
    ) -> Drawn:
        steps, guidance = request.settled
        size = (request.width, request.height)
        original, known = self._given(request, size)
        condition = self._conditioner(request, size, self._takes_guidance(guidance))
        factor = self._autoencoder.factor
        shape = (self._channels, size[1] // factor, size[0] // factor)
        chances = [Chance(r) for r in requests]
        noise = self._stacked([c.start(shape) for c in chances])
        sampler = registry.make(
            request.sampler,
            self._schedule.diffusion,
            lambda _: self._stacked([c.more(shape) for c in chances]),
            self._schedule.spacing,
            self._schedule.offset,
        )
        skip = steps - request.steps_taken
        run = denoise(
            self._predict(guidance, condition, known),
            sampler,
            self._schedule.diffusion,
            noise,
            steps,
            skip=skip,
            base=original if skip else None,
            known=known,
        )
        x = noise
        for step, done in enumerate(run, start=1):
            self._tell(on_step, min(step, request.steps_taken), request, done.x_0)
            x = done.x
        images = [self._autoencoder.decode(x[i : i + 1]) for i in range(len(x))]
        return Drawn([_put_back(image, request) for image in images], condition.notes)

    def _given(
        self, request: PictureRequest, size: tuple[int, int]
    ) -> tuple[torch.Tensor | None, Known | None]:
        """``init`` as latents, and what of it is to be kept."""
        if request.init is None:
            return None, None
        transparent = self._autoencoder.colours == 4
        ground = (0, 0, 0, 0) if transparent else (255, 255, 255, 255)
        fitted = compositing.fitted(request.init.convert("RGBA"), size, ground)
        original = self._autoencoder.encode(fitted)
        if request.mask is None:
            return original, None
        factor = self._autoencoder.factor
        small = compositing.shrunken(
            compositing.mask_of(request.mask), (size[0] // factor, size[1] // factor)
        )
        repaint = torch.from_numpy(small)[None, None].to(original.device)
        return original, Known(original, repaint)

    def _takes_guidance(self, guidance: float) -> bool:
        """Whether the U-Net is asked twice: not where guidance was distilled into it."""
        return guidance != 1.0 and not self._guidance_width

    @property
    def _guidance_width(self) -> int:
        return int(self._unet.config.time_cond_proj_dim or 0)

    def _predict(
        self, guidance: float, condition: Condition, known: Known | None
    ) -> Callable[[torch.Tensor, int], torch.Tensor]:
        """The U-Net with classifier-free guidance (Ho & Salimans, arXiv 2207.12598)."""
        guided = len(condition.states) == 2
        more: dict[str, Any] = {}
        if condition.added:
            more["added_cond_kwargs"] = condition.added
        if self._guidance_width:
            more["timestep_cond"] = self._guidance_embedding(guidance)
        extra = self._inpainting_input(known)

        def predict(x: torch.Tensor, t: int) -> torch.Tensor:
            x_in = torch.cat([x, x]) if guided else x
            if extra is not None:
                x_in = torch.cat([x_in, extra(x_in)], dim=1)
            n = len(x)
            repeated = {k: _repeated(v, n) for k, v in condition.added.items()}
            keywords = more | ({"added_cond_kwargs": repeated} if repeated else {})
            out = self._unet(
                x_in.to(self._unet.dtype),
                t,
                encoder_hidden_states=_repeated(condition.states, n),
                **keywords,
            ).sample.float()
            if not guided:
                return out
            negative, positive = out.chunk(2)
            return mixed(positive, negative, guidance)

        return predict

    def _guidance_embedding(self, guidance: float) -> torch.Tensor:
        """Sinusoids of 1000 (g - 1), for a U-Net that learned guidance as an input.

        Meng et al. 2023, arXiv 2210.03142, section 3.1; Luo et al. 2023 (LCM),
        arXiv 2310.04378.
        """
        half = self._guidance_width // 2
        rates = torch.exp(-math.log(10_000.0) * torch.arange(half) / (half - 1))
        angles = 1000.0 * (guidance - 1.0) * rates
        row = torch.cat([angles.sin(), angles.cos()])[None]
        return row.to(self._unet.device, self._unet.dtype)

    def _inpainting_input(
        self, known: Known | None
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Mask and masked picture as further channels, for U-Nets trained for them."""
        if int(self._unet.config.in_channels) == self._channels:
            return None

        def channels(x: torch.Tensor) -> torch.Tensor:
            if known is None:  # nothing is known: everything is drawn
                mask, rest = torch.ones_like(x[:, :1]), torch.zeros_like(x)
            else:
                mask = known.repaint.expand(len(x), 1, -1, -1)
                rest = ((1.0 - known.repaint) * known.picture).expand(
                    len(x), -1, -1, -1
                )
            return torch.cat([mask, rest], dim=1)

        return channels

    def _stacked(self, arrays: list[Any]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self._unet.device)

    def _tell(
        self,
        on_step: OnStep | None,
        step: int,
        request: PictureRequest,
        x_0: torch.Tensor,
    ) -> None:
        if on_step is None:
            return
        canvas = self._preview(x_0[0].float().cpu().numpy())
        image = _to_image(canvas).resize(
            (request.width, request.height), Image.Resampling.BICUBIC
        )
        if on_step(Step(step, request.steps_taken, image)) is False:
            raise Cancelled(f"cancelled at step {step} of {request.steps_taken}")

    def _fitted_preview(self) -> LatentPreview:
        def encode(canvas: Any) -> Any:
            latents = self._autoencoder.encode_canvas(torch.from_numpy(canvas))
            return latents.cpu().numpy()

        with torch.inference_mode():
            return LatentPreview.fit(
                encode, self._autoencoder.factor, self._autoencoder.colours
            )


def _put_back(image: Image.Image, request: PictureRequest) -> Image.Image:
    """An inpainting in the size of its picture, what was kept bit for bit."""
    if request.init is None or request.mask is None:
        return image
    original = request.init
    if original.mode not in ("RGB", "RGBA"):
        original = original.convert("RGBA")
    return compositing.composite(
        original,
        compositing.unfitted(image, original.size),
        compositing.mask_of(request.mask),
    )


def _repeated(rows: torch.Tensor, times: int) -> torch.Tensor:
    """(1 or 2, …) -> (times or 2 times, …): all negatives, then all positives."""
    return rows.repeat_interleave(times, dim=0)


def _to_canvas(image: Image.Image, colours: int) -> torch.Tensor:
    """An RGBA picture -> (1, colours, h, w) in [-1, 1]; without alpha on white."""
    canvas = pixels.to_canvas(np.asarray(image.convert("RGBA")))
    return torch.from_numpy(canvas[None, :colours].copy())


def _to_image(canvas: Any) -> Image.Image:
    """(3 or 4, h, w) in [-1, 1] -> RGB or RGBA; what lies outside is cut."""
    if len(canvas) == 4:
        return Image.fromarray(pixels.to_picture(canvas))
    values = np.clip(canvas.transpose(1, 2, 0) * 127.5 + 127.5, 0.0, 255.0)
    return Image.fromarray((values + 0.5).astype(np.uint8))
