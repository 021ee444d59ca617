"""Who speaks: the principal of a session, and the port that finds it out."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from salon.messaging.channel import Handshake
from salon.stomp import frames


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


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a CONNECT frame says about who sends it.

    Attributes:
        headers: all headers of the frame. Anybody can write anything there.
    """

    login: str | None
    passcode: str | None
    headers: frames.Headers = ()


@runtime_checkable
class HeaderAuthenticator(Protocol):
    """Decides by the headers of the CONNECT frame; see ``Authenticator``."""

    async def identify(
        self, handshake: Handshake, credentials: Credentials
    ) -> Principal:
        """The principal of a CONNECT frame.

        Raises:
            Refusal: theirs; ``unauthorised`` and the like.
        """


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
