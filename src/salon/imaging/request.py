"""What may be asked of a picture model, and how it says no.

Three uses, one request:

* **text to image**: ``prompt`` alone.
* **image to image** (SDEdit, Meng et al. 2022, arXiv 2108.01073): with ``init``, the
  first share ``1 - strength`` of the steps is left out and the picture, noised as much
  as it would be by then, takes its place.
* **inpainting**: with ``mask`` as well. White is drawn anew; what is black is the same
  in the result to the last bit.

Pictures are told apart by what they are (Pillow compares pixels), so equal requests
are equal and give equal pixels on the same backend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from salon.errors import Refusal
from salon.imaging.samplers.names import NAMES

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PROMPT = 500
MAX_STEPS = 50
MAX_GUIDANCE = 20.0
MAX_SIDE = 2048
SIDE_STEP = 8
"""Autoencoders shrink eight times; sides must be divisible by it."""
MAX_INIT_PIXELS = 16_000_000
_UNFILLED = "`ports.Defaults.filled` comes first"


class InvalidRequest(Refusal):
    """The asker's mistake; ``field`` names which part, the message says what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__("invalid_picture", f"{field}: {message}", field=field)


@dataclass(frozen=True)
class PictureRequest:
    """A prompt and how to draw it. Equal requests give equal pixels.

    Raises :class:`InvalidRequest` for values out of range.
    """

    prompt: str
    seed: int
    steps: int | None = None
    """None: as many as the model takes by itself; likewise ``guidance``."""
    guidance: float | None = None
    negative: str = ""
    sampler: str = ""
    """One of ``samplers/names.py``; empty: the model's own."""
    width: int = 0
    """In pixels; 0: the model's own, or as the ``init`` picture has it."""
    height: int = 0
    init: Image | None = None
    mask: Image | None = None
    """As large as ``init``; any mode, read as grey: from 128 on it is drawn anew."""
    strength: float = 0.8
    """Share of the steps that are taken from ``init``; 1 forgets it altogether."""
    variation: float = 0.0
    """0 to 1: how far the noise is turned from ``seed``'s to ``variation_seed``'s."""
    variation_seed: int = 0

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise InvalidRequest("prompt", "is empty; say what to draw")
        for name in ("prompt", "negative"):
            length = len(getattr(self, name))
            if length > MAX_PROMPT:
                raise InvalidRequest(
                    name, f"has {length} characters; at most {MAX_PROMPT} are allowed"
                )
        for name in ("seed", "variation_seed"):
            if not 0 <= getattr(self, name) < 1 << 64:
                raise InvalidRequest(name, "must be between 0 and 2^64 - 1")
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise InvalidRequest("steps", f"must be between 1 and {MAX_STEPS}")
        if self.guidance is not None:
            _check_share("guidance", self.guidance, MAX_GUIDANCE)
        _check_share("variation", self.variation, 1.0)
        if self.sampler and self.sampler not in NAMES:
            raise InvalidRequest(
                "sampler", f"{self.sampler!r} is unknown; one of {', '.join(NAMES)}"
            )
        self._check_sides()
        self._check_pictures()

    def _check_sides(self) -> None:
        if (self.width == 0) != (self.height == 0):
            raise InvalidRequest("size", "give both width and height, or neither")
        for name in ("width", "height"):
            side = getattr(self, name)
            if side and not (SIDE_STEP <= side <= MAX_SIDE and side % SIDE_STEP == 0):
                raise InvalidRequest(
                    name,
                    f"must be a multiple of {SIDE_STEP} between {SIDE_STEP} and "
                    f"{MAX_SIDE}, not {side}",
                )

    def _check_pictures(self) -> None:
        _check_share("strength", self.strength, 1.0)
        if self.strength == 0.0:
            raise InvalidRequest("strength", "0 would draw nothing; more than 0 to 1")
        if self.init is not None and math.prod(self.init.size) > MAX_INIT_PIXELS:
            raise InvalidRequest(
                "init",
                f"has {self.init.width} x {self.init.height} pixels; at most "
                f"{MAX_INIT_PIXELS // 1_000_000} million are allowed",
            )
        if self.mask is None:
            return
        if self.init is None:
            raise InvalidRequest("mask", "needs init, the picture that it belongs to")
        if self.mask.size != self.init.size:
            raise InvalidRequest(
                "mask",
                f"is {self.mask.width} x {self.mask.height} pixels, its picture "
                f"{self.init.width} x {self.init.height}; they must be as large",
            )

    @property
    def settled(self) -> tuple[int, float]:
        """Steps and guidance of a request that a model has filled in."""
        assert self.steps is not None, _UNFILLED
        assert self.guidance is not None, _UNFILLED
        return self.steps, self.guidance

    @property
    def steps_taken(self) -> int:
        """How many of the steps are made: the share ``strength``, at least one.

        Of a filled request only.
        """
        steps = self.steps
        assert steps is not None, _UNFILLED
        if self.init is None:
            return steps
        # 0.8 * 10 is 8 and 0.29 * 100 is 29, whatever binary fractions say
        return max(1, math.floor(steps * self.strength + 1e-9))


def _check_share(field: str, value: float, most: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= most):
        raise InvalidRequest(field, f"must be between 0 and {most:g}")
