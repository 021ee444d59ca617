"""Users, passwords, logins, invitations and the one setup token, in SQL.

Implements the port ``salon.gateway.ports.Accounts``. Each method is one transaction
of a private function over a connection. What may happen once (setup, an invitation)
is decided by the row count of a DELETE or UPDATE that names the expected state, so
that it holds on every database and under any interleaving.

All writes are durable (``Database.write(durable=True)``): the log cannot redo them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Connection,
    Row,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from salon.errors import Refusal
from salon.ids import parse_id, random_id
from salon.store.database import Database
from salon.store.schema import credentials, invites, logins, settings, users

T = TypeVar("T")

SETUP_KEY = "setup_token"
"""The row of ``settings`` that holds ``<sha-256 of the token> <expires>``."""

PASSWORD = "password"  # noqa: S105 - the kind of a credential, not one


class User(NamedTuple):
    """A row of ``users``, with its id as it travels."""

    id: str
    handle: str
    name: str
    role: str
    created: int
    disabled: bool


class Login(NamedTuple):
    """A row of ``logins`` with its user."""

    id: str
    user: User
    last_seen: int
    expires: int


class SqlAccounts:
    """The port ``Accounts`` over a ``Database``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def setup_needed(self) -> bool:
        return not await self._database.read(_any_user)

    async def offer_setup(self, token_hash: str, expires: int) -> bool:
        return await self._write(_offer_setup, token_hash, expires)

    async def check_setup(self, token_hash: str, now: int) -> None:
        await self._database.read(_check_setup, token_hash, now)

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
        person = {"handle": handle, "handle_key": handle_key, "name": name}
        return await self._write(_set_up, token_hash, person, secret_hash, now)

    async def invite(
        self, token_hash: str, *, inviter: str, now: int, expires: int, at_most: int
    ) -> None:
        who = parse_id(inviter)
        await self._write(_invite, token_hash, who, now, expires, at_most)

    async def inviter_of(self, token_hash: str, now: int) -> User:
        return await self._database.read(_inviter_of, token_hash, now)

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
        person = {"handle": handle, "handle_key": handle_key, "name": name}
        return await self._write(_join, token_hash, person, secret_hash, now)

    async def find(self, handle_key: str) -> tuple[User, str] | None:
        return await self._database.read(_find, handle_key)

    async def set_password(self, user: str, secret_hash: str, now: int) -> None:
        await self._write(_set_password, parse_id(user), secret_hash, now)

    async def users(self) -> list[User]:
        return await self._database.read(_users)

    async def start_login(
        self, user: str, token_hash: str, *, terminal: str, now: int, expires: int
    ) -> Login:
        who = parse_id(user)
        return await self._write(_start_login, who, token_hash, terminal, now, expires)

    async def login_of(self, token_hash: str, now: int) -> Login | None:
        return await self._database.read(_login_of, token_hash, now)

    async def keep_login(self, login: str, *, now: int, expires: int) -> None:
        await self._write(_keep_login, parse_id(login), now, expires)

    async def end_login(self, login: str) -> None:
        await self._write(_end_login, parse_id(login))

    async def end_logins(self, user: str) -> list[str]:
        return await self._write(_end_logins, parse_id(user))

    async def _write(self, work: Callable[..., T], *args: Any) -> T:
        return await self._database.write(work, *args, durable=True)


def _any_user(sql: Connection) -> bool:
    return bool(sql.scalar(select(exists().select_from(users))))


# setup: one row of settings, deleted by whoever comes first


def _offer_setup(sql: Connection, token_hash: str, expires: int) -> bool:
    sql.execute(delete(settings).where(settings.c.key == SETUP_KEY))
    if _any_user(sql):
        return False
    row = {"key": SETUP_KEY, "value": f"{token_hash} {expires}"}
    sql.execute(insert(settings).values(row))
    return True


def _check_setup(sql: Connection, token_hash: str, now: int) -> str:
    """The value of the setting, if it holds this token and its time is not over."""
    if _any_user(sql):
        raise Refusal("setup_done", "This server already has accounts.", status=409)
    value = sql.scalar(select(settings.c.value).where(settings.c.key == SETUP_KEY))
    if value is None:
        raise _setup_token_invalid()
    offered, expires = value.split(" ")
    if offered != token_hash or now >= int(expires):
        raise _setup_token_invalid()
    return str(value)


def _setup_token_invalid() -> Refusal:
    return Refusal(
        "setup_token_invalid",
        "This setup link is wrong, used or too old; restart the server for a new one.",
        field="token",
        status=403,
    )


def _set_up(
    sql: Connection,
    token_hash: str,
    person: dict[str, str],
    secret_hash: str,
    now: int,
) -> User:
    value = _check_setup(sql, token_hash, now)
    used = sql.execute(
        delete(settings).where(settings.c.key == SETUP_KEY, settings.c.value == value)
    )
    if used.rowcount != 1:  # somebody was faster
        raise _setup_token_invalid()
    return _make_user(sql, person, "admin", secret_hash, now)


