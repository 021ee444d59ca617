import asyncio
import threading
import unicodedata

import pytest
from argon2 import PasswordHasher, extract_parameters

from salon.errors import Refusal
from salon.gateway import passwords as module
from salon.gateway.passwords import Passwords, check_password


@pytest.mark.parametrize(
    "password",
    [
        "kettle moss tram 91",
        "12 trams!",
        "purplelampshade",
        "a" * 30 + "b" * 35,
        "vjq8#kLw" * 16,
        "我们的客厅很大很大",
        "Ключ под ковриком",
        " spaces are kept ",
        "vjq8#kLw" * 32,
    ],
)
def test_long_enough_and_not_guessable_is_accepted(password: str) -> None:
    check_password(password, handle="ann")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password_short"),
        ("seven77", "password_short"),
        ("e\u0301" * 7, "password_short"),
        ("vjq8#kLw" * 32 + "x", "password_long"),
        ("password", "password_common"),
        ("P@ssw0rd2024!", "password_common"),
        ("12345678", "password_common"),
        ("qwertyuiop", "password_common"),
        ("1qaz2wsx", "password_common"),
        ("aaaaaaaaaa", "password_common"),
        ("abcabcabc", "password_common"),
        ("passwordpassword", "password_common"),
        ("йцукенгш", "password_common"),
        ("Anneliese", "password_common"),
    ],
)
def test_the_rest_is_refused_with_its_reason(password: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_password(password, handle="anneliese")

    assert (refused.value.code, refused.value.field) == (code, "password")


async def test_hashes_are_argon2id_at_the_owasp_minimum() -> None:
    kept = await Passwords().hash("kettle moss tram 91")
    parameters = extract_parameters(kept)

    assert kept.startswith("$argon2id$v=19$")
    assert parameters.memory_cost >= 19_456
    assert parameters.time_cost >= 2


async def test_only_the_same_password_verifies() -> None:
    passwords = Passwords()
    kept = await passwords.hash("x" * 200)

    assert await passwords.verify(kept, "x" * 200)
    assert not await passwords.verify(kept, "x" * 199)
    assert not await passwords.verify(kept, "x" * 200 + "y")
    assert not await passwords.verify("not a hash", "x" * 200)


async def test_two_spellings_of_the_same_letters_are_one_password() -> None:
    passwords = Passwords()
    composed = unicodedata.normalize("NFC", "Übergrößenträger")
    kept = await passwords.hash(composed)

    assert await passwords.verify(kept, unicodedata.normalize("NFD", composed))


async def test_without_a_user_a_hash_is_computed_and_nothing_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal work is what makes the time equal; a clock would only measure noise."""
    passwords = Passwords()
    verified: list[str] = []
    real = PasswordHasher.verify

    def counted(self: PasswordHasher, kept: str, password: str) -> bool:
        verified.append(kept)
        return real(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    kept = await passwords.hash("kettle moss tram 91")
    await passwords.verify(kept, "wrong password")
    right = await passwords.verify(None, "nobody's password")

    assert not right
    assert len(verified) == 2
    assert extract_parameters(verified[0]) == extract_parameters(verified[1])


def test_a_weaker_hash_is_outdated() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("x")

    assert Passwords().is_outdated(weak)


async def test_hashing_leaves_the_loop_free_and_takes_two_cores_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, most = 0, 0
    lock = threading.Lock()
    release = threading.Event()

    def slow(self: PasswordHasher, password: str) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        release.wait(10)
        with lock:
            running -= 1
        return password

    passwords = Passwords()
    monkeypatch.setattr(PasswordHasher, "hash", slow)
    calls = [asyncio.create_task(passwords.hash(str(i))) for i in range(6)]
    for _ in range(20):
        await asyncio.sleep(0)  # the loop turns while the threads hash
    release.set()

    assert await asyncio.gather(*calls) == list("012345")
    assert most <= 2


async def test_too_many_callers_are_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITING", 3)
    passwords = Passwords()
    results = await asyncio.gather(
        *(passwords.hash("kettle moss") for _ in range(5)), return_exceptions=True
    )
    refused = [each for each in results if isinstance(each, Refusal)]

    assert [each.code for each in refused] == ["busy", "busy"]
    assert refused[0].retry_after
