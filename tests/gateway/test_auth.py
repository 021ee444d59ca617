"""Logins: recognised, cached, ended, and never found in the database as they are."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from salon.errors import Refusal
from salon.gateway.auth import (
    CACHED_FOR,
    COOKIE,
    LIFETIME_MS,
    Logins,
    SessionAuthenticator,
    Started,
    token_hash,
    token_in,
)
from salon.gateway.guests import Guests
from salon.gateway.ports import User
from salon.messaging.channel import Handshake
from salon.store.accounts import Login, SqlAccounts
from tests.gateway.accounts_world import World, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.fixture
async def ann(world: World) -> User:
    client = await world.ann()
    await client.aclose()
    (user,) = await world.accounts.users()
    return user


@pytest.fixture
async def started(world: World, ann: User) -> Started:
    return await world.logins.start(ann)


def handshake(token: str = "", bearer: str = "") -> Handshake:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    cookies = {COOKIE: token} if token else {}
    return Handshake(path="/ws", headers=headers, cookies=cookies)


async def refused(
    authenticator: SessionAuthenticator,
    shake: Handshake,
    login: str | None = None,
    passcode: str | None = None,
) -> str:
    with pytest.raises(Refusal) as refusal:
        await authenticator.authenticate(shake, login, passcode)
    return refusal.value.code


async def test_tokens_are_new_each_time_and_of_256_bits(
    world: World, ann: User
) -> None:
    tokens = {(await world.logins.start(ann)).token for _ in range(10)}

    assert len(tokens) == 10
    assert all(len(token) == 43 for token in tokens)  # 32 bytes in base64


async def test_no_token_is_in_the_database(
    world: World, started: Started, tmp_path: Path
) -> None:
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("salon.db*"))

    assert started.token.encode() not in everything
    assert token_hash(started.token).encode() in everything


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "x" * 129, "\ud800", "a\0b"])
async def test_other_texts_are_no_login(
    world: World, started: Started, token: str
) -> None:
    assert await world.logins.find(token) is None


async def test_a_login_slides_with_its_use_and_then_ends(
    world: World, started: Started
) -> None:
    day = 24 * 3600
    for _ in range(4):
        world.clock.advance(20 * day)
        assert await world.logins.find(started.token) is not None
    world.clock.advance(LIFETIME_MS / 1000)

    assert await world.logins.find(started.token) is None


async def test_recognising_is_cached_for_a_few_seconds_only(
    world: World, started: Started
) -> None:
    await world.logins.find(started.token)
    await world.accounts.end_login(started.login.id)  # as another process would
    still = await world.logins.find(started.token)
    world.clock.advance(CACHED_FOR)

    assert still is not None
    assert await world.logins.find(started.token) is None


async def test_an_ended_login_is_unknown_at_once_and_said_once(
    world: World, started: Started
) -> None:
    await world.logins.find(started.token)  # now it is cached
    world.revoked.clear()
    await world.logins.end(started.login.id)

    assert await world.logins.find(started.token) is None
    assert world.revoked == [started.login.id]


async def test_ending_all_logins_says_each(
    world: World, ann: User, started: Started
) -> None:
    other = await world.logins.start(ann)
    world.revoked.clear()
    await world.logins.end_all(ann.id)

    assert {started.login.id, other.login.id} <= set(world.revoked)
    assert await world.logins.find(other.token) is None


class _SlowRead(SqlAccounts):
    """Reads at once, answers when it is let: the read that a logout overtakes."""

    async def login_of(self, token_hash: str, now: int) -> Login | None:
        found = await super().login_of(token_hash, now)
        self.read.set()
        await self.answer.wait()
        return found

    read: asyncio.Event
    answer: asyncio.Event


async def test_a_look_up_overtaken_by_a_logout_finds_nothing(
    world: World, started: Started
) -> None:
    slow = _SlowRead(world.accounts._database)
    slow.read, slow.answer = asyncio.Event(), asyncio.Event()
    logins = Logins(slow, world.clock)
    looking = asyncio.create_task(logins.find(started.token))
    await slow.read.wait()
    await logins.end(started.login.id)
    slow.answer.set()

    assert await looking is None
    assert await logins.find(started.token) is None


def test_a_bearer_token_goes_before_the_cookie() -> None:
    both = {"authorization": "bearer  abc "}, {COOKIE: "def"}

    assert token_in(*both) == "abc"
    assert token_in({}, {COOKIE: "def"}) == "def"
    assert token_in({"authorization": "Basic abc"}, {}) == ""


async def test_connect_is_authenticated_by_cookie_bearer_or_passcode(
    world: World, ann: User, started: Started
) -> None:
    authenticator = SessionAuthenticator(world.logins)
    found = [
        await authenticator.authenticate(handshake(started.token), None, None),
        await authenticator.authenticate(handshake(bearer=started.token), None, None),
        await authenticator.authenticate(handshake(), "whatever", started.token),
    ]

    assert found[0] == found[1] == found[2]
    assert found[0].id == ann.id
    assert found[0].login == started.login.id
    assert found[0].roles == {"user", "admin"}


async def test_connect_without_a_login_is_refused(
    world: World, started: Started
) -> None:
    authenticator = SessionAuthenticator(world.logins)

    assert await refused(authenticator, handshake()) == "unauthorised"
    assert await refused(authenticator, handshake("x" * 43)) == "unauthorised"
    assert await refused(authenticator, handshake(), "Zoë") == "unauthorised"
    # a wrong passcode is not made good by a cookie
    assert (
        await refused(authenticator, handshake(started.token), "ann", "wrong")
        == "unauthorised"
    )


async def test_where_guests_are_allowed_a_login_alone_is_a_name(world: World) -> None:
    guests = Guests(world.accounts, world.clock, lambda login: True)
    authenticator = SessionAuthenticator(world.logins, guests)
    guest = await authenticator.authenticate(handshake(), "Zoë", None)

    assert guest.roles == {"guest"}
    assert await refused(authenticator, handshake(), "zoë") == "name_taken"
    assert await refused(authenticator, handshake(), "Zoë", "x" * 43) == "unauthorised"
