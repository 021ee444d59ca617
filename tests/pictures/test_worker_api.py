"""The four calls of a worker, over the real HTTP app."""

import asyncio
import base64
import io
import json
import struct
import zlib

import pytest
from PIL import Image

from salon.errors import Unavailable
from salon.pictures.progress import PREVIEW_MAX
from salon.store.schema import files
from tests.delivery.conftest import ANN, BOB
from tests.pictures.conftest import TOKEN, png


@pytest.fixture
async def here(world):
    return await world.salon.chat.group(ANN, "g", [BOB], "g")


@pytest.fixture
async def worker(world):
    async with world.worker() as client:
        yield client


async def lease(worker, name="w1", wait_s=0, **more):
    return await worker.post(
        "/api/v1/worker/lease", json={"worker": name, "wait_s": wait_s, **more}
    )


async def bring(worker, job, data, attempt=1, **more):
    return await worker.put(
        f"/api/v1/worker/jobs/{job}/result",
        params={"attempt": attempt, "model": "m", "elapsed_ms": 250, **more},
        content=data,
    )


def webp(size=(16, 16)):
    data = io.BytesIO()
    Image.new("RGBA", size, "red").save(data, "WEBP")
    return base64.b64encode(data.getvalue()).decode()


def bomb():
    """A PNG whose header says 30000 x 30000."""
    head = struct.pack(">II5B", 30000, 30000, 8, 6, 0, 0, 0)
    crc = zlib.crc32(b"IHDR" + head)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + struct.pack(">I", crc)
    )


async def kept_files(world):
    def read(connection):
        return connection.execute(files.select()).all()

    return await world.salon.database.read(read)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
