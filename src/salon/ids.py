"""Identifiers: what they are made of, and how they travel.

Rows have 64-bit ids. JSON carries them as decimal strings, because JavaScript's
numbers end at 2**53. A *time-ordered* id is ``41 bit ms | 10 bit node | 12 bit
counter`` (Twitter's snowflake), so that ids sort by age.
"""

import secrets
from typing import NewType

UserId = NewType("UserId", int)
ConversationId = NewType("ConversationId", int)
MessageId = NewType("MessageId", int)
JobId = NewType("JobId", int)
FileId = NewType("FileId", int)

EPOCH_MS = 1_700_000_000_000
"""2023-11-14: where the 41 bits of milliseconds begin to count (69 years)."""


def time_ordered(now_ms: int, node: int, counter: int) -> int:
    """An id from a time, a node (0..1023) and a counter (its low 12 bits count)."""
    ms = max(0, now_ms - EPOCH_MS) & ((1 << 41) - 1)
    return (ms << 22) | ((node & 0x3FF) << 12) | (counter & 0xFFF)


def random_id(now_ms: int) -> int:
    """A time-ordered id whose 22 low bits are chance: for rows without a log."""
    return (time_ordered(now_ms, 0, 0)) | secrets.randbits(22)


def token(bits: int = 256) -> str:
    """An unguessable URL-safe token (ASVS 7.2.3 asks for at least 128 bits)."""
    return secrets.token_urlsafe((bits + 7) // 8)


def parse_id(text: str) -> int:
    """The number in a decimal id.

    Raises:
        ValueError: theirs; not 1 to 19 decimal digits of a 63-bit number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError("an id is 1 to 19 decimal digits")
    value = int(text)
    if value >= 1 << 63:
        raise ValueError("an id is a 63-bit number")
    return value
