"""The port: what a picture model is, whatever draws inside.

Two engines stand behind it: the embedded model on ONNX Runtime (``runtime.py``) and
any Stable Diffusion with PyTorch (``backends/diffusers.py``). Who uses a model knows
this file and ``request.py`` only; ``backends/choose.py`` picks the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from salon.errors import Error
from salon.imaging.request import PictureRequest

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Step:
    """Progress of one picture. ``preview`` is what it looks like so far."""

    step: int
    """0 for the first sketch, where a model has one; ``steps`` for the last."""
    steps: int
    preview: Image | None


OnStep = Callable[[Step], bool]
"""Called after each step; returning False cancels the picture."""


class Cancelled(Error):
    """The caller's ``on_step`` asked to stop; nothing is wrong."""


@dataclass(frozen=True)
class Lora:
    """Low-rank weights that were added to the model (Hu et al. 2021)."""

    name: str
    scale: float = 1.0


@dataclass(frozen=True)
class Maker:
    """What drew a picture; with the request, all that decides its pixels."""

    model: str
    version: str
    backend: str = "onnx"
    """``onnx`` or ``diffusers``."""
    device: str = "cpu"
    dtype: str = "float32"
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True)
class Defaults:
    """What a model takes where the request says nothing."""

    steps: int
    guidance: float
    sampler: str
    width: int
    height: int

    def filled(self, request: PictureRequest) -> PictureRequest:
        """The request with steps, guidance and sampler, which decide the pixels."""
        return replace(
            request,
            steps=self.steps if request.steps is None else request.steps,
            guidance=self.guidance if request.guidance is None else request.guidance,
            sampler=request.sampler or self.sampler,
        )


@dataclass(frozen=True)
class Note:
    """What the asker should know of a picture, e.g. which words were not read.

    As in ``errors.Refusal``: ``code`` for translation with ``params``, ``message`` in
    plain English. The codes: ``prompt_cut`` and ``negative_cut`` (room, lost),
    ``prompt_words`` and ``negative_words`` (words).
    """

    code: str
    message: str
    params: Mapping[str, str | int]


@dataclass(frozen=True)
class Picture:
    """A finished picture, with all that is needed to draw it again."""

    image: Image
    request: PictureRequest
    """As it was drawn: steps, guidance, sampler and size filled in."""
    maker: Maker
    notes: tuple[Note, ...] = ()
    drawn_as: str | None = None
    """The known prompt that was drawn in place of an unfamiliar one."""


class ImageModel(Protocol):
    """A model, loaded. One thread at a time."""

    @property
    def maker(self) -> Maker: ...

    @property
    def defaults(self) -> Defaults: ...

    @property
    def samplers(self) -> tuple[str, ...]:
        """Names that this model can be sampled with."""
        ...

    def imagine(
        self, request: PictureRequest, on_step: OnStep | None = None
    ) -> Picture:
        """Draw; the same request gives the same pixels.

        Raises:
            InvalidRequest: theirs; this model cannot draw it; names the field.
            Cancelled: ``on_step`` returned False.
        """
        ...
