import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from salon.errors import Refusal
from salon.gateway import guests as module
from salon.gateway.guests import GRACE, Guests
from tests.gateway.accounts_world import World, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made:
        yield made


@pytest.fixture
def live() -> set[str]:
    return set()


@pytest.fixture
def guests(world: World, live: set[str]) -> Guests:
    return Guests(world.accounts, world.clock, live.__contains__)


async def refusal(guests: Guests, name: str) -> str:
    with pytest.raises(Refusal) as refused:
        await guests.admit(name)
    return refused.value.code


async def test_a_guest_is_a_principal_of_no_other_role(guests: Guests) -> None:
    guest = await guests.admit("  Zoë ")

    assert (guest.name, guest.roles) == ("Zoë", {"guest"})
    assert guest.id == "guest:zoë"
    assert guest.login.startswith("guest:")


async def test_two_live_guests_never_share_a_name(
    guests: Guests, world: World, live: set[str]
) -> None:
    live.add((await guests.admit("Zoë")).login)
    world.clock.advance(3600)

    assert await refusal(guests, "ZOË") == "name_taken"


async def test_a_hundred_at_once_want_one_name_and_one_gets_it(guests: Guests) -> None:
    results = await asyncio.gather(
        *(guests.admit("zed") for _ in range(100)), return_exceptions=True
    )

    assert sum(not isinstance(each, Exception) for each in results) == 1


async def test_a_name_is_free_again_when_its_connection_is_gone(
    guests: Guests, world: World, live: set[str]
) -> None:
    first = await guests.admit("zed")
    live.add(first.login)
    world.clock.advance(GRACE)
    live.remove(first.login)
    second = await guests.admit("zed")

    assert second.id == first.id
    assert second.login != first.login


async def test_a_guest_cannot_take_the_handle_of_an_account(
    guests: Guests, world: World
) -> None:
    await world.ann()

    assert await refusal(guests, "Ann") == "name_taken"


async def test_a_name_that_could_forge_a_frame_is_refused(guests: Guests) -> None:
    assert await refusal(guests, "a\n\nMESSAGE\ndestination:/topic/x") == "name_invalid"


async def test_guests_are_bounded_and_the_gone_make_room(
    guests: Guests, world: World, live: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for name in ("g1", "g2", "g3"):
        live.add((await guests.admit(name)).login)
    full = await refusal(guests, "g4")
    world.clock.advance(GRACE)
    live.clear()
    guest = await guests.admit("g4")

    assert full == "too_many_guests"
    assert guest.name == "g4"
