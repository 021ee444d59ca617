"""SASL mechanisms, the server's side: PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677).

SCRAM never sends the password: both sides derive keys from it, and each proves to the
other that it has them. The server would need the derived keys only; this one derives
them from its users' file when a user first comes (4,096 rounds, a few milliseconds,
once), because the file also serves PLAIN.

A name that nobody has goes through the same motions with a made-up salt, so that an
answer does not tell which names exist.
"""

import base64
import hashlib
import hmac
import secrets
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from salon.broker.errors import SettingError
from salon.errors import Error

ITERATIONS = 4096
_DIGESTS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class AuthenticationFailed(Error):
    """Theirs: a wrong name or password, or tokens that are none."""


class Mechanism(Protocol):
    """One conversation. ``user`` is set, and ``done`` true, when it has succeeded."""

    user: str
    done: bool

    def step(self, token: bytes) -> bytes:
        """The answer to a token; raises ``AuthenticationFailed``."""
        ...


class ScramKeys(NamedTuple):
    """What a SCRAM server knows of a user."""

    salt: bytes
    stored_key: bytes
    server_key: bytes


class Users:
    """Names and passwords.

    Args:
        passwords: by name.
    """

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = passwords
        self._scram: dict[tuple[str, str], ScramKeys] = {}
        self._secret = secrets.token_bytes(32)

    @classmethod
    def load(cls, path: Path) -> "Users":
        """From a file of ``name:password`` lines; ``#`` begins a comment.

        Raises:
            SettingError: theirs; unreadable, readable by others, empty or malformed.
        """
        name = f"salon.sasl.users.file is {str(path)!r}"
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise SettingError(f"{name}: {reason}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingError(f"{name}: others may read it; chmod 600 it")
        passwords = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            user, colon, password = line.partition(":")
            if not (user and colon and password):
                raise SettingError(f"{name}: line {number} is not name:password")
            passwords[user] = password
        if not passwords:
            raise SettingError(f"{name}: nobody is in it")
        return cls(passwords)

    def has(self, user: str, password: str) -> bool:
        """Whether this is the user's password."""
        known = self._passwords.get(user)
        given = password.encode()
        right = hmac.compare_digest((known or "").encode(), given)
        return known is not None and right

    def scram_keys(self, user: str, digest: str) -> ScramKeys:
        """Keys of ``user``; unusable ones when there is no such user."""
        found = self._scram.get((user, digest))
        if found is not None:
            return found
        password = self._passwords.get(user)
        if password is None:
            salt = hmac.digest(self._secret, user.encode(), "sha256")[:16]
            return ScramKeys(salt, b"", b"")
        salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, ITERATIONS)
        client_key = hmac.digest(salted, b"Client Key", digest)
        keys = ScramKeys(
            salt,
            hashlib.new(digest, client_key).digest(),
            hmac.digest(salted, b"Server Key", digest),
        )
        self._scram[user, digest] = keys
        return keys


def begin(mechanism: str, users: Users) -> Mechanism:
    """A new conversation."""
    if mechanism == "PLAIN":
        return Plain(users)
    return Scram(users, _DIGESTS[mechanism])


class Plain:
    """``[authzid] NUL name NUL password``, in one token."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self.user = ""
        self.done = False

    def step(self, token: bytes) -> bytes:
        try:
            authzid, user, password = token.decode().split("\0")
        except ValueError:  # also what is no UTF-8
            raise AuthenticationFailed("a PLAIN token has three parts") from None
        if not self._users.has(user, password) or authzid not in ("", user):
            raise AuthenticationFailed("wrong name or password")
        self.user, self.done = user, True
        return b""


class Scram:
    """client-first, server-first, client-final, server-final."""

    def __init__(self, users: Users, digest: str) -> None:
        self._users = users
        self._digest = digest
        self._keys: ScramKeys | None = None
        self._name = ""
        self._nonce = ""
        self._gs2 = ""
        self._so_far = ""
        self.user = ""
        self.done = False

    def step(self, token: bytes) -> bytes:
        try:
            text = token.decode()
            answer = self._first(text) if self._keys is None else self._final(text)
        except (ValueError, KeyError):
            raise AuthenticationFailed("no SCRAM message") from None
        return answer.encode()

    def _first(self, text: str) -> str:
        flag, authzid, bare = text.split(",", 2)
        attributes = _attributes(bare)
        name = attributes["n"].replace("=2C", ",").replace("=3D", "=")
        if flag[0] not in "ny" or authzid not in ("", f"a={attributes['n']}"):
            raise AuthenticationFailed("no channel binding, no other identity")
        self._name = name
        self._gs2 = f"{flag},{authzid},"
        self._keys = self._users.scram_keys(name, self._digest)
        self._nonce = attributes["r"] + secrets.token_urlsafe(18)
        salt = base64.b64encode(self._keys.salt).decode()
        answer = f"r={self._nonce},s={salt},i={ITERATIONS}"
        self._so_far = f"{bare},{answer}"
        return answer

    def _final(self, text: str) -> str:
        assert self._keys is not None
        without_proof, _, proof_text = text.rpartition(",p=")
        attributes = _attributes(without_proof)
        proof = base64.b64decode(proof_text, validate=True)
        binding = base64.b64decode(attributes["c"], validate=True).decode()
        message = f"{self._so_far},{without_proof}".encode()
        signature = hmac.digest(self._keys.stored_key, message, self._digest)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        right = hmac.compare_digest(
            hashlib.new(self._digest, client_key).digest(), self._keys.stored_key
        )
        if not right or binding != self._gs2 or attributes["r"] != self._nonce:
            raise AuthenticationFailed("wrong name or password")
        self.user, self.done = self._name, True
        verifier = hmac.digest(self._keys.server_key, message, self._digest)
        return f"v={base64.b64encode(verifier).decode()}"


def _attributes(text: str) -> dict[str, str]:
    """``a=1,b=2`` as a mapping; raises ValueError where it is none."""
    return dict(_pair(part) for part in text.split(","))


def _pair(part: str) -> tuple[str, str]:
    name, value = part.split("=", 1)
    return name, value
