"""Passwords: which are accepted, and how they are kept.

Kept as argon2id with OWASP's minimum (19 MiB, 2 passes, 1 lane): about 25 ms of one
core. That is long for an event loop, so hashing runs in threads, two at a time, and
at most ``WAITING`` callers may wait for their turn.

Accepted by length and by not being guessable at once (OWASP ASVS 5.0, 6.2); there
are no rules about kinds of characters, and nothing is cut off. A password is
normalised to NFC before hashing, as the same letters typed on two systems may arrive
in two spellings (NIST SP 800-63B, 5.1.1.2).
"""

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from salon.errors import Refusal
from salon.gateway.guessable import is_guessable

T = TypeVar("T")

SHORTEST = 8
LONGEST = 256
"""Characters. Longer is refused in words, never cut; argon2's time does not grow."""

AT_ONCE = 2
"""Hashes computed at the same time: each takes a core and 19 MiB."""

WAITING = 100
"""Callers that may wait: 100 x 25 ms / 2 is little more than a second."""


def check_password(password: str, *, handle: str = "") -> None:
    """Refuse a password that is too short, too long or guessable at once.

    Raises:
        Refusal: theirs; ``password_short``, ``password_long``, ``password_common``.
    """
    length = len(unicodedata.normalize("NFC", password))
    if length < SHORTEST:
        raise _refused(
            "password_short",
            f"A password has at least {SHORTEST} characters.",
            SHORTEST,
        )
    if length > LONGEST:
        raise _refused(
            "password_long", f"A password has at most {LONGEST} characters.", LONGEST
        )
    if is_guessable(password) or (handle and password.casefold() == handle.casefold()):
        raise _refused(
            "password_common",
            "This password is among the first that anybody would try; take another.",
            None,
        )


def _refused(code: str, message: str, limit: int | None) -> Refusal:
    params = {} if limit is None else {"limit": limit}
    return Refusal(code, message, field="password", params=params, status=422)


class Passwords:
    """Hashes and verifies off the event loop, a bounded number at a time."""

    def __init__(self) -> None:
        self._argon2 = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        # what is verified where there is no user, so that it takes the same time
        self._nobody = self._argon2.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The argon2id string to keep (PHC format).

        Raises:
            Refusal: ``busy``; too many passwords are being checked.
        """
        return await self._run(self._argon2.hash, _normal(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether ``password`` made ``kept``; with None: False, after the same time.

        Raises:
            Refusal: ``busy``; too many passwords are being checked.
        """
        right = await self._run(self._matches, kept or self._nobody, _normal(password))
        return right and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether ``kept`` was made with weaker parameters than today's."""
        return self._argon2.check_needs_rehash(kept)

    def _matches(self, kept: str, password: str) -> bool:
        try:
            return self._argon2.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= WAITING:
            raise Refusal(
                "busy",
                "Too many people are logging in; try again in a moment.",
                retry_after=2,
                status=503,
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *args)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)
