"""Any Stable Diffusion with PyTorch: a diffusers folder, or one safetensors file.

Loading is diffusers' work, under four conditions: nothing is downloaded, nothing is
unpickled, no code of a model is run, and what cannot be is said in words. Then a U-Net
over latents (SD 1, 2, XL, LCM, Salon's own) is driven by our loop (``latent.py``), and
everything else by its own pipeline (``whole.py``).

Needs ``pip install 'salon[diffusers]'``; imported by ``choose.py`` only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from salon.imaging.backends import single_file
from salon.imaging.backends.checkpoint import Checkpoint, check_weights
from salon.imaging.backends.choice import EXTRA, Choice, LoraFile
from salon.imaging.backends.conditioning import (
    ClipConditioner,
    SentenceConditioner,
    XlConditioner,
)
from salon.imaging.backends.latent import Conditioner, LatentDiffusion
from salon.imaging.backends.schedule import Schedule, UnknownSchedule
from salon.imaging.backends.whole import OWN, WholePipeline
from salon.imaging.card import ModelUnusable
from salon.imaging.ports import Defaults, Lora, Maker, Note, OnStep, Picture
from salon.imaging.request import PictureRequest

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_OUR_LOOP = ("StableDiffusion", "StableDiffusionXL", "LatentConsistencyModel")
_USES = ("Pipeline", "Img2ImgPipeline", "InpaintPipeline")


class DiffusersModel:
    """A loaded model; an ``ImageModel``."""

    def __init__(
        self, engine: LatentDiffusion | WholePipeline, maker: Maker, sampler: str
    ) -> None:
        self._engine = engine
        self.maker = maker
        self._sampler = sampler
        self.samplers = engine.samplers

    @classmethod
    def load(cls, checkpoint: Checkpoint, choice: Choice) -> DiffusersModel:
        """Load from the disk onto the device.

        Raises:
            ModelUnusable: device, type, weights or their combination cannot be used.
        """
        device = _device(choice.device)
        dtype = _dtype(choice.dtype, device)
        torch.set_num_threads(choice.threads)
        if device.type == "cuda":  # the same request, the same pixels
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
        _be_quiet_and_offline()
        with warnings.catch_warnings():
            # what libraries warn of is the model's author's to mend, not the user's
            warnings.simplefilter("ignore")
            pipe = _pipeline(checkpoint, dtype).to(device)
        pipe.set_progress_bar_config(disable=True)
        loras = _add_loras(pipe, choice.loras)
        maker = Maker(
            checkpoint.name,
            checkpoint.version(),
            "diffusers",
            device.type,
            str(dtype).removeprefix("torch."),
            loras,
        )
        schedule = _schedule(pipe)
        if schedule is None or not _is_ours(pipe):
            return cls(WholePipeline(pipe), maker, OWN)
        conditioner = _conditioner(pipe, checkpoint.path)
        engine = LatentDiffusion(pipe.unet, pipe.vae, conditioner, schedule)
        return cls(engine, maker, schedule.sampler)

    @property
    def defaults(self) -> Defaults:
        plain = PictureRequest("size", 0)
        return Defaults(
            *self._engine.recommended, self._sampler, *self._engine.size_for(plain)
        )

    def imagine(
        self, request: PictureRequest, on_step: OnStep | None = None
    ) -> Picture:
        """Draw; see ``ports.py``."""
        return self.imagine_all([request], on_step)[0]

    def imagine_all(
        self, requests: Sequence[PictureRequest], on_step: OnStep | None = None
    ) -> list[Picture]:
        """Draw requests that differ in their seeds only, at once where it can.

        A picture of a batch is the one drawn alone up to rounding. ``on_step`` sees
        the first.
        """
        width, height = self._engine.size_for(requests[0])
        full = [
            replace(self.defaults.filled(request), width=width, height=height)
            for request in requests
        ]
        if isinstance(self._engine, WholePipeline):
            images = [self._engine.draw(request, on_step) for request in full]
            notes: tuple[Note, ...] = ()
        else:
            drawn = self._engine.draw(full, on_step)
            images, notes = drawn.images, drawn.notes
        return [
            Picture(image, request, self.maker, notes)
            for image, request in zip(images, full, strict=True)
        ]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelUnusable(
            f"device: {name!r} cannot be used here; cpu, cuda, mps or auto"
        ) from error
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        name = "float16" if device.type == "cuda" else "float32"
    if name not in DTYPES:
        raise ModelUnusable(f"dtype: {name!r} is unknown; one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _be_quiet_and_offline() -> None:
    """Nothing asks the network, also not for a file that a folder lacks."""
    import diffusers
    import huggingface_hub.constants
    import transformers

    huggingface_hub.constants.HF_HUB_OFFLINE = True
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def _pipeline(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline

    try:
        if checkpoint.kind == "file":
            return single_file.load(checkpoint.path, dtype)
        parts: dict[str, Any] = checkpoint.missing_parts()
        if (checkpoint.path / "safety_checker").exists():
            parts |= {"safety_checker": None, "requires_safety_checker": False}
        return DiffusionPipeline.from_pretrained(
            str(checkpoint.path),
            use_safetensors=True,
            local_files_only=True,
            dtype=dtype,
            **parts,
        )
    except ModelUnusable:
        raise
    except Exception as error:  # diffusers raises whatever its parts raise
        words = " ".join(str(error).split())[:300]
        raise ModelUnusable(
            f"{checkpoint.path} cannot be loaded: {type(error).__name__}: {words}"
        ) from error


def _schedule(pipe: Any) -> Schedule | None:
    scheduler = getattr(pipe, "scheduler", None)
    if scheduler is None:
        return None
    try:
        return Schedule.of(type(scheduler).__name__, scheduler.config)
    except UnknownSchedule:
        return None
    except ValueError as error:
        raise ModelUnusable(f"its scheduler cannot be used: {error}") from error


def _is_ours(pipe: Any) -> bool:
    return type(pipe).__name__ in {
        family + use for family in _OUR_LOOP for use in _USES
    }


def _conditioner(pipe: Any, path: Path) -> Conditioner:
    if pipe.text_encoder is None and getattr(pipe, "text_encoder_2", None) is None:
        width = int(pipe.unet.config.cross_attention_dim)
        return SentenceConditioner(path, width, pipe.unet.device, pipe.unet.dtype)
    if type(pipe).__name__.startswith("StableDiffusionXL"):
        return XlConditioner(pipe)
    return ClipConditioner(pipe)


@dataclass(frozen=True)
class _Named:
    """Adapters are told apart by names without dots."""

    adapter: str
    lora: Lora


def _add_loras(pipe: Any, files: Sequence[LoraFile]) -> tuple[Lora, ...]:
    """Load, scale and combine LoRA weights. Raises ModelUnusable."""
    if not files:
        return ()
    named = []
    for i, file in enumerate(files):
        check_weights(file.path)
        one = _Named(f"lora{i}", Lora(file.path.stem, file.scale))
        try:
            pipe.load_lora_weights(
                str(file.path.parent),
                weight_name=file.path.name,
                adapter_name=one.adapter,
                local_files_only=True,
                use_safetensors=True,
            )
        except ImportError as error:
            raise ModelUnusable(f"LoRA needs {error}: {EXTRA}") from error
        except Exception as error:  # peft and diffusers raise many kinds
            words = " ".join(str(error).split())[:300]
            raise ModelUnusable(
                f"{file.path.name} is no LoRA for this model: {words}"
            ) from error
        named.append(one)
    loaded = {name for names in pipe.get_list_adapters().values() for name in names}
    for one in named:
        if one.adapter not in loaded:
            raise ModelUnusable(f"{one.lora.name} changes nothing in this model")
    pipe.set_adapters([n.adapter for n in named], [n.lora.scale for n in named])
    return tuple(n.lora for n in named)
