import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from salon.errors import Refusal
from salon.store.accounts import SqlAccounts, User
from salon.store.database import Database
from salon.store.schema import metadata

NOW, LATER = 1_000_000, 2_000_000


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'salon.db'}")
    await made.write(metadata.create_all)
    yield made
    await made.close()


@pytest.fixture
def accounts(database: Database) -> SqlAccounts:
    return SqlAccounts(database)


def person(handle: str) -> dict[str, str]:
    return {
        "handle": handle,
        "handle_key": handle.lower(),
        "name": handle.title(),
        "secret_hash": f"hash of {handle}",
    }


async def first(accounts: SqlAccounts, handle: str = "ann") -> User:
    await accounts.offer_setup("setup", LATER)
    return await accounts.set_up("setup", now=NOW, **person(handle))


async def invited(accounts: SqlAccounts, by: User, handle: str) -> User:
    await accounts.invite(
        f"for {handle}", inviter=by.id, now=NOW, expires=LATER, at_most=9
    )
    return await accounts.join(f"for {handle}", now=NOW, **person(handle))


async def code(awaitable: "asyncio.Future[object] | object") -> str:
    with pytest.raises(Refusal) as refused:
        await awaitable  # type: ignore[misc]
    return refused.value.code


async def test_the_first_account_is_an_admin(accounts: SqlAccounts) -> None:
    needed_before = await accounts.setup_needed()
    ann = await first(accounts)

    assert needed_before
    assert not await accounts.setup_needed()
    assert ann.role == "admin"
    assert await accounts.find("ann") == (ann, "hash of ann")


async def test_fifty_setups_at_once_make_one_account(accounts: SqlAccounts) -> None:
    await accounts.offer_setup("setup", LATER)
    results = await asyncio.gather(
        *(accounts.set_up("setup", now=NOW, **person(f"user{i}")) for i in range(50)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, User) for each in results) == 1
    assert len(await accounts.users()) == 1


async def test_a_setup_token_is_dead_when_wrong_old_replaced_or_late(
    accounts: SqlAccounts,
) -> None:
    never_offered = await code(accounts.check_setup("setup", NOW))
    await accounts.offer_setup("old", LATER)
    await accounts.offer_setup("new", LATER)
    replaced = await code(accounts.set_up("old", now=NOW, **person("eve")))
    over = await code(accounts.set_up("new", now=LATER, **person("eve")))
    await accounts.check_setup("new", NOW)
    await accounts.set_up("new", now=NOW, **person("ann"))
    late = await code(accounts.set_up("new", now=NOW, **person("eve")))
    offered_again = await accounts.offer_setup("third", LATER)

    assert (never_offered, replaced, over) == ("setup_token_invalid",) * 3
    assert late == "setup_done"
    assert not offered_again


async def test_an_invitation_is_used_once_even_by_fifty_at_once(
    accounts: SqlAccounts,
) -> None:
    ann = await first(accounts)
    await accounts.invite("inv", inviter=ann.id, now=NOW, expires=LATER, at_most=9)
    results = await asyncio.gather(
        *(accounts.join("inv", now=NOW, **person(f"user{i}")) for i in range(50)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, User) for each in results) == 1
    assert len(await accounts.users()) == 2
    assert await code(accounts.inviter_of("inv", NOW)) == "invite_unknown"


async def test_a_taken_handle_leaves_the_invitation_open(accounts: SqlAccounts) -> None:
    ann = await first(accounts)
    await accounts.invite("inv", inviter=ann.id, now=NOW, expires=LATER, at_most=9)
    taken = await code(accounts.join("inv", now=NOW, **person("ANN")))
    bob = await accounts.join("inv", now=NOW + 1, **person("bob"))

    assert taken == "handle_taken"
    assert bob.role == "member"
    assert [user.handle for user in await accounts.users()] == ["ann", "bob"]


