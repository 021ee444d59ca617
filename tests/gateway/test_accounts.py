"""Accounts over HTTP, on a real database: what a stranger, a guesser and a thief get."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from argon2 import PasswordHasher

from salon.gateway.accounts import INVITE_LIFETIME_MS, OPEN_INVITES, SETUP_LIFETIME_MS
from salon.gateway.auth import COOKIE, LIFETIME_MS
from tests.gateway.accounts_world import PASSWORD, World, token_of, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


def account(token: str | None, handle: str = "ann", **changes: Any) -> dict[str, Any]:
    return {
        "token": token,
        "handle": handle,
        "name": handle.title(),
        "password": PASSWORD,
        **changes,
    }


async def login(
    client: httpx.AsyncClient, handle: str = "ann", password: str = PASSWORD
) -> httpx.Response:
    return await client.post(
        "/api/v1/login", json={"handle": handle, "password": password}
    )


# setup


async def test_a_new_server_says_that_it_needs_setup_and_its_limits(
    world: World,
) -> None:
    client = world.browser()
    before = (await client.get("/api/v1/server")).json()
    await world.ann()
    after = (await client.get("/api/v1/server")).json()

    assert before == {
        "name": "Salon",
        "version": "1.2.3",
        "setup_needed": True,
        "guests": True,
        "limits": {
            "text_chars": 8000,
            "prompt_chars": 500,
            "name_chars": 60,
            "password_min": 8,
        },
    }
    assert after["setup_needed"] is False


async def test_setup_makes_an_admin_who_is_logged_in(world: World) -> None:
    client = await world.ann()
    me = (await client.get("/api/v1/me")).json()

    assert me["user"]["role"] == "admin"
    assert me["user"]["handle"] == "ann"
    assert me["user"]["id"].isdigit()
    assert (await client.get("/api/v1/whoami")).json() == [
        me["user"]["id"],
        me["session"],
        "admin",
        "user",
    ]


async def test_fifty_setups_at_once_with_the_right_token_make_one_account(
    world: World,
) -> None:
    token = await world.service.offer_setup()
    client = world.browser()
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/setup", json=account(token, f"user{i}"))
            for i in range(50)
        )
    )
    statuses = [answer.status_code for answer in answers]

    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 403, 409}
    assert len(await world.accounts.users()) == 1


async def test_a_setup_token_is_used_up_by_success_only(world: World) -> None:
    token = await world.service.offer_setup()
    client = world.browser()
    short = await client.post("/api/v1/setup", json=account(token, password="short"))
    good = await client.post("/api/v1/setup", json=account(token))
    again = await client.post("/api/v1/setup", json=account(token, "eve"))

    assert (short.status_code, short.json()["code"]) == (422, "password_short")
    assert short.json()["params"] == {"limit": 8}
    assert good.status_code == 201
    assert (again.status_code, again.json()["code"]) == (409, "setup_done")
    assert await world.service.offer_setup() is None


async def test_a_setup_token_dies_after_a_day_and_with_the_next_one(
    world: World,
) -> None:
    first = await world.service.offer_setup()
    second = await world.service.offer_setup()
    client = world.browser()
    replaced = await client.post("/api/v1/setup", json=account(first))
    world.clock.advance(SETUP_LIFETIME_MS / 1000)
    late = await client.post("/api/v1/setup", json=account(second))

    assert replaced.json()["code"] == late.json()["code"] == "setup_token_invalid"
    assert second is not None
    assert len(second) >= 22  # 128 bits in base64


# login


async def test_unknown_handle_and_wrong_password_are_one_answer(world: World) -> None:
    await world.ann()
    client = world.browser("198.51.100.1")
    wrong = await login(client, "ann", "wrong password")
    unknown = await login(client, "nobody", "wrong password")

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    assert wrong.json()["code"] == "bad_credentials"
    assert wrong.headers.keys() == unknown.headers.keys()


async def test_both_cost_one_verification_of_the_same_price(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.ann()
    verified: list[str] = []
    real = PasswordHasher.verify

    def counted(self: PasswordHasher, kept: str, password: str) -> bool:
        verified.append(kept.rsplit("$", 2)[0])  # the parameters
        return real(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    client = world.browser("198.51.100.1")
    for handle in ("ann", "nobody", "", "x" * 1000):
        await login(client, handle, "wrong password")

    assert len(verified) == 4
    assert len(set(verified)) == 1


async def test_a_disabled_account_is_answered_like_a_wrong_password(
    world: World,
) -> None:
    await world.ann()
    client = world.browser("198.51.100.1")
    wrong = await login(client, "ann", "wrong password")
    with sqlite3.connect(world.path) as raw:
        raw.execute("UPDATE users SET disabled = 1")
    raw.close()
    disabled = await login(client)

    assert disabled.status_code == 401
    assert disabled.content == wrong.content


async def test_handles_ignore_case_width_and_spaces_around(world: World) -> None:
    await world.ann()
    client = world.browser()

    assert (await login(client, " ANN ")).status_code == 200
    assert (await login(client, "ａｎｎ")).status_code == 200


async def test_after_wrong_ones_even_the_right_password_waits_and_then_works(
    world: World,
) -> None:
    await world.invited(await world.ann(), "bob")
    guesser = world.browser("198.51.100.1")
    answers = [(await login(guesser, "ann", f"wrong {i}")) for i in range(50)]
    early = await login(guesser)
    bob = await login(world.browser("198.51.100.1"), "bob")
    at_home = await login(world.browser("203.0.113.9"))
    world.clock.advance(early.json()["retry_after"])
    later = await login(guesser)

    assert [answer.status_code for answer in answers].count(401) == 5
    assert early.status_code == 429
    assert early.json()["code"] == "too_many_attempts"
    assert early.json()["retry_after"] <= 60
    assert later.status_code == 200
    assert bob.status_code == 200
    assert at_home.status_code == 200


async def test_an_unknown_handle_is_throttled_like_a_known_one(world: World) -> None:
    await world.ann()
    client = world.browser("198.51.100.1")
    known = [(await login(client, "ann", "wrong")).status_code for _ in range(8)]
    unknown = [(await login(client, "nobody", "wrong")).status_code for _ in range(8)]

    assert known == unknown


async def test_an_old_hash_is_made_anew_at_login(world: World) -> None:
    await world.ann()
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
    (ann,) = await world.accounts.users()
    await world.accounts.set_password(ann.id, weak.hash(PASSWORD), 0)
    first = await login(world.browser())
    found = await world.accounts.find("ann")
    second = await login(world.browser())

    assert found is not None
    assert "m=19456,t=2,p=1" in found[1]
    assert first.status_code == second.status_code == 200


# cookies and tokens


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    world: World,
) -> None:
    await world.ann()
    plain = (await login(world.browser())).headers["set-cookie"]
    tls = (await login(world.browser(scheme="https"))).headers["set-cookie"]

    for part in ("HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={30 * 24 * 3600}"):
        assert part in plain
        assert part in tls
    assert "Secure" not in plain
    assert "Secure" in tls
    assert "Domain" not in plain


async def test_a_planted_cookie_is_never_adopted(world: World) -> None:
    """Session fixation: the token after a login is one that nobody knew before."""
    client = await world.ann()
    thief = world.browser()
    await login(thief)
    planted = token_of(thief)
    victim = world.browser()
    victim.cookies.set(COOKIE, planted)
    await login(victim)
    mine = [each for each in victim.cookies.jar if each.name == COOKIE]

    assert all(each.value != planted for each in mine if each.domain == "salon.test")
    # and the planted login is over, as this browser has another now
    assert (await thief.get("/api/v1/me")).status_code == 401
    assert (await client.get("/api/v1/me")).status_code == 200


async def test_me_renews_the_cookie_so_that_it_slides_too(world: World) -> None:
    client = await world.ann()
    before = token_of(client)
    for _ in range(3):
        world.clock.advance(20 * 24 * 3600)
        answer = await client.get("/api/v1/me")

        assert answer.status_code == 200
        assert f"{COOKIE}={before}" in answer.headers["set-cookie"]
    world.clock.advance(LIFETIME_MS / 1000)

    assert (await client.get("/api/v1/me")).status_code == 401


async def test_a_program_uses_the_token_as_a_bearer(world: World) -> None:
    token = token_of(await world.ann())
    program = world.browser()
    headers = {"Authorization": f"Bearer {token}"}
    answer = await program.get("/api/v1/me", headers=headers)

    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


async def test_logout_ends_this_login_says_so_and_leaves_others(world: World) -> None:
    here = await world.ann()
    there = world.browser()
    await login(there)
    session = (await here.get("/api/v1/me")).json()["session"]
    token = token_of(here)
    answer = await here.post("/api/v1/logout")
    replay = await world.browser().get(
        "/api/v1/me", headers={"Authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 204
    assert COOKIE not in here.cookies
    assert replay.status_code == 401
    assert world.revoked == [session]
    assert (await there.get("/api/v1/me")).status_code == 200


async def test_tokens_and_passwords_are_not_in_the_database(
    world: World, tmp_path: Path
) -> None:
    ann = await world.ann()
    invite = (await ann.post("/api/v1/invites", json={})).json()
    bob = await world.invited(ann, "bob")
    secrets = [token_of(ann), token_of(bob), invite["token"], PASSWORD]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    dump = b"".join(path.read_bytes() for path in files)

    assert all(secret.encode() not in dump for secret in secrets)
    assert b"$argon2id$v=19$m=19456,t=2,p=1$" in dump


# invitations


async def test_an_invitation_shows_who_invites_and_makes_one_account(
    world: World,
) -> None:
    ann = await world.ann()
    answer = await ann.post("/api/v1/invites", json={})
    invite = answer.json()
    stranger = world.browser()
    look = await stranger.post("/api/v1/invites/look", json={"token": invite["token"]})
    join = await stranger.post("/api/v1/join", json=account(invite["token"], "bob"))
    again = await world.browser().post(
        "/api/v1/join", json=account(invite["token"], "eve")
    )

    assert answer.status_code == 201
    assert invite["link"] == f"http://salon.test/join#token={invite['token']}"
    assert invite["expires"] == world.clock.now_ms() + INVITE_LIFETIME_MS
    assert look.json() == {"inviter": "Ann"}
    assert join.status_code == 201
    assert join.json()["user"]["role"] == "member"
    assert (await stranger.get("/api/v1/me")).json() == join.json()
    assert (again.status_code, again.json()["code"]) == (404, "invite_unknown")


async def test_fifty_joins_at_once_with_one_invitation_make_one_account(
    world: World,
) -> None:
    ann = await world.ann()
    invite = (await ann.post("/api/v1/invites")).json()
    client = world.browser()
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/join", json=account(invite["token"], f"user{i}"))
            for i in range(50)
        )
    )

    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(await world.accounts.users()) == 2


@pytest.mark.parametrize("how", ["wrong", "used", "over"])
async def test_wrong_used_and_old_invitations_are_one_answer(
    world: World, how: str
) -> None:
    ann = await world.ann()
    token = (await ann.post("/api/v1/invites")).json()["token"]
    if how == "wrong":
        token = "x" * 43
    elif how == "used":
        await world.browser().post("/api/v1/join", json=account(token, "bob"))
    else:
        world.clock.advance(INVITE_LIFETIME_MS / 1000)
    look = await world.browser().post("/api/v1/invites/look", json={"token": token})
    join = await world.browser().post("/api/v1/join", json=account(token, "eve"))

    assert look.status_code == join.status_code == 404
    assert look.content == join.content
    assert look.json()["code"] == "invite_unknown"


async def test_a_taken_handle_is_told_and_can_be_changed(world: World) -> None:
    ann = await world.ann()
    token = (await ann.post("/api/v1/invites")).json()["token"]
    client = world.browser()
    taken = await client.post("/api/v1/join", json=account(token, "ANN"))
    free = await client.post("/api/v1/join", json=account(token, "ann2"))

    assert (taken.status_code, taken.json()["code"]) == (409, "handle_taken")
    assert taken.json()["field"] == "handle"
    assert free.status_code == 201


async def test_open_invitations_of_one_person_are_bounded(world: World) -> None:
    ann = await world.ann()
    for _ in range(OPEN_INVITES):
        assert (await ann.post("/api/v1/invites")).status_code == 201
    answer = await ann.post("/api/v1/invites")

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_invites")


async def test_users_lists_everybody_with_public_fields_only(world: World) -> None:
    ann = await world.ann()
    world.clock.advance(1)
    await world.invited(ann, "bob")
    users = (await ann.get("/api/v1/users")).json()["users"]

    assert [user["handle"] for user in users] == ["ann", "bob"]
    assert all(
        set(user) == {"id", "handle", "name", "role", "created"} for user in users
    )


# bad input


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/me"),
        ("POST", "/api/v1/logout"),
        ("POST", "/api/v1/invites"),
        ("GET", "/api/v1/users"),
        ("GET", "/api/v1/whoami"),
    ],
)
async def test_without_a_login_nothing_but_401(
    world: World, method: str, path: str
) -> None:
    await world.ann()
    for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": f"{COOKIE}=x"}):
        answer = await world.browser().request(method, path, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorised")


WRONG_TYPES: list[Any] = [None, 1, True, [], {}, ["ann"], {"$ne": ""}, 1.5]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("setup", "token"),
        ("setup", "handle"),
        ("join", "name"),
        ("join", "password"),
        ("login", "handle"),
        ("login", "password"),
        ("invites/look", "token"),
    ],
)
async def test_a_field_of_the_wrong_type_is_refused(
    world: World, path: str, field: str
) -> None:
    client = world.browser()
    for wrong in WRONG_TYPES:
        body = {**account("x" * 43), field: wrong}
        answer = await client.post(f"/api/v1/{path}", json=body)

        assert answer.status_code == 422, wrong


@pytest.mark.parametrize("field", ["token", "handle", "name", "password"])
async def test_half_a_character_is_refused(world: World, field: str) -> None:
    r"""JSON may hold a lone surrogate (``"\ud800"``), which is no text in UTF-8."""
    body = json.dumps({**account("x" * 43), field: "kettle \ud800 moss"})
    headers = {"Content-Type": "application/json"}
    for path in ("setup", "join", "login"):
        if path == "login" and field in {"token", "name"}:
            continue
        answer = await world.browser().post(
            f"/api/v1/{path}", content=body, headers=headers
        )

        assert answer.status_code == 422


async def test_fields_that_the_server_owns_are_not_taken_from_a_client(
    world: World,
) -> None:
    bob = await world.invited(
        await world.ann(), "bob", role="admin", id="1", disabled=True, created=1
    )
    user = (await bob.get("/api/v1/me")).json()["user"]

    assert user["role"] == "member"
    assert user["id"] != "1"
    assert user["created"] != 1


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("handle", "a", "handle_invalid"),
        ("handle", "no spaces", "handle_invalid"),
        ("name", "", "name_invalid"),
        ("name", "a\n\nMESSAGE\ndestination:/topic/x", "name_invalid"),
        ("password", "qwertyuiop", "password_common"),
        ("password", "x" * 257, "password_long"),
    ],
)
async def test_bad_fields_are_named_with_their_reason(
    world: World, field: str, value: str, code: str
) -> None:
    ann = await world.ann()
    token = (await ann.post("/api/v1/invites")).json()["token"]
    body = {**account(token, "bob"), field: value}
    answer = await world.browser().post("/api/v1/join", json=body)

    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == (code, field)


async def test_injection_texts_are_texts(world: World) -> None:
    await world.ann()
    for text in ("' OR '1'='1", "ann'--", 'ann"; DROP TABLE users;--', "%", "_nn"):
        answer = await login(world.browser("203.0.113.77"), text, text)

        assert answer.status_code == 401
    assert len(await world.accounts.users()) == 1


async def test_a_refused_body_is_not_sent_back(world: World) -> None:
    """Validation errors like to echo their input, here a password."""
    body = {"handle": ["ann"], "password": "canary"}
    answer = await world.browser().post("/api/v1/login", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == "handle"
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "http://salon.test.evil.test",
        "http://salon.test:8081",
        "http://sub.salon.test",
        "null",
        "",
    ],
)
async def test_a_page_of_another_origin_cannot_act_with_the_cookie(
    world: World, origin: str
) -> None:
    ann = await world.ann()
    headers = {"Origin": origin}
    for path in ("logout", "invites"):
        answer = await ann.post(f"/api/v1/{path}", headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
    own = await ann.post("/api/v1/invites", headers={"Origin": "http://salon.test"})
    read = await ann.get("/api/v1/me", headers=headers)

    assert own.status_code == 201
    assert not any(name.startswith("access-control") for name in read.headers)


# the audit log


async def test_acts_are_audited_and_no_secret_is_in_any_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        setup = await world.service.offer_setup()
        ann = world.browser()
        await ann.post("/api/v1/setup", json=account(setup))
        await ann.post("/api/v1/setup", json=account("canary-setup"))
        invite = (await ann.post("/api/v1/invites")).json()["token"]
        bob = world.browser()
        await bob.post("/api/v1/join", json=account(invite, "bob"))
        await login(bob, "canary-typed-as-handle", "canary-password")
        await login(bob, "ann", "canary-password")
        await bob.post("/api/v1/login", json={"handle": "ann", "password": 1})
        secrets = [setup or "", token_of(ann), token_of(bob), invite, PASSWORD]
        await login(bob, "bob")
        await bob.post("/api/v1/logout")
    text = json.dumps(lines, default=str) + caplog.text
    events = [line["event"] for line in lines]

    assert events == [
        "setup",
        "setup_refused",
        "invite",
        "join",
        "login_refused",
        "login_refused",
        "login",
        "logout",
    ]
    assert all(secret not in text for secret in secrets)
    assert "canary" not in text
