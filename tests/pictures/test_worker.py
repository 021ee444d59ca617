"""The worker with the embedded model, over real sockets, thread and process."""

import asyncio
import base64
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from salon.clock import SystemClock
from salon.imaging.png import read_parameters
from salon.imaging.ports import Note
from salon.imaging.runtime import EmbeddedModel, ModelUnusable
from salon.pictures import worker as workers
from salon.pictures.commands import PictureNote
from salon.pictures.worker import (
    Drawn,
    Embedded,
    Reporter,
    Worker,
    in_words,
    preview,
    said_in_short,
)
from salon.pictures.worker_client import Server
from tests.delivery.conftest import ANN, BOB
from tests.gateway.harness import gateway
from tests.pictures.conftest import TOKEN, built


@pytest.fixture
async def live(world):
    """The world under the machine's clock, its loop running."""
    world.salon.fanout.watchers.clear()
    made = built(world.salon, world.media, SystemClock())
    running = asyncio.create_task(made.leases.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def here(world):
    return await world.salon.chat.group(ANN, "g", [BOB], "g")


@contextlib.asynccontextmanager
async def served(world):
    async with gateway(
        routers=world.routers(), body_limits={"/api/v1/worker": 12 << 20}
    ) as running:
        yield running
        world.leases.close()


@pytest.fixture
async def server(live):
    async with served(live) as running:
        yield running


@contextlib.contextmanager
def working(url, load, name="w1", token=TOKEN):
    worker = Worker(lambda: Server(url, lambda: token, name), load)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


async def ended(world, conversation, count=1):
    async def look():
        ends = await world.ends(ANN, conversation)
        return len(ends) >= count and ends

    return await until(look)


class Slow:
    """A model whose steps wait for a test; it draws a plain picture."""

    def __init__(self):
        self.go = threading.Semaphore(0)
        self.steps_done = 0

    def draw(self, request, on_step):
        from salon.imaging.runtime import Cancelled, Step

        image = Image.new("RGBA", (16, 16), "red")
        steps = request.steps or 12
        for step in range(1, steps + 1):
            assert self.go.acquire(timeout=60)
            self.steps_done = step
            if not on_step(Step(step, steps, image)):
                raise Cancelled
        data = io.BytesIO()
        image.save(data, "PNG")
        return Drawn(data.getvalue(), "slow")


async def test_the_model_fills_in_what_nobody_asked_for(live, server, here):
    with working(server.url, Embedded):
        id_, event = await live.ask(ANN, here, "red heart")
        assert await ended(live, here) == [(id_, "done")]
    body = await live.body(ANN, here, event.seq)
    key, _ = await live.salon.chat.file(ANN, int(body["file"]))
    facts = read_parameters(await live.media.open(key))

    assert "steps" not in body
    assert (body["drawn_steps"], body["drawn_guidance"]) == (12, 1.8)
    assert (facts["steps"], facts["guidance"]) == (12, 1.8)


async def test_the_embedded_model_draws_what_was_asked(live, server, here):
    with working(server.url, Embedded):
        id_, event = await live.ask(ANN, here, "red heart", seed=7, steps=12)
        assert await ended(live, here) == [(id_, "done")]
    body = await live.body(ANN, here, event.seq)
    key, _ = await live.salon.chat.file(BOB, int(body["file"]))
    data = await live.media.open(key)

    facts = read_parameters(data)
    assert (facts["prompt"], facts["seed"], facts["steps"]) == ("red heart", 7, 12)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"), float)
    assert pixels.shape[:2] == (body["height"], body["width"])
    red, green, _blue, alpha = (pixels[..., c] for c in range(4))
    shown = alpha > 128
    assert shown.mean() > 0.1
    assert red[shown].mean() > green[shown].mean() + 60  # it is red
    drawing = [told for told in live.heard(BOB) if told["state"] == "drawing"]
    assert drawing
    shown_early = base64.b64decode(drawing[0]["preview"].split(",")[1])
    assert len(shown_early) <= workers.PREVIEW_BYTES
    assert Image.open(io.BytesIO(shown_early)).format == "WEBP"


async def test_cancel_stops_the_drawing_within_a_step_of_the_answer(live, server, here):
    model = Slow()
    with working(server.url, lambda: model):
        id_, _ = await live.ask(ANN, here, steps=50)
        model.go.release()

        async def drawing():
            return any(told["state"] == "drawing" for told in live.heard(BOB))

        await until(drawing)
        await live.cancel(ANN, id_)
        second, _ = await live.ask(ANN, here, steps=1)
        while model.steps_done < 50 and len(await live.ends(ANN, here)) < 2:
            model.go.release()
            await asyncio.sleep(0.05)

    assert await live.ends(ANN, here) == [(id_, "cancelled"), (second, "done")]


async def test_a_model_that_breaks_is_a_failure_in_words(live, server, here):
    class Broken:
        def draw(self, request, on_step):
            if request.prompt == "break":
                raise RuntimeError("/secret/path is broken")
            return Slow.draw(quick, request, on_step)

    quick = Slow()
    quick.go.release(100)
    with working(server.url, Broken):
        _, event = await live.ask(ANN, here, "break")
        await ended(live, here)
        body = await live.body(ANN, here, event.seq)
        await live.ask(ANN, here, "fox")
        ends = await ended(live, here, 2)  # and it goes on working

    assert (body["state"], body["code"]) == ("failed", "model_failed")
    assert "RuntimeError" in body["reason"]
    assert "secret" not in body["reason"]
    assert ends[1][1] == "done"


async def test_a_model_that_cannot_be_loaded_is_a_failure_in_words(live, server, here):
    def missing():
        raise ModelUnusable("/some/folder/model.json is missing")

    with working(server.url, missing):
        _, event = await live.ask(ANN, here)
        await ended(live, here)

    reason = (await live.body(ANN, here, event.seq))["reason"]
    assert reason == workers.NO_MODEL


async def test_a_picture_that_is_none_is_a_failure_in_words(live, server, here):
    class Junk:
        def draw(self, request, on_step):
            return Drawn(b"no png", "junk")

    with working(server.url, Junk):
        _, event = await live.ask(ANN, here)
        await ended(live, here)

    assert (await live.body(ANN, here, event.seq))["reason"] == workers.UNACCEPTED


async def test_a_picture_is_brought_to_the_server_that_came_back(live, here):
    model = Slow()
    async with served(live) as first:
        port = first.port
        worker = Worker(
            lambda: Server(f"http://127.0.0.1:{port}", lambda: TOKEN, "w1"),
            lambda: model,
        )
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        id_, _ = await live.ask(ANN, here, steps=2)

        async def leased():
            return (await live.jobs.job(id_)).state == "leased"

        await until(leased)
    model.go.release(2)  # it ends while there is no server
    await asyncio.sleep(0.3)
    live.salon.fanout.watchers.clear()
    again = built(live.salon, live.media, SystemClock())
    running = asyncio.create_task(again.leases.run())
    async with gateway_on(port, again):
        assert await ended(live, here) == [(id_, "done")]
        again.leases.close()
    worker.stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await live.jobs.job(id_)).attempt == 1


