"""A picture job: its states, its limits, and the check of what is asked.

::

    queued ──lease──▶ leased ──result──▶ done
      ▲ ▲                │ └───fault───▶ failed      (also: deadline, attempts used up)
      │ └──lease lost────┘
      └── queued and leased may be cancelled at any time ▶ cancelled

``queued`` and ``leased`` are *open*. Exactly one of done, failed, cancelled ever
follows; the owner decides which, in the order of the log. The lease (attempt, worker)
is ordinary state beside the log: it says who works, never how a job ends.
"""

import math
import re
import unicodedata
from dataclasses import dataclass

from salon.errors import Refusal
from salon.ids import ConversationId, JobId, UserId
from salon.imaging.request import MAX_GUIDANCE, MAX_PROMPT, MAX_STEPS

QUEUED = "queued"
LEASED = "leased"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"
OPEN = (QUEUED, LEASED)

PROMPT_MAX = MAX_PROMPT
STEPS_MAX = MAX_STEPS
GUIDANCE_MAX = MAX_GUIDANCE

SEED_MAX = 2**31 - 1
"""What every viewer, worker and JavaScript number can hold."""

OPEN_PER_USER = 3
OPEN_IN_ALL = 200

DEADLINE_S = 600
"""From asking to the end, whatever the end is."""

LEASE_S = 30
"""A worker that says nothing for so long is thought dead."""

ATTEMPTS_MAX = 3

NOTES_MAX = 3
NOTE_MAX = 160
"""Characters of a note's message, and of a parameter half of it: what a worker says of
its picture travels in an address, for which proxies have 8 KiB."""

ONCE = (12, 1.8)
"""Steps and guidance that every request without any had, before it could leave them to
the model: what the embedded model takes."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is kept.

    Attributes:
        seq: number of the picture's event in its conversation.
        steps: None where the model's own are wanted; ``guidance`` likewise.
        created: milliseconds since 1970; ``deadline`` likewise.
        attempt: how often it was leased so far.
        worker: who holds the lease, in state ``leased``.
        lease_until: changes with every stored renewal; for showing, never for deciding.
    """

    id: JobId
    conversation: ConversationId
    seq: int
    user: UserId
    prompt: str
    negative: str
    seed: int
    steps: int | None
    guidance: float | None
    created: int
    deadline: int
    state: str = QUEUED
    attempt: int = 0
    worker: str | None = None
    lease_until: int | None = None

    @property
    def open(self) -> bool:
        """Whether no end has come yet."""
        return self.state in OPEN


@dataclass(frozen=True)
class Wish:
    """What somebody asks to be drawn, checked; None: whatever it will be drawn with."""

    prompt: str
    negative: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None


def wish(
    prompt: str,
    *,
    negative: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> Wish:
    """Check a request; options at the end of the prompt count where a field is absent.

    Raises:
        Refusal: theirs; names the field and its limit.
    """
    if len(prompt) > 2 * PROMPT_MAX + 100:  # prompt, negative and the options' names
        raise _too_long("prompt", len(prompt))
    words = parse_options(prompt)
    seed = words.seed if seed is None else seed
    steps = steps if steps is not None else words.steps
    text = _clean(words.prompt, "prompt")
    if not text:
        raise Refusal("prompt_empty", "Say what to draw.", field="prompt")
    if seed is not None:
        _within("seed", seed, 0, SEED_MAX)
    if steps is not None:
        _within("steps", steps, 1, STEPS_MAX)
    if guidance is not None:
        _within("guidance", guidance, 0, GUIDANCE_MAX)
    return Wish(
        prompt=text,
        negative=_clean(words.negative if negative is None else negative, "negative"),
        seed=seed,
        steps=steps,
        guidance=None if guidance is None else float(guidance),
    )


_OPTION = re.compile(r"(?:^|\s)(?:--|\N{EM DASH})(seed|steps|no)(?=\s|$)")
"""Telephones write two hyphens as a dash."""


def parse_options(prompt: str) -> Wish:
    """Split ``a red fox --no cats --seed 7 --steps 20`` into its parts, unchecked.

    ``--no`` reaches to the next option or the end. Unknown ``--words`` are prompt.

    Raises:
        Refusal: theirs; an option without the number that it needs.
    """
    text, *rest = _OPTION.split(prompt)
    given: dict[str, str] = {}
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        given[name] = value.strip()
    return Wish(
        prompt=text.strip(),
        negative=given.get("no", ""),
        seed=_option_number("seed", given["seed"]) if "seed" in given else None,
        steps=_option_number("steps", given["steps"]) if "steps" in given else None,
    )


def _option_number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Refusal(
            "option_invalid",
            f"--{name} needs one whole number, and options stand at the end: "
            f"a red fox --{name} 7",
            field="prompt",
            params={"option": name},
        )
    return int(text)


def _clean(text: str, field: str) -> str:
    """One line without what does not show; line breaks become spaces."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if len(text) > PROMPT_MAX:
        raise _too_long(field, len(text))
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise Refusal(
            "prompt_invalid",
            f"`{field}` contains control characters; take them out.",
            field=field,
        )
    return text


def _too_long(field: str, length: int) -> Refusal:
    return Refusal(
        "prompt_too_long",
        f"`{field}` has at most {PROMPT_MAX} characters; this has {length}.",
        field=field,
        params={"limit": PROMPT_MAX, "length": length},
        status=413,
    )


def _within(field: str, value: float, low: int, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise Refusal(
            "number_out_of_range",
            f"`{field}` is a number from {low} to {high:g}.",
            field=field,
            params={"min": low, "max": high},
        )
