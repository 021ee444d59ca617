"""People ask and cancel, over HTTP and STOMP's controller."""

import pytest

from salon.errors import Refusal
from salon.messaging.message import ReceiptHeaders
from salon.messaging.principal import Principal
from salon.pictures.endpoints import Cancel, Imagine, PictureController
from tests.delivery.conftest import ANN, BOB, CAT


@pytest.fixture
async def here(world):
    return await world.salon.chat.group(ANN, "g", [BOB], "g")


def speaker(user):
    return Principal(str(user), "x", frozenset({"user"}), "1")


async def test_a_picture_is_asked_for_over_http(world, here):
    async with world.person(ANN) as ann:
        answer = await ann.post(
            "/api/v1/pictures",
            json={"conversation": str(here), "prompt": "a red heart --seed 7"},
            headers={"Idempotency-Key": "one"},
        )
        again = await ann.post(
            "/api/v1/pictures",
            json={"conversation": str(here), "prompt": "a red heart --seed 7"},
            headers={"Idempotency-Key": "one"},
        )

    assert answer.status_code == 202
    assert again.json() == answer.json()
    said = answer.json()
    body = await world.body(ANN, here, said["seq"])
    assert (body["job"], body["prompt"], body["seed"]) == (
        said["job"],
        "a red heart",
        7,
    )


async def test_a_repeated_request_later_finds_the_first_with_its_seed(world, here):
    first, event = await world.ask(ANN, here, key="k")
    world.clock.advance(5)
    second, again = await world.ask(ANN, here, key="k")

    assert (first, event) == (second, again)


async def test_without_a_seed_each_picture_has_its_own(world, here):
    seeds = {(await world.ask(ANN, here))[1].body["seed"] for _ in range(3)}

    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"prompt": " "}, 400, "prompt_empty"),
        ({"prompt": "x" * 501}, 413, "prompt_too_long"),
        ({"prompt": "fox", "steps": 99}, 400, "number_out_of_range"),
        ({"prompt": "fox", "conversation": "5"}, 404, "conversation_unknown"),
        ({"prompt": "fox", "conversation": "x"}, 400, "id_invalid"),
        ({"prompt": 7}, 422, None),
        ({"prompt": "fox", "seed": "7"}, 422, None),
        ({"prompt": "fox", "guidance": None, "seed": 1.5}, 422, None),
    ],
)
async def test_bad_requests_are_refused_in_words(world, here, changes, status, code):
    async with world.person(ANN) as ann:
        answer = await ann.post(
            "/api/v1/pictures", json={"conversation": str(here), **changes}
        )

    assert answer.status_code == status, answer.text
    assert code in (None, answer.json()["code"])


async def test_a_megabyte_of_prompt_is_too_big(world, here):
    async with world.person(ANN) as ann:
        answer = await ann.post(
            "/api/v1/pictures",
            json={"conversation": str(here), "prompt": "x" * 1_000_000},
        )

    assert answer.status_code == 413


async def test_the_fourth_picture_at_once_is_too_many(world, here):
    for _ in range(3):
        await world.ask(ANN, here)
    async with world.person(ANN) as ann:
        answer = await ann.post(
            "/api/v1/pictures", json={"conversation": str(here), "prompt": "x"}
        )

    assert answer.status_code == 429
    assert answer.json()["params"] == {"limit": 3}
    assert "retry-after" in answer.headers


async def test_nobody_and_guests_ask_for_nothing(world, here):
    wanted = {"conversation": str(here), "prompt": "fox"}
    async with world.http() as nobody, world.person("guest") as guest:
        assert (await nobody.post("/api/v1/pictures", json=wanted)).status_code == 401
        assert (await guest.post("/api/v1/pictures", json=wanted)).status_code == 403


async def test_a_picture_is_cancelled_over_http_once(world, here):
    id_, event = await world.ask(ANN, here)
    async with world.person(ANN) as ann, world.person(BOB) as bob:
        assert (await bob.post(f"/api/v1/pictures/{id_}/cancel")).status_code == 403
        assert (await ann.post(f"/api/v1/pictures/{id_}/cancel")).status_code == 204
        late = await ann.post(f"/api/v1/pictures/{id_ + 1}/cancel")
        assert (late.status_code, late.json()["code"]) == (404, "job_unknown")
    assert (await world.body(BOB, here, event.seq))["state"] == "cancelled"


async def test_a_finished_picture_cannot_be_cancelled(world, here):
    id_, _ = await world.ask(ANN, here)
    await world.finish(await world.leases.lease("w1", 0))
    async with world.person(ANN) as ann:
        late = await ann.post(f"/api/v1/pictures/{id_}/cancel")

    assert (late.status_code, late.json()["code"]) == (409, "job_ended")


async def test_an_outsider_cannot_tell_a_foreign_job_from_none(world, here):
    id_, _ = await world.ask(ANN, here)
    async with world.person(CAT) as cat:
        foreign = await cat.post(f"/api/v1/pictures/{id_}/cancel")
        none = await cat.post(f"/api/v1/pictures/{id_ + 1}/cancel")

    assert (foreign.status_code, foreign.json()) == (none.status_code, none.json())


async def test_the_stomp_receipt_tells_number_and_job(world, here):
    receipt = ReceiptHeaders()
    controller = PictureController(world.pictures)
    payload = Imagine(conversation=str(here), client_id="k", prompt="fox --steps 5")
    await (await controller.imagine(payload, speaker(ANN), receipt))
    body = await world.body(ANN, here, int(receipt["seq"]))

    assert receipt["duplicate"] == "false"
    assert (receipt["job"], 5) == (body["job"], body["steps"])
    await (await controller.cancel(Cancel(receipt["job"]), speaker(ANN), receipt))
    with pytest.raises(Refusal):
        await controller.cancel(Cancel("x"), speaker(ANN), receipt)


async def test_a_client_id_that_does_not_print_is_refused(world, here):
    with pytest.raises(Refusal) as refused:
        await world.ask(ANN, here, key="\x1edone:5")

    assert refused.value.code == "client_id_invalid"


async def test_who_leaves_while_it_draws_still_gets_it_drawn(world, here):
    id_, _ = await world.ask(BOB, here)
    job = await world.leases.lease("w1", 0)
    await world.salon.chat.remove(BOB, here, BOB)
    await world.finish(job)

    assert await world.ends(ANN, here) == [(id_, "done")]
