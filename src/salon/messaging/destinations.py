"""Destinations: which spellings exist, and the prefixes that mean something.

``/app/…`` goes to controllers, ``/topic/…`` to everybody who subscribed, ``/queue/…`` to
one of them, and ``/user/queue/…`` to the sessions of one user. A destination is a *name*: it is never
decoded, and has one spelling only. Rights are decided on that spelling, so anything
that somebody might take for another spelling of it is refused.
"""

import re
import unicodedata

from salon.messaging.refusal import NotGranted

APP = "/app"
USER = "/user"
QUEUE = "/queue"
TOPIC = "/topic"
CHARS_MAX = 1024
"""Characters of a destination: room for any name, and rights stay quick to decide."""

_BAD = re.compile(r"[\x00-\x1f\x7f*?{}\\]|//|/\.{1,2}(?:/|$)|/$|^(?!/)")


def check_canonical(destination: str) -> None:
    """Refuse wildcards and everything that is not spelt in the one right way.

    Raises:
        NotGranted: theirs; ``destination_invalid``.
    """
    if len(destination) > CHARS_MAX:
        raise NotGranted(
            "destination_invalid", f"a destination may have {CHARS_MAX} characters"
        )
    if _BAD.search(destination) or not unicodedata.is_normalized("NFC", destination):
        raise NotGranted(
            "destination_invalid",
            "a destination starts with '/', has no empty or dotted segments, no"
            " wildcards, no control characters, and is in Unicode's form NFC",
        )


def is_pattern(destination: str) -> bool:
    """Whether a destination names several: it has a ``*``."""
    return "*" in destination


def within(prefix: str, destination: str) -> str | None:
    """What follows ``prefix``, with its leading slash; None outside of it.

    Whole segments count: ``/appendix`` is not within ``/app``.
    """
    if destination.startswith(f"{prefix}/"):
        return destination[len(prefix) :]
    return None
