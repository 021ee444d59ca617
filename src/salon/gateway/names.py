"""Handles and names: what people may call themselves.

A *handle* is what one types to log in and to find somebody: letters of any script,
digits, ``. _ -``. It is unique by its *key*, the NFKC case-folded form, so ``Ann``,
``ann`` and full-width ``ＡＮＮ`` are one. A *name* is what others read: nearly any
text of one line, without the characters that make other text lie (line breaks,
controls, overrides of direction).
"""

import unicodedata

from salon.errors import Refusal

HANDLE_SHORTEST = 2
HANDLE_LONGEST = 32
NAME_LONGEST = 60

_KEY_LONGEST = 64
"""Folding can lengthen (ß to ss): what the column holds."""

_HANDLE_CATEGORIES = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}
_NAME_REFUSED = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
_DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e") | frozenset(
    "\u2066\u2067\u2068\u2069"
)


def handle_key(handle: str) -> str:
    """What makes a handle unique (Unicode's NFKC_Casefold, nearly)."""
    normal = unicodedata.normalize("NFKC", handle.strip())
    return unicodedata.normalize("NFKC", normal.casefold())


def check_handle(text: str) -> str:
    """The handle in NFKC.

    Raises:
        Refusal: theirs; ``handle_invalid``.
    """
    handle = unicodedata.normalize("NFKC", text.strip())
    allowed = all(
        char in "._-" or unicodedata.category(char) in _HANDLE_CATEGORIES
        for char in handle
    )
    if (
        not allowed
        or not HANDLE_SHORTEST <= len(handle) <= HANDLE_LONGEST
        or not handle[0].isalnum()
        or len(handle_key(handle)) > _KEY_LONGEST
    ):
        raise Refusal(
            "handle_invalid",
            f"A handle has {HANDLE_SHORTEST} to {HANDLE_LONGEST} letters, digits, dots, "
            "hyphens or underscores, and begins with a letter or digit.",
            field="handle",
            params={"min": HANDLE_SHORTEST, "max": HANDLE_LONGEST},
            status=422,
        )
    return handle


def check_name(text: str, *, field: str = "name") -> str:
    """The name in NFC, with single spaces.

    Raises:
        Refusal: theirs; ``name_invalid``.
    """
    lying = any(
        unicodedata.category(char) in _NAME_REFUSED or char in _DIRECTION
        for char in text
    )
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if lying or not 1 <= len(name) <= NAME_LONGEST:
        raise Refusal(
            "name_invalid",
            f"A name has 1 to {NAME_LONGEST} characters on one line, without control "
            "characters.",
            field=field,
            params={"max": NAME_LONGEST},
            status=422,
        )
    return name