@contextlib.asynccontextmanager
async def gateway_on(port, world):
    """A second life of the server on the port of the first."""
    from salon.gateway.connections import Connections
    from salon.gateway.edge import Edge
    from salon.gateway.http import create_app
    from salon.gateway.origins import Origins
    from salon.gateway.server import Server as Gateway
    from salon.gateway.server import listen

    edge = Edge(
        channels=lambda: None,
        origins=Origins(["http://salon.test"]),
        clock=SystemClock(),
        connections=Connections(),
    )
    app = create_app(edge, world.routers(), body_limits={"/api/v1/worker": 12 << 20})
    running = Gateway(app, edge, listen("127.0.0.1", port), drain=3.0)
    ready = asyncio.Event()
    task = asyncio.create_task(running.serve(ready.set))
    await ready.wait()
    try:
        yield
    finally:
        await running.stop()
        await task


def command(url, token, *more):
    salon = [sys.executable, "-m", "salon", "worker"]
    return [*salon, "--server", url, "--token-file", str(token), *more]


@contextlib.contextmanager
def process(url, folder: Path, *more, name="p1"):
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SALON_")}
    running = subprocess.Popen(
        command(url, token, "--name", name, *more),
        stdin=subprocess.PIPE,
        env=environment,
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        running.stdin.close()


@pytest.mark.faults
async def test_kill_9_in_the_middle_of_a_step_leads_to_exactly_one_picture_each(
    live, server, here, tmp_path
):
    with process(server.url, tmp_path) as first:
        # about a second each: one is being drawn at the kill
        asked = [
            (await live.ask(ANN, here, "red heart", steps=50))[0] for _ in range(3)
        ]

        async def drawing():
            return any(
                told["state"] == "drawing" and told["step"] >= 1
                for told in live.heard(BOB)
            )

        await until(drawing)
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    assert len(await live.ends(ANN, here)) < 3
    with process(server.url, tmp_path):  # supervised, it comes back under its name
        ends = await ended(live, here, 3)

    assert sorted(ends) == sorted((id_, "done") for id_ in asked)
    assert max([(await live.jobs.job(id_)).attempt for id_ in asked]) == 2


@pytest.mark.faults
async def test_the_worker_process_ends_with_its_parent(tmp_path):
    with process("http://127.0.0.1:9", tmp_path, "--parent-watch") as running:
        running.stdin.close()

        assert await asyncio.to_thread(running.wait, 30) == 0


@pytest.mark.faults
async def test_the_worker_process_ends_on_sigterm(tmp_path, server):
    with process(server.url, tmp_path) as running:
        await asyncio.sleep(1)
        running.send_signal(signal.SIGTERM)

        assert await asyncio.to_thread(running.wait, 30) in (0, -signal.SIGTERM)


def test_a_missing_token_file_is_said_in_words(tmp_path):
    ran = subprocess.run(
        command("http://127.0.0.1:9", tmp_path / "none"),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 78
    assert "worker token cannot be read" in ran.stderr


def test_the_worker_imports_nothing_of_the_messengers_stack():
    heavy = ("fastapi", "pydantic", "sqlalchemy", "aiokafka", "msgspec", "numpy")
    heavy += ("onnxruntime", "PIL", "structlog", "uvicorn")
    code = (
        "import sys, salon.cli.worker, salon.pictures.worker\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert ran.stdout.strip() == "[]"


def test_a_preview_is_small_whatever_the_picture():
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 4), np.uint8)
    data = base64.b64decode(preview(Image.fromarray(noise, "RGBA")))

    assert len(data) <= workers.PREVIEW_BYTES
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    assert preview(None) is None


def test_a_slow_network_does_not_slow_the_drawing():
    told = []
    gate = threading.Event()

    class Slowest:
        def progress(self, work, step, steps, preview):
            assert gate.wait(30)
            told.append(step)
            return False

        def close(self):
            pass

    from salon.imaging.runtime import Step

    began = time.monotonic()
    with Reporter(Slowest(), None) as reporter:
        for step in range(1000):
            assert reporter.step(Step(step, 1000, None))
        drawn_in = time.monotonic() - began
        gate.set()

    assert drawn_in < 30  # the gate was closed all the while
    assert len(told) <= 2


def test_words_hide_what_is_none_of_the_askers_business():
    assert (
        in_words(ValueError("/etc/passwd")) == "The picture model failed (ValueError)."
    )
    assert "memory" in in_words(MemoryError())


def test_a_note_is_brought_within_the_servers_bounds():
    long = Note("prompt_cut", "m" * 300, {"room": 77, "lost": "狐" * 300})
    said = said_in_short(long)

    note = msgspec.convert(said, PictureNote)
    assert note.message == "m" * 159 + "…"
    assert note.params == {"room": 77, "lost": "狐" * 79 + "…"}
    short = Note("prompt_words", "only “a”", {"words": "a"})
    assert said_in_short(short) == asdict(short)


def test_the_embedded_model_is_the_one_that_is_drawn_with():
    """The worker's picture is that of the model itself, for the same request."""
    from salon.imaging.request import PictureRequest

    request = PictureRequest("blue fish", seed=3, steps=4)
    drawn = Embedded().draw(request, lambda _step: True)
    itself = EmbeddedModel.load().draw(request)

    pixels = np.asarray(Image.open(io.BytesIO(drawn.png)))
    assert np.array_equal(pixels, np.asarray(itself))
    assert drawn.drawn_as is None


def test_the_embedded_model_says_what_it_read_an_unknown_prompt_as():
    from salon.imaging.request import PictureRequest

    model = Embedded()
    unknown = "a photograph of quarterly tax returns"
    drawn = model.draw(PictureRequest(unknown, seed=3, steps=1), lambda _step: True)

    assert drawn.drawn_as == EmbeddedModel.load().read_as(unknown) != unknown