def _make_user(
    sql: Connection, person: dict[str, str], role: str, secret_hash: str, now: int
) -> User:
    row = {
        "id": random_id(now),
        **person,
        "role": role,
        "created": now,
        "disabled": False,
    }
    try:
        sql.execute(insert(users).values(row))
    except IntegrityError as error:
        raise Refusal(
            "handle_taken",
            "Somebody here already has this handle; choose another.",
            field="handle",
            status=409,
        ) from error
    secret = {"user_id": row["id"], "kind": PASSWORD, "secret_hash": secret_hash}
    sql.execute(insert(credentials).values(created=now, **secret))
    return User(str(row["id"]), person["handle"], person["name"], role, now, False)


# invitations: open while used_by is null and their time is not over


def _invite(
    sql: Connection, token_hash: str, inviter: int, now: int, expires: int, at_most: int
) -> None:
    mine = invites.c.inviter_id == inviter
    over = invites.c.used_by.is_(None) & (invites.c.expires <= now)
    sql.execute(delete(invites).where(mine, over))
    opened = select(func.count()).where(mine, invites.c.used_by.is_(None))
    if (sql.scalar(opened) or 0) >= at_most:
        raise Refusal(
            "too_many_invites",
            f"You have {at_most} open invitations; wait until one is used or over.",
            params={"limit": at_most},
            status=429,
        )
    row = {"id": random_id(now), "token_hash": token_hash, "inviter_id": inviter}
    sql.execute(insert(invites).values(created=now, expires=expires, **row))


def _inviter_of(sql: Connection, token_hash: str, now: int) -> User:
    query = (
        select(users)
        .join(invites, invites.c.inviter_id == users.c.id)
        .where(
            invites.c.token_hash == token_hash,
            invites.c.used_by.is_(None),
            invites.c.expires > now,
            users.c.disabled.is_(False),
        )
    )
    row = sql.execute(query).one_or_none()
    if row is None:
        raise _invite_unknown()
    return _user(row)


def _join(
    sql: Connection,
    token_hash: str,
    person: dict[str, str],
    secret_hash: str,
    now: int,
) -> User:
    _inviter_of(sql, token_hash, now)
    user = _make_user(sql, person, "member", secret_hash, now)
    used = sql.execute(
        update(invites)
        .where(invites.c.token_hash == token_hash, invites.c.used_by.is_(None))
        .values(used_by=int(user.id))
    )
    if used.rowcount != 1:  # somebody was faster: the new account is rolled back
        raise _invite_unknown()
    return user


def _invite_unknown() -> Refusal:
    return Refusal(
        "invite_unknown",
        "This invitation is wrong, used or too old; ask for a new one.",
        field="token",
        status=404,
    )


# passwords and people


def _find(sql: Connection, handle_key: str) -> tuple[User, str] | None:
    query = (
        select(users, credentials.c.secret_hash)
        .join(credentials, credentials.c.user_id == users.c.id)
        .where(users.c.handle_key == handle_key, credentials.c.kind == PASSWORD)
    )
    row = sql.execute(query).one_or_none()
    return None if row is None else (_user(row), row.secret_hash)


def _set_password(sql: Connection, user: int, secret_hash: str, now: int) -> None:
    sql.execute(
        update(credentials)
        .where(credentials.c.user_id == user, credentials.c.kind == PASSWORD)
        .values(secret_hash=secret_hash, created=now)
    )


def _users(sql: Connection) -> list[User]:
    query = select(users).where(users.c.disabled.is_(False))
    return [
        _user(row) for row in sql.execute(query.order_by(users.c.created, users.c.id))
    ]


def _user(row: Row[Any]) -> User:
    return User(
        str(row.id), row.handle, row.name, row.role, row.created, bool(row.disabled)
    )


# logins


def _start_login(
    sql: Connection, user: int, token_hash: str, terminal: str, now: int, expires: int
) -> Login:
    sql.execute(delete(logins).where(logins.c.user_id == user, logins.c.expires <= now))
    login = random_id(now)
    row = {"id": login, "user_id": user, "token_hash": token_hash}
    times = {"created": now, "last_seen": now, "expires": expires}
    sql.execute(insert(logins).values(terminal=terminal, **row, **times))
    person = sql.execute(select(users).where(users.c.id == user)).one()
    return Login(str(login), _user(person), now, expires)


def _login_of(sql: Connection, token_hash: str, now: int) -> Login | None:
    query = (
        select(users, logins.c.id.label("login"), logins.c.last_seen, logins.c.expires)
        .join(logins, logins.c.user_id == users.c.id)
        .where(
            logins.c.token_hash == token_hash,
            logins.c.expires > now,
            users.c.disabled.is_(False),
        )
    )
    row = sql.execute(query).one_or_none()
    if row is None:
        return None
    return Login(str(row.login), _user(row), row.last_seen, row.expires)


def _keep_login(sql: Connection, login: int, now: int, expires: int) -> None:
    sql.execute(
        update(logins)
        .where(logins.c.id == login)
        .values(last_seen=now, expires=expires)
    )


def _end_login(sql: Connection, login: int) -> None:
    sql.execute(delete(logins).where(logins.c.id == login))


def _end_logins(sql: Connection, user: int) -> list[str]:
    mine = logins.c.user_id == user
    ids = sql.scalars(select(logins.c.id).where(mine)).all()
    sql.execute(delete(logins).where(mine))
    return [str(login) for login in ids]
