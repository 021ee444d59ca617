"""Who speaks: the principal of a session, and the port that finds it out."""

from dataclasses import dataclass
from typing import Protocol

from salon.messaging.channel import Handshake


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated speaker.

    Attributes:
        id: the user's id; decimal, or ``guest:…`` for somebody without an account.
        name: what others read; not unique.
        roles: among ``user``, ``admin``, ``guest``.
        login: the login session that carries it; revoking that ends its connections.
    """

    id: str
    name: str
    roles: frozenset[str]
    login: str


class Authenticator(Protocol):
    """Decides who a connection speaks for."""

    async def authenticate(
        self, handshake: Handshake, login: str | None, passcode: str | None
    ) -> Principal:
        """The principal of a CONNECT frame.

        Args:
            handshake: headers, cookies and peer of the connection.
            login: header of the CONNECT frame, if there.
            passcode: header of the CONNECT frame, if there.

        Raises:
            Refusal: theirs; ``unauthorised`` and the like.
            Unavailable: ours; the accounts cannot be read now.
        """
