"""What may be asked of a picture model, and how it says no."""

from __future__ import annotations

import math
from dataclasses import dataclass

from salon.errors import Refusal

MAX_PROMPT = 500
MAX_STEPS = 50
MAX_GUIDANCE = 20.0


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
    steps: int = 12
    guidance: float = 1.8
    negative: str = ""

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise InvalidRequest("prompt", "is empty; say what to draw")
        for name in ("prompt", "negative"):
            length = len(getattr(self, name))
            if length > MAX_PROMPT:
                raise InvalidRequest(
                    name, f"has {length} characters; at most {MAX_PROMPT} are allowed"
                )
        if not 0 <= self.seed < 1 << 64:
            raise InvalidRequest("seed", "must be between 0 and 2^64 - 1")
        if not 1 <= self.steps <= MAX_STEPS:
            raise InvalidRequest("steps", f"must be between 1 and {MAX_STEPS}")
        if not (math.isfinite(self.guidance) and 0 <= self.guidance <= MAX_GUIDANCE):
            raise InvalidRequest("guidance", f"must be between 0 and {MAX_GUIDANCE:g}")
