"""Leases: fair, renewed, lost, given again; every job ends once."""

import asyncio
import random

import pytest

from salon.clock import ManualClock
from salon.errors import Refusal, Unavailable
from salon.pictures.jobs import ATTEMPTS_MAX, DEADLINE_S, LEASE_S
from tests.delivery.conftest import ANN, BOB, CAT


@pytest.fixture
async def here(world):
    return await world.salon.chat.group(ANN, "g", [BOB, CAT], "g")


async def refused(awaitable):
    with pytest.raises(Refusal) as refusal:
        await awaitable
    return refusal.value.code


async def test_a_worker_gets_the_job_with_everything_to_draw_it(world, here):
    id_, event = await world.ask(ANN, here, "red heart", seed=7, steps=9)
    job = await world.leases.lease("w1", 0)

    assert (job.id, job.attempt, job.worker) == (id_, 1, "w1")
    assert (job.prompt, job.seed, job.steps) == ("red heart", 7, 9)
    assert (await world.jobs.job(id_)).state == "leased"
    assert event.body["state"] == "queued"


async def test_without_work_the_answer_is_none(world):
    assert await world.leases.lease("w1", 0) is None


async def test_a_waiting_worker_is_woken_at_once(world, here):
    waiting = asyncio.create_task(world.leases.lease("w1", 20))
    await asyncio.sleep(0.01)
    id_, _ = await world.ask(ANN, here)

    assert (await asyncio.wait_for(waiting, 5)).id == id_


async def test_two_waiting_workers_get_two_jobs(world, here):
    waiting = [asyncio.create_task(world.leases.lease(w, 20)) for w in ("w1", "w2")]
    await asyncio.sleep(0.01)
    asked = {(await world.ask(user, here))[0] for user in (ANN, BOB)}

    assert {job.id for job in await asyncio.gather(*waiting)} == asked


async def test_turns_go_round_people(world, here):
    asked = [(await world.ask(user, here))[0] for user in (ANN, ANN, BOB)]
    given = [(await world.leases.lease(f"w{n}", 0)).id for n in range(3)]

    assert given == [asked[0], asked[2], asked[1]]


async def test_a_silent_worker_loses_its_lease_and_the_job_is_given_again(world, here):
    await world.ask(ANN, here)
    first = await world.leases.lease("w1", 0)
    world.clock.advance(LEASE_S - 1)
    await world.leases.sweep()
    assert await world.leases.lease("w2", 0) is None

    world.clock.advance(1)
    await world.leases.sweep()
    second = await world.leases.lease("w2", 0)

    assert (second.id, second.attempt) == (first.id, 2)
    assert await refused(world.leases.progress(first.id, 1, 3, 12, None)) == (
        "lease_lost"
    )
    assert await refused(world.finish(first)) == "lease_lost"
    await world.finish(second)
    assert await world.ends(ANN, here) == [(first.id, "done")]


async def test_progress_keeps_the_lease(world, here):
    await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    for step in range(5):
        world.clock.advance(LEASE_S - 1)
        assert await world.leases.progress(job.id, 1, step, 12, None) is False
        await world.leases.sweep()

    assert (await world.jobs.job(job.id)).attempt == 1


async def test_a_wall_clock_that_jumps_changes_nothing(world, here):
    await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    for jump_ms in (10**9, -(10**10)):
        world.clock._now_ms += jump_ms
        await world.settle()

    assert await world.leases.progress(job.id, 1, 1, 12, None) is False
    assert await world.ends(ANN, here) == []


async def test_a_job_that_loses_its_worker_three_times_fails_in_words(world, here):
    id_, event = await world.ask(ANN, here)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert (await world.leases.lease("w1", 0)).attempt == attempt
        world.clock.advance(LEASE_S)
        await world.settle()

    assert await world.ends(ANN, here) == [(id_, "failed")]
    body = await world.body(ANN, here, event.seq)
    assert (body["state"], body["code"]) == ("failed", "worker_lost")
    assert "3 times" in body["reason"]
    assert await world.leases.lease("w1", 0) is None


async def test_a_worker_that_asks_again_has_left_its_job(world, here):
    await world.ask(ANN, here)
    assert (await world.leases.lease("w1", 0)).attempt == 1

    assert (await world.leases.lease("w1", 0)).attempt == 2  # at once


async def test_a_second_question_under_one_name_answers_the_first(world, here):
    first = asyncio.create_task(world.leases.lease("w1", 20))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(world.leases.lease("w1", 20))
    assert await asyncio.wait_for(first, 5) is None
    id_, _ = await world.ask(ANN, here)

    assert (await second).id == id_