async def test_every_call_needs_the_token(world, token):
    async with world.worker(token) as stranger:
        answers = [
            await lease(stranger),
            await bring(stranger, 1, b""),
            await stranger.post("/api/v1/worker/jobs/1/progress", json={}),
            await stranger.post("/api/v1/worker/jobs/1/fail", json={}),
        ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert answers[0].json()["code"] == "unauthorised"


async def test_a_whole_picture(world, worker, here):
    assert (await lease(worker)).status_code == 204
    id_, event = await world.ask(ANN, here, "red heart", seed=7, negative="cats")
    leased = await lease(worker)
    assert leased.json() == {
        "job": str(id_),
        "attempt": 1,
        "prompt": "red heart",
        "negative": "cats",
        "seed": 7,
        "steps": 12,
        "guidance": 1.8,
        "lease_s": 30,
    }
    told = await worker.post(
        f"/api/v1/worker/jobs/{id_}/progress",
        json={"attempt": 1, "step": 3, "steps": 12, "preview": webp()},
    )
    assert (told.status_code, told.json()) == (200, {"cancel": False})
    assert world.heard(BOB)[-1]["preview"] == f"data:image/webp;base64,{webp()}"
    picture = png((40, 30))
    assert (await bring(worker, id_, picture)).status_code == 204

    body = await world.body(BOB, here, event.seq)
    assert body["state"] == "done"
    assert (body["width"], body["height"], body["seed"]) == (40, 30, 7)
    assert (body["model"], body["elapsed_ms"]) == ("m", 250)
    key, mime = await world.salon.chat.file(BOB, int(body["file"]))
    assert (await world.media.open(key), mime) == (picture, "image/png")


async def test_what_a_prompt_was_read_as_reaches_the_conversation(world, worker, here):
    id_, event = await world.ask(ANN, here, "wizard")
    await lease(worker)
    too_long = await bring(worker, id_, png(), drawn_as="x" * 501)
    assert too_long.status_code == 422
    assert (await bring(worker, id_, png(), drawn_as="magic wand")).status_code == 204

    body = await world.body(BOB, here, event.seq)
    assert (body["prompt"], body["drawn_as"]) == ("wizard", "magic wand")


async def test_what_is_left_to_the_model_is_null_for_workers_that_know_it(
    world, worker, here
):
    for _ in range(3):
        await world.ask(ANN, here)
    first = (await lease(worker, fills_in=True)).json()
    old = (await lease(worker, "an-older-worker")).json()
    await world.ask(BOB, here, steps=7, guidance=2.5)
    asked = (await lease(worker, "w3", fills_in=True)).json()

    assert (first["steps"], first["guidance"]) == (None, None)
    assert (old["steps"], old["guidance"]) == (12, 1.8)
    assert (asked["steps"], asked["guidance"]) == (7, 2.5)


async def test_what_a_picture_was_drawn_with_reaches_the_conversation(
    world, worker, here
):
    id_, event = await world.ask(ANN, here)
    await lease(worker, fills_in=True)
    for wrong in ({"steps": 0}, {"steps": 51}, {"guidance": 20.1}):
        assert (await bring(worker, id_, png(), **wrong)).status_code == 422
    answer = await bring(worker, id_, png(), steps=25, guidance=7.5)
    assert answer.status_code == 204

    body = await world.body(BOB, here, event.seq)
    assert (body["drawn_steps"], body["drawn_guidance"]) == (25, 7.5)


async def test_what_the_model_wants_to_tell_reaches_the_conversation(
    world, worker, here
):
    id_, event = await world.ask(ANN, here)
    await lease(worker)
    note = {"code": "prompt_cut", "message": "cut", "params": {"room": 77}}
    for wrong in (
        "no JSON",
        json.dumps(note | {"code": "Not A Code"}),
        json.dumps(note | {"message": "x" * 161}),
        json.dumps(note | {"params": {"lost": "x" * 81}}),
        json.dumps(note | {"params": {f"p{'x' * n}": 1 for n in range(5)}}),
        json.dumps({"code": "only"}),
    ):
        refused = await bring(worker, id_, png(), note=wrong)
        assert (refused.status_code, refused.json()["field"]) == (422, "note")
    many = [json.dumps(note)] * 4
    assert (await bring(worker, id_, png(), note=many)).status_code == 422
    other = note | {"code": "negative_cut", "message": "обрезано…"}
    both = [json.dumps(note), json.dumps(other)]
    assert (await bring(worker, id_, png(), note=both)).status_code == 204

    assert (await world.body(BOB, here, event.seq))["notes"] == [note, other]


async def test_a_repeated_result_is_welcome_and_kept_once(world, worker, here):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    answers = [await bring(worker, id_, png()) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]
    assert await world.ends(ANN, here) == [(id_, "done")]
    assert len(await kept_files(world)) == 1


async def test_two_results_at_once_make_one_picture_and_leave_one_file(
    world, worker, here
):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    answers = await asyncio.gather(*(bring(worker, id_, png()) for _ in range(4)))

    assert {answer.status_code for answer in answers} == {204}
    assert await world.ends(ANN, here) == [(id_, "done")]
    assert len(await kept_files(world)) == 1


async def test_a_late_result_is_refused_and_nothing_of_it_is_kept(world, worker, here):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    await lease(worker)  # asks again: attempt 2
    late = await bring(worker, id_, png(), attempt=1)

    assert (late.status_code, late.json()["code"]) == (409, "lease_lost")
    await world.cancel(ANN, id_)
    late = await bring(worker, id_, png(), attempt=2)
    assert (late.status_code, late.json()["code"]) == (409, "job_ended")
    assert await kept_files(world) == []


async def test_a_result_that_loses_against_a_cancel_leaves_no_file(world, worker, here):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    add_file = world.jobs.add_file

    async def cancelled_meanwhile(file):
        await add_file(file)
        await world.cancel(ANN, id_)

    world.jobs.add_file = cancelled_meanwhile
    late = await bring(worker, id_, png())

    assert (late.status_code, late.json()["code"]) == (409, "job_ended")
    assert await kept_files(world) == []
    assert [f for f in world.media._root.rglob("*") if f.is_file()] == []


async def test_the_file_is_there_before_the_command_is(world, worker, here):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    submit = world.salon.receipts.submit
    seen = []

    async def looked_at(command):
        seen.extend(await kept_files(world))
        return await submit(command)

    world.results._commands = type("Looking", (), {"submit": staticmethod(looked_at)})
    assert (await bring(worker, id_, png())).status_code == 204

    assert len(seen) == 1
    assert await world.media.open(seen[0].key) == png()


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "picture_invalid"),
        (b"not a picture", 422, "picture_invalid"),
        (png()[:-20], 422, "picture_invalid"),
        (bomb(), 413, "picture_too_large"),
        (b"x" * (10 * 1024 * 1024 + 1), 413, "picture_too_large"),
        (b"x" * (13 * 1024 * 1024), 413, "too_big"),
    ],
    ids=["empty", "text", "cut", "bomb", "large", "very large"],
)
async def test_what_is_no_picture_is_refused(world, worker, here, data, status, code):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    answer = await bring(worker, id_, data)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await kept_files(world) == []
    assert (await world.jobs.job(id_)).open


