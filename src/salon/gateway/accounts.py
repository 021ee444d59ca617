"""Accounts over HTTP: first setup, login, invitations, who is here.

``AccountService`` holds the rules; ``router`` says them in HTTP
(``docs/reference/protocol.md``). Every act and every refused login is one line of the
audit log, which never holds a password, a token or an unknown handle (people type
passwords there).
"""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from salon.clock import Clock
from salon.errors import Refusal
from salon.gateway.auth import (
    Logins,
    Started,
    clear_cookie,
    set_cookie,
    token_hash,
    token_in,
)
from salon.gateway.names import NAME_LONGEST, check_handle, check_name, handle_key
from salon.gateway.passwords import SHORTEST, Passwords, check_password
from salon.gateway.ports import Accounts, Login, User
from salon.gateway.throttle import LoginThrottle
from salon.ids import token

audit = structlog.get_logger("salon.audit")

SETUP_LIFETIME_MS = 24 * 3600 * 1000
"""A setup link nobody used is dead after a day; a restart makes a new one."""

INVITE_LIFETIME_MS = 7 * 24 * 3600 * 1000
OPEN_INVITES = 50
"""Invitations of one person that may be open at a time."""


class AccountService:
    """The rules of accounts."""

    def __init__(
        self,
        accounts: Accounts,
        logins: Logins,
        clock: Clock,
        *,
        passwords: Passwords | None = None,
        throttle: LoginThrottle | None = None,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._throttle = throttle or LoginThrottle(clock)
        self.logins = logins

    async def setup_needed(self) -> bool:
        return await self._accounts.setup_needed()

    async def offer_setup(self) -> str | None:
        """A token that makes the first account, once; None if there is one already.

        Call it at start and show the token to whoever started the server. The token
        of an earlier start is dead from then on.
        """
        secret = token()
        expires = self._clock.now_ms() + SETUP_LIFETIME_MS
        offered = await self._accounts.offer_setup(token_hash(secret), expires)
        return secret if offered else None

    async def set_up(
        self, secret: str, *, handle: str, name: str, password: str, ip: str
    ) -> Started:
        """The first account, an admin, logged in.

        Raises:
            Refusal: theirs; ``setup_done``, ``setup_token_invalid``, or a field's.
        """
        hashed, now = token_hash(secret), self._clock.now_ms()
        try:
            await self._accounts.check_setup(hashed, now)  # costs no password hash
        except Refusal:
            audit.warning("setup_refused", ip=ip)
            raise
        person = await self._person(handle, name, password)
        user = await self._accounts.set_up(hashed, now=now, **person)
        audit.info("setup", user=user.id, ip=ip)
        return await self.logins.start(user)

    async def login(self, handle: str, password: str, *, ip: str) -> Started:
        """A new login, if handle and password fit.

        Unknown handle, wrong password and disabled account give one answer, after
        the same time.

        Raises:
            Refusal: theirs; ``bad_credentials``, ``too_many_attempts``.
        """
        key = handle_key(handle)
        self._throttle.admit(key, ip)
        found = await self._accounts.find(key)
        user, kept = found or (None, None)
        right = await self._passwords.verify(kept, password)
        if user is None or kept is None or not right or user.disabled:
            audit.warning("login_refused", user=user.id if user else None, ip=ip)
            raise Refusal(
                "bad_credentials",
                "Handle and password don't fit; check both.",
                status=401,
            )
        self._throttle.succeeded(key, ip)
        if self._passwords.is_outdated(kept):
            again = await self._passwords.hash(password)
            await self._accounts.set_password(user.id, again, self._clock.now_ms())
        audit.info("login", user=user.id, ip=ip)
        return await self.logins.start(user)

    async def logout(self, login: Login) -> None:
        await self.logins.end(login.id)
        audit.info("logout", user=login.user.id, login=login.id)

    async def invite(self, inviter: User) -> tuple[str, int]:
        """An invitation's token and when it ends (ms).

        Raises:
            Refusal: theirs; ``too_many_invites``.
        """
        secret, now = token(), self._clock.now_ms()
        expires = now + INVITE_LIFETIME_MS
        await self._accounts.invite(
            token_hash(secret),
            inviter=inviter.id,
            now=now,
            expires=expires,
            at_most=OPEN_INVITES,
        )
        audit.info("invite", user=inviter.id)
        return secret, expires

    async def inviter(self, secret: str) -> User:
        """Who invites with this token.

        Raises:
            Refusal: theirs; ``invite_unknown``.
        """
        now = self._clock.now_ms()
        return await self._accounts.inviter_of(token_hash(secret), now)

    async def join(
        self, secret: str, *, handle: str, name: str, password: str, ip: str
    ) -> Started:
        """A new account by invitation, logged in.

        Raises:
            Refusal: theirs; ``invite_unknown``, ``handle_taken``, or a field's.
        """
        inviter = await self.inviter(secret)  # before the password costs anything
        person = await self._person(handle, name, password)
        user = await self._accounts.join(
            token_hash(secret), now=self._clock.now_ms(), **person
        )
        audit.info("join", user=user.id, inviter=inviter.id, ip=ip)
        return await self.logins.start(user)

    async def users(self) -> list[User]:
        return list(await self._accounts.users())

    async def _person(self, handle: str, name: str, password: str) -> dict[str, str]:
        """The checked fields of a new account.

        Raises:
            Refusal: theirs; ``handle_invalid``, ``name_invalid`` or ``password_…``.
        """
        handle = check_handle(handle)
        name = check_name(name)
        check_password(password, handle=handle)
        return {
            "handle": handle,
            "handle_key": handle_key(handle),
            "name": name,
            "secret_hash": await self._passwords.hash(password),
        }


# HTTP


class _Body(BaseModel):
    # strict: a number is no text; the lengths only keep absurd values out, the
    # service refuses in words
    model_config = ConfigDict(strict=True)


_Text = Annotated[str, Field(max_length=1024)]


class NewAccount(_Body):
    """Body of ``setup`` and ``join``: who comes in, and by which token."""

    token: _Text
    handle: _Text
    name: _Text
    password: _Text


class Credentials(_Body):
    """Body of ``login``."""

    handle: _Text
    password: _Text


class Token(_Body):
    """Body of ``invites/look``."""

    token: _Text


class Nothing(_Body):
    """An empty object."""


def user_json(user: User) -> dict[str, Any]:
    """``User`` of the protocol."""
    return {
        "id": user.id,
        "handle": user.handle,
        "name": user.name,
        "role": user.role,
        "created": user.created,
    }


def _me(login: Login) -> dict[str, Any]:
    return {"user": user_json(login.user), "session": login.id}


def router(
    service: AccountService,
    *,
    version: str,
    guests: bool,
    public_url: str | None = None,
    text_chars: int = 8000,
    prompt_chars: int = 500,
) -> APIRouter:
    """The routes of accounts under ``/api/v1``.

    Args:
        service: the rules.
        version: of the program, told to clients.
        guests: whether guests may come in (said to the page, decided elsewhere).
        public_url: where people find this server; without it, where the asker did.
        text_chars: the longest message, told to clients.
        prompt_chars: the longest prompt, told to clients.
    """
    routes = APIRouter(prefix="/api/v1", tags=["accounts"])
    logins = service.logins
    Current = Annotated[Login, Depends(logins.of_request)]  # noqa: N806 - a type

    def secure(request: Request) -> bool:
        return (public_url or str(request.base_url)).startswith("https:")

    async def answer(
        started: Started, request: Request, response: Response
    ) -> dict[str, Any]:
        """Hand the token over; the login this browser had before ends."""
        before = await logins.find(token_in({}, request.cookies))
        if before is not None:
            await logins.end(before.id)
        set_cookie(response, started.token, secure=secure(request))
        return _me(started.login)

    @routes.get("/server")
    async def server() -> dict[str, Any]:
        return {
            "name": "Salon",
            "version": version,
            "setup_needed": await service.setup_needed(),
            "guests": guests,
            "limits": {
                "text_chars": text_chars,
                "prompt_chars": prompt_chars,
                "name_chars": NAME_LONGEST,
                "password_min": SHORTEST,
            },
        }

    @routes.post("/setup", status_code=201)
    async def setup(
        body: NewAccount, request: Request, response: Response
    ) -> dict[str, Any]:
        started = await service.set_up(
            body.token,
            handle=body.handle,
            name=body.name,
            password=body.password,
            ip=_ip(request),
        )
        return await answer(started, request, response)

    @routes.post("/login")
    async def login(
        body: Credentials, request: Request, response: Response
    ) -> dict[str, Any]:
        started = await service.login(body.handle, body.password, ip=_ip(request))
        return await answer(started, request, response)

    @routes.post("/logout", status_code=204)
    async def logout(current: Current, request: Request, response: Response) -> None:
        await service.logout(current)
        clear_cookie(response, secure=secure(request))

    @routes.get("/me")
    async def me(
        current: Current, request: Request, response: Response
    ) -> dict[str, Any]:
        # pages ask this at their start: the cookie's 30 days begin anew
        cookie = token_in({}, request.cookies)
        if cookie and "authorization" not in request.headers:
            set_cookie(response, cookie, secure=secure(request))
        return _me(current)

    @routes.post("/invites", status_code=201)
    async def invite(
        current: Current, request: Request, body: Nothing | None = None
    ) -> dict[str, Any]:
        secret, expires = await service.invite(current.user)
        base = (public_url or str(request.base_url)).rstrip("/")
        # behind "#": a fragment is in no server's log
        link = f"{base}/join#token={secret}"
        return {"link": link, "token": secret, "expires": expires}

    @routes.post("/invites/look")
    async def look(body: Token) -> dict[str, Any]:
        return {"inviter": (await service.inviter(body.token)).name}

    @routes.post("/join", status_code=201)
    async def join(
        body: NewAccount, request: Request, response: Response
    ) -> dict[str, Any]:
        started = await service.join(
            body.token,
            handle=body.handle,
            name=body.name,
            password=body.password,
            ip=_ip(request),
        )
        return await answer(started, request, response)

    @routes.get("/users")
    async def users(current: Current) -> dict[str, Any]:
        return {"users": [user_json(user) for user in await service.users()]}

    return routes


def _ip(request: Request) -> str:
    return request.client.host if request.client else ""