@pytest.mark.parametrize("drawing", [False, True])
async def test_a_passed_deadline_ends_the_job(world, here, drawing):
    id_, _ = await world.ask(ANN, here)
    if drawing:
        await world.leases.lease("w1", 0)
    for _ in range(DEADLINE_S // 20):
        world.clock.advance(20)
        if drawing:
            await world.leases.progress(id_, 1, 1, 12, None)
        await world.settle()

    assert await world.ends(ANN, here) == [(id_, "failed")]
    assert await world.leases.lease("w2", 0) is None
    if drawing:
        assert await world.leases.progress(id_, 1, 1, 12, None) is True


async def test_a_cancelled_worker_is_told_to_stop(world, here):
    id_, _ = await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    await world.cancel(ANN, id_)

    assert await world.leases.progress(id_, 1, 2, 12, None) is True
    assert await refused(world.finish(job)) == "job_ended"
    assert await world.ends(ANN, here) == [(id_, "cancelled")]


async def test_a_cancelled_job_is_given_to_nobody(world, here):
    id_, _ = await world.ask(ANN, here)
    await world.cancel(ANN, id_)

    assert await world.leases.lease("w1", 0) is None


async def test_progress_of_an_unknown_job_is_refused(world):
    assert await refused(world.leases.progress(12345, 1, 1, 2, None)) == "job_unknown"


async def test_after_a_restart_a_living_worker_goes_on(world, here):
    await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    again = world.again()

    assert await again.leases.progress(job.id, 1, 5, 12, None) is False
    await again.leases.sweep()
    await again.finish(job)
    assert await world.ends(ANN, here) == [(job.id, "done")]


async def test_after_a_restart_a_dead_workers_job_is_given_again(world, here):
    await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    again = world.again(ManualClock(now_ms=world.clock.now_ms()))
    await again.leases.sweep()
    assert await again.leases.lease("w2", 0) is None

    again.clock.advance(LEASE_S)
    await again.leases.sweep()
    assert (await again.leases.lease("w2", 0)).attempt == 2
    assert job.attempt == 1


async def test_after_a_restart_the_queue_goes_on_in_its_order(world, here):
    asked = [(await world.ask(user, here))[0] for user in (ANN, ANN, BOB)]
    again = world.again()
    await again.leases.sweep()
    given = [(await again.leases.lease(f"w{n}", 0)).id for n in range(3)]

    assert given == [asked[0], asked[2], asked[1]]


async def test_a_restart_does_not_lengthen_the_deadline(world, here):
    id_, _ = await world.ask(ANN, here)
    later = ManualClock(now_ms=world.clock.now_ms() + DEADLINE_S * 1000 + 1)
    again = world.again(later)
    await again.settle()

    assert await world.ends(ANN, here) == [(id_, "failed")]


async def test_of_two_servers_one_gives_the_job(world, here):
    other = world.again()
    await other.leases.sweep()
    await world.ask(ANN, here)
    given = await asyncio.gather(
        world.leases.lease("w1", 0), other.leases.lease("w2", 0)
    )

    assert sum(job is not None for job in given) == 1


async def test_a_lease_renewed_at_another_server_is_alive_here(world, here):
    other = world.again()
    await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    await other.leases.sweep()
    for _ in range(4):
        world.clock.advance(LEASE_S / 2)
        await world.leases.progress(job.id, 1, 1, 12, None)
        await other.leases.sweep()

    assert (await world.jobs.job(job.id)).attempt == 1


async def test_a_stopping_server_sends_workers_away(world):
    waiting = asyncio.create_task(world.leases.lease("w1", 20))
    await asyncio.sleep(0.01)
    world.leases.close()

    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await world.leases.lease("w1", 20)


async def test_places_are_told_to_the_members_and_kept_for_later_devices(world, here):
    first, _ = await world.ask(ANN, here, steps=10)
    second, event = await world.ask(BOB, here, steps=10)
    await world.leases.lease("w1", 0)
    await world.leases.publish()

    assert world.heard(CAT)[-1] == {
        "type": "picture.progress",
        "conversation": str(here),
        "seq": event.seq,
        "job": str(second),
        "state": "queued",
        "position": 1,
        "ahead": 1,
        "eta_ms": 600,  # 20 steps at 30 ms
    }
    assert world.board.of([str(here)]) == [world.heard(CAT)[-1]]
    assert world.board.of(["5"]) == []
    await world.cancel(ANN, first)
    await world.leases.publish()
    assert world.heard(CAT)[-1]["ahead"] == 0


async def test_an_unchanged_place_is_not_told_again(world, here):
    await world.ask(ANN, here)
    await world.leases.publish()
    told = len(world.heard(BOB))
    await world.leases.publish()

    assert len(world.heard(BOB)) == told == 1


async def test_without_workers_nobody_knows_how_long_it_takes(world, here):
    await world.ask(ANN, here)
    await world.leases.publish()

    assert world.heard(ANN)[-1]["eta_ms"] is None


async def test_drawing_is_told_with_its_preview_and_forgotten_at_the_end(world, here):
    id_, event = await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    await world.leases.progress(id_, 1, 3, 12, "AAAA")

    assert world.heard(BOB)[-1] == {
        "type": "picture.progress",
        "conversation": str(here),
        "seq": event.seq,
        "job": str(id_),
        "state": "drawing",
        "step": 3,
        "steps": 12,
        "preview": "data:image/webp;base64,AAAA",
    }
    await world.finish(job)
    assert world.board.of([str(here)]) == []


async def test_the_pace_is_measured(world, here):
    await world.ask(ANN, here, steps=10)
    job = await world.leases.lease("w1", 0)
    world.clock.advance(2.0)
    await world.finish(job)
    await world.ask(ANN, here, steps=10)
    await world.leases.publish()

    assert world.heard(ANN)[-1]["eta_ms"] == 2000


async def test_steps_that_are_left_to_the_model_count_as_its_last_ones(world, here):
    await world.ask(ANN, here)
    job = await world.leases.lease("w1", 0)
    world.clock.advance(5.0)
    await world.finish(job, steps=25, guidance=7.5)
    await world.ask(ANN, here)
    await world.leases.publish()

    assert world.heard(ANN)[-1]["eta_ms"] == 5000


async def test_a_full_disk_leaves_the_job_in_the_queue(world, here):
    id_, _ = await world.ask(ANN, here)

    async def full(*_):
        raise Unavailable("full")

    working, world.jobs.lease = world.jobs.lease, full
    with pytest.raises(Unavailable):
        await world.leases.lease("w1", 0)
    world.jobs.lease = working

    assert (await world.leases.lease("w1", 0)).id == id_


@pytest.mark.parametrize("end", ["deadline", "worker_lost"])
async def test_an_end_that_the_log_does_not_take_is_tried_again(world, here, end):
    id_, event = await world.ask(ANN, here)
    for _ in range(ATTEMPTS_MAX if end == "worker_lost" else 0):
        await world.leases.lease("w1", 0)
    submit = world.salon.receipts.submit

    async def away(_command):
        raise Unavailable("the log is away")

    world.leases._commands = type("Away", (), {"submit": staticmethod(away)})
    world.clock.advance(DEADLINE_S if end == "deadline" else LEASE_S)
    await world.settle()
    assert await world.leases.lease("w2", 0) is None  # and nobody draws in vain
    world.leases._commands = type("Back", (), {"submit": staticmethod(submit)})
    await world.settle()

    assert await world.ends(ANN, here) == [(id_, "failed")]
    assert (await world.body(ANN, here, event.seq))["code"] == end


async def test_the_loop_wakes_for_news_and_ends_when_cancelled(world, here):
    running = asyncio.create_task(world.leases.run())
    await world.ask(ANN, here)
    async with asyncio.timeout(10):
        while not world.heard(BOB):
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    with pytest.raises(Unavailable):
        await world.leases.lease("w1", 0)


ACTIONS = [
    "ask",
    "ask",
    "lease",
    "lease",
    "step",
    "finish",
    "finish",
    "fail",
    "cancel",
    "time",
    "restart",
]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_every_accepted_job_ends_exactly_once(world, here, seed):
    """P8: workers die, hang, come back late; people cancel; the server restarts."""
    chance = random.Random(seed)
    accepted, given = set(), []
    server = world
    for _ in range(120):
        await asyncio.sleep(0)
        match chance.choice(ACTIONS):
            case "ask":
                try:
                    accepted.add((await world.ask(chance.choice([ANN, BOB]), here))[0])
                except Refusal as full:
                    assert full.code == "too_many_pictures"  # noqa: PT017
            case "lease":
                job = await server.leases.lease(f"w{chance.randrange(3)}", 0)
                given += [job] if job else []
            case "step" if given:
                job = chance.choice(given)
                try:
                    await server.leases.progress(job.id, job.attempt, 1, 2, None)
                except Refusal as late:
                    assert late.code == "lease_lost"  # noqa: PT017
            case "finish" | "fail" as end if given:
                job = chance.choice(given)
                try:
                    if end == "finish":
                        await server.finish(job)
                    else:
                        await server.results.fail(job.id, job.attempt, "no")
                except Refusal as late:
                    assert late.code in ("lease_lost", "job_ended")  # noqa: PT017
            case "cancel" if accepted:
                try:
                    await world.cancel(ANN, chance.choice(sorted(accepted)))
                except Refusal as late:
                    assert late.code == "job_ended"  # noqa: PT017
            case "time":
                world.clock.advance(chance.choice([1, 10, 31]))
                await server.settle()
            case "restart":
                world.salon.fanout.watchers.remove(server.leases.applied)
                server = world.again()
                await server.leases.sweep()
    for _ in range(2 + DEADLINE_S // 30):
        world.clock.advance(30)
        await server.settle()
    ends = await world.ends(ANN, here)

    assert sorted(id_ for id_, _ in ends) == sorted(accepted)
    assert await world.jobs.open() == []