async def test_an_invitation_ends(accounts: SqlAccounts) -> None:
    ann = await first(accounts)
    await accounts.invite("inv", inviter=ann.id, now=NOW, expires=LATER, at_most=9)

    assert await accounts.inviter_of("inv", LATER - 1) == ann
    assert await code(accounts.inviter_of("inv", LATER)) == "invite_unknown"
    assert await code(accounts.join("inv", now=LATER, **person("b"))) == (
        "invite_unknown"
    )


async def test_open_invitations_are_bounded_and_old_ones_do_not_count(
    accounts: SqlAccounts,
) -> None:
    ann = await first(accounts)

    async def invite(token: str, now: int) -> None:
        expires = now + 10
        await accounts.invite(
            token, inviter=ann.id, now=now, expires=expires, at_most=2
        )

    await invite("i1", NOW)
    await invite("i2", NOW)

    assert await code(invite("i3", NOW)) == "too_many_invites"
    await invite("i4", NOW + 10)  # the first two are over


async def test_a_login_is_found_until_its_time_is_over(accounts: SqlAccounts) -> None:
    ann = await first(accounts)
    login = await accounts.start_login(
        ann.id, "hash", terminal="web", now=NOW, expires=LATER
    )

    assert login.user == ann
    assert await accounts.login_of("hash", LATER - 1) == login
    assert await accounts.login_of("hash", LATER) is None
    assert await accounts.login_of("other", NOW) is None

    await accounts.keep_login(login.id, now=LATER - 1, expires=LATER + 5)
    kept = await accounts.login_of("hash", LATER)

    assert kept is not None
    assert (kept.last_seen, kept.expires) == (LATER - 1, LATER + 5)


async def test_an_ended_login_is_gone_and_others_stay(accounts: SqlAccounts) -> None:
    ann = await first(accounts)
    bob = await invited(accounts, ann, "bob")
    for user, token in ((ann, "a1"), (ann, "a2"), (bob, "b1")):
        await accounts.start_login(
            user.id, token, terminal="web", now=NOW, expires=LATER
        )
    one = await accounts.login_of("a1", NOW)
    assert one is not None
    await accounts.end_login(one.id)
    await accounts.end_login(one.id)
    gone, stays = await accounts.login_of("a1", NOW), await accounts.login_of("a2", NOW)
    ended = await accounts.end_logins(ann.id)

    assert gone is None
    assert stays is not None
    assert ended == [stays.id]
    assert await accounts.login_of("a2", NOW) is None
    assert await accounts.login_of("b1", NOW) is not None


async def test_a_disabled_user_has_no_login_and_invites_nobody(
    accounts: SqlAccounts, database: Database
) -> None:
    ann = await first(accounts)
    await accounts.start_login(ann.id, "a1", terminal="web", now=NOW, expires=LATER)
    await accounts.invite("inv", inviter=ann.id, now=NOW, expires=LATER, at_most=9)
    with sqlite3.connect(database.url.removeprefix("sqlite:///")) as raw:
        raw.execute("UPDATE users SET disabled = 1")
    raw.close()

    assert await accounts.login_of("a1", NOW) is None
    assert await accounts.users() == []
    assert await code(accounts.inviter_of("inv", NOW)) == "invite_unknown"


async def test_logins_that_are_over_are_swept_by_the_next(
    accounts: SqlAccounts, database: Database
) -> None:
    ann = await first(accounts)
    for i in range(5):
        await accounts.start_login(
            ann.id, f"t{i}", terminal="web", now=NOW + i, expires=NOW + i + 1
        )
    with sqlite3.connect(database.url.removeprefix("sqlite:///")) as raw:
        (count,) = raw.execute("SELECT count(*) FROM logins").fetchone()
    raw.close()

    assert count == 1


async def test_a_new_password_takes_the_place_of_the_old(accounts: SqlAccounts) -> None:
    ann = await first(accounts)
    await accounts.set_password(ann.id, "new hash", LATER)

    assert await accounts.find("ann") == (ann, "new hash")
