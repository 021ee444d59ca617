"""Logins: from a token to the person it stands for, and back out again.

Theory of operation. A login (one browser, one program) holds a random 256-bit token;
we keep its SHA-256. The token comes in as the cookie ``salon_session``, as
``Authorization: Bearer`` or as the ``passcode`` of a STOMP CONNECT, never in a URL.
It lives 30 days from its last use.

Tokens are looked up far more often than they change, so the answer is cached for a
few seconds. What ends a login (logout, password change, an administrator) therefore
does three things, in this order: the row goes, the id enters ``_ended`` and leaves the
cache, and ``on_revoked`` is told, which closes the login's connections. A look-up that
was on its way while the row went asks ``_ended`` before it answers. Between that
question and the caller's next line nothing else runs: a caller that registers a
connection without awaiting in between cannot miss the revocation.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from fastapi import Request, Response

from salon.clock import Clock
from salon.errors import Refusal
from salon.gateway.guests import Guests
from salon.gateway.ports import Accounts, Login, User
from salon.ids import token
from salon.messaging.channel import Handshake
from salon.messaging.principal import Principal

audit = structlog.get_logger("salon.audit")

COOKIE = "salon_session"

LIFETIME_MS = 30 * 24 * 3600 * 1000
"""A login ends 30 days after its last use."""

NOTE_USE_EVERY_MS = 3600 * 1000
"""``last_seen`` is written at most once an hour: it is for people."""

CACHED_FOR = 10.0
"""Seconds. Bounds how long another process's revocation goes unseen here."""

CACHE_SIZE = 10_000

LONGEST_TOKEN = 128
"""Characters; ours have 43. Longer ones are not worth hashing."""


def token_hash(secret: str) -> str:
    """What is kept of a token. It is random, so a fast hash is enough (ASVS 7.2)."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def principal_of(login: Login) -> Principal:
    """The person of a login, as messaging knows them."""
    user = login.user
    roles = {"user", "admin"} if user.role == "admin" else {"user"}
    return Principal(id=user.id, name=user.name, roles=frozenset(roles), login=login.id)


@dataclass(frozen=True, slots=True)
class Started:
    """A new login with its token, which exists in no other place."""

    token: str
    login: Login


class Logins:
    """Starts, recognises and ends logins.

    ``on_revoked`` is called with the id of each login that ends, from the event loop;
    the wiring makes it close that login's connections.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, Login]] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self.on_revoked: Callable[[str], None] = lambda login_id: None

    async def start(self, user: User, *, terminal: str = "web") -> Started:
        """A new login; always with a new token (no fixation)."""
        secret = token()
        now = self._clock.now_ms()
        login = await self._accounts.start_login(
            user.id,
            token_hash(secret),
            terminal=terminal,
            now=now,
            expires=now + LIFETIME_MS,
        )
        return Started(secret, login)

    async def find(self, secret: str) -> Login | None:
        """The login of a token, or None."""
        if not secret or len(secret) > LONGEST_TOKEN:
            return None
        hashed = token_hash(secret)
        login = self._cached(hashed)
        if login is None:
            now = self._clock.now_ms()
            login = await self._accounts.login_of(hashed, now)
            if login is None:
                return None
            if now - login.last_seen >= NOTE_USE_EVERY_MS:
                await self._accounts.keep_login(
                    login.id, now=now, expires=now + LIFETIME_MS
                )
            if login.id in self._ended:
                return None
            self._remember(hashed, login)
        return login

    async def end(self, login_id: str) -> None:
        """End one login and everything that hangs on it."""
        await self._accounts.end_login(login_id)
        self._forget([login_id])

    async def end_all(self, user_id: str) -> None:
        """End every login of a user: password changed, account disabled."""
        self._forget(await self._accounts.end_logins(user_id))

    def _cached(self, hashed: str) -> Login | None:
        found = self._cache.get(hashed)
        if found is None:
            return None
        until, login = found
        if until <= self._clock.monotonic():
            del self._cache[hashed]
            return None
        return login

    def _remember(self, hashed: str, login: Login) -> None:
        self._cache[hashed] = (self._clock.monotonic() + CACHED_FOR, login)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)

    def _forget(self, login_ids: Iterable[str]) -> None:
        gone = set(login_ids)
        for login_id in gone:
            self._ended[login_id] = None
        while len(self._ended) > CACHE_SIZE:
            self._ended.popitem(last=False)
        stale = [key for key, (_, login) in self._cache.items() if login.id in gone]
        for key in stale:
            del self._cache[key]
        for login_id in gone:
            self.on_revoked(login_id)

    # requests

    async def of_request(self, request: Request) -> Login:
        """The login that a request carries.

        Raises:
            Refusal: theirs; ``unauthorised``.
        """
        login = await self.find(token_in(request.headers, request.cookies))
        if login is None:
            raise unauthorised()
        return login

    async def current(self, request: Request) -> Principal:
        """A FastAPI dependency: the person who asks.

        Raises:
            Refusal: theirs; ``unauthorised``.
        """
        return principal_of(await self.of_request(request))


def token_in(headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
    """The session token of a request or a handshake; empty if there is none.

    A bearer token goes before the cookie: only a program sets it, on purpose.
    """
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bearer.strip()
    return cookies.get(COOKIE, "")


def set_cookie(response: Response, secret: str, *, secure: bool) -> None:
    """Give the browser its token. ``secure``: the page came over TLS."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=LIFETIME_MS // 1000,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(response: Response, *, secure: bool) -> None:
    response.delete_cookie(
        COOKIE, path="/", secure=secure, httponly=True, samesite="lax"
    )


def unauthorised() -> Refusal:
    return Refusal("unauthorised", "Log in first.", status=401)


class FindsLogins(Protocol):
    """What the authenticator needs of ``Logins``."""

    async def find(self, secret: str) -> Login | None: ...


class SessionAuthenticator:
    """Decides who a STOMP CONNECT is (the port ``Authenticator`` of messaging).

    In this order: a ``passcode`` is a session token; a ``login`` without one is a
    guest's name, where guests are allowed; else the cookie of the handshake counts.
    """

    def __init__(self, logins: FindsLogins, guests: Guests | None = None) -> None:
        self._logins = logins
        self._guests = guests

    async def authenticate(
        self, handshake: Handshake, login: str | None, passcode: str | None
    ) -> Principal:
        """The person behind a connection.

        Raises:
            Refusal: theirs; ``unauthorised``, or what ``Guests.admit`` says.
        """
        if passcode:
            return await self._by_token(passcode)
        if login and self._guests is not None:
            return await self._guests.admit(login)
        return await self._by_token(token_in(handshake.headers, handshake.cookies))

    async def _by_token(self, secret: str) -> Principal:
        found = await self._logins.find(secret)
        if found is None:
            raise unauthorised()
        return principal_of(found)