async def test_a_failure_is_told_in_the_workers_words(world, worker, here):
    id_, event = await world.ask(ANN, here)
    await lease(worker)
    answer = await worker.post(
        f"/api/v1/worker/jobs/{id_}/fail",
        json={"attempt": 1, "reason": "There was\nnot enough memory. " + "x" * 999},
    )

    assert answer.status_code == 204
    body = await world.body(ANN, here, event.seq)
    assert (body["state"], body["code"]) == ("failed", "model_failed")
    assert body["reason"].startswith("There was not enough memory.")
    assert len(body["reason"]) == 300


@pytest.mark.parametrize(
    "preview",
    [
        "no base64!",
        base64.b64encode(b"RIFF....JPEG").decode(),
        base64.b64encode(b"RIFF....WEBP" + b"x" * PREVIEW_MAX).decode(),
    ],
)
async def test_a_preview_that_is_no_small_webp_is_refused(world, worker, here, preview):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    answer = await worker.post(
        f"/api/v1/worker/jobs/{id_}/progress",
        json={"attempt": 1, "step": 1, "steps": 12, "preview": preview},
    )

    assert answer.status_code in (400, 422)
    assert all("preview" not in heard for heard in world.heard(BOB))


@pytest.mark.parametrize(
    "asking",
    [
        {},
        {"worker": ""},
        {"worker": "a b"},
        {"worker": "w" * 65},
        {"worker": "w", "wait_s": 21},
        {"worker": "w", "wait_s": -1},
    ],
)
async def test_a_question_for_work_that_makes_no_sense_is_refused(worker, asking):
    answer = await worker.post("/api/v1/worker/lease", json=asking)

    assert answer.status_code == 422


async def test_a_job_that_is_no_number_is_refused(worker):
    assert (await bring(worker, "abc", png())).status_code == 400


async def test_a_worker_that_hangs_up_gets_no_job(world, here):
    """Else the job would wait for a lease to run out."""
    hung_up = asyncio.Event()
    sent = []
    body = json.dumps({"worker": "w1", "wait_s": 20}).encode()
    told = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive():
        for message in told:
            return message
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/worker/lease",
        "raw_path": b"/api/v1/worker/lease",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"authorization", f"Bearer {TOKEN}".encode()),
            (b"content-type", b"application/json"),
        ],
        "client": ("192.0.2.1", 5),
        "server": ("test", 80),
    }
    asking = asyncio.create_task(world.app()(scope, receive, send))
    async with asyncio.timeout(10):
        while not world.leases._polls:
            await asyncio.sleep(0.01)
    hung_up.set()
    await asking
    id_, _ = await world.ask(ANN, here)

    assert (await world.jobs.job(id_)).state == "queued"
    assert (await world.leases.lease("w2", 0)).attempt == 1


async def test_a_stopping_server_says_come_back_later(world, worker):
    world.leases.close()
    answer = await lease(worker)

    assert answer.status_code == 503


async def test_a_full_disk_is_said_and_the_result_can_be_brought_again(
    world, worker, here
):
    id_, _ = await world.ask(ANN, here)
    await lease(worker)
    put = world.media.put

    async def full(*_args, **_kwargs):
        raise Unavailable("the disk is full")

    world.media.put = full
    assert (await bring(worker, id_, png())).status_code == 503
    world.media.put = put

    assert (await bring(worker, id_, png())).status_code == 204
