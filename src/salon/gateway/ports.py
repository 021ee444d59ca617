"""What the gateway needs from others: who may come in, and how that is kept.

``Accounts`` is implemented by ``salon.store.accounts``. The nouns are protocols of
read-only attributes, so that the store may return its own plain tuples.
Times are milliseconds since the epoch; ids are decimal strings; every ``*_hash`` of a
token is the SHA-256 of it in hexadecimal, so a stolen database opens no door.
"""

from collections.abc import Sequence
from typing import Protocol


class User(Protocol):
    """Somebody with an account on this server."""

    @property
    def id(self) -> str: ...
    @property
    def handle(self) -> str:
        """Unique, ignoring case: what one types to log in."""

    @property
    def name(self) -> str:
        """What others read."""

    @property
    def role(self) -> str:
        """``admin`` or ``member``."""

    @property
    def created(self) -> int: ...
    @property
    def disabled(self) -> bool: ...


class Login(Protocol):
    """One logged-in terminal of a user: what a session token stands for."""

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> User: ...
    @property
    def last_seen(self) -> int: ...
    @property
    def expires(self) -> int: ...


class Accounts(Protocol):
    """The rows behind accounts. Every method is one transaction.

    All raise ``salon.errors.Unavailable`` when the database cannot answer.
    """

    async def setup_needed(self) -> bool:
        """Whether no account exists yet."""

    async def offer_setup(self, token_hash: str, expires: int) -> bool:
        """Keep the one setup token, in place of any earlier.

        False, and nothing is kept, once an account exists.
        """

    async def check_setup(self, token_hash: str, now: int) -> None:
        """Whether ``set_up`` with this token would succeed now; changes nothing.

        Raises:
            Refusal: theirs; ``setup_done`` or ``setup_token_invalid``.
        """

    async def set_up(
        self,
        token_hash: str,
        *,
        handle: str,
        handle_key: str,
        name: str,
        secret_hash: str,
        now: int,
    ) -> User:
        """Use up the setup token and make the first account, an admin.

        Raises:
            Refusal: theirs; ``setup_done`` or ``setup_token_invalid``.
        """

    async def invite(
        self, token_hash: str, *, inviter: str, now: int, expires: int, at_most: int
    ) -> None:
        """Keep an invitation.

        Raises:
            Refusal: theirs; ``too_many_invites``: ``at_most`` of this inviter's are
                open.
        """

    async def inviter_of(self, token_hash: str, now: int) -> User:
        """Who invites with this token.

        Raises:
            Refusal: theirs; ``invite_unknown``: unknown, used or over.
        """

    async def join(
        self,
        token_hash: str,
        *,
        handle: str,
        handle_key: str,
        name: str,
        secret_hash: str,
        now: int,
    ) -> User:
        """Use up an invitation and make an account, both or neither.

        Raises:
            Refusal: theirs; ``invite_unknown`` or ``handle_taken``.
        """

    async def find(self, handle_key: str) -> tuple[User, str] | None:
        """The user of a handle and the hash of their password."""

    async def set_password(self, user: str, secret_hash: str, now: int) -> None:
        """Put a new hash in place of the old."""

    async def users(self) -> Sequence[User]:
        """Everybody who is not disabled, the oldest account first."""

    async def start_login(
        self, user: str, token_hash: str, *, terminal: str, now: int, expires: int
    ) -> Login:
        """Keep a new login; forget those of this user that are over."""

    async def login_of(self, token_hash: str, now: int) -> Login | None:
        """The login of a token; None if unknown, over, or its user is disabled."""

    async def keep_login(self, login: str, *, now: int, expires: int) -> None:
        """Note that a login is in use."""

    async def end_login(self, login: str) -> None:
        """Forget a login; nothing happens if it is already gone."""

    async def end_logins(self, user: str) -> Sequence[str]:
        """Forget every login of a user; returns their ids."""
