"""A worker: takes a job, draws it, brings the picture, for ever.

Theory of operation
-------------------
One thread asks for work and draws; a second one (``Reporter``) tells the server how
far it is. The second sends the *newest* step only, at most every ``REPORT_S``, so that
a slow network never slows the drawing; the answer to each report may be "stop", which
the drawing obeys at its next step.

Reports renew the lease. Nothing else does: a model that hangs loses its lease, and the
job is given again.

Whatever happens to the server, the worker tries again with growing pauses. Whatever
happens to the model is said as the job's failure in words, except the death of this
process: then the lease runs out (or is taken back when we ask for work under the same
name), and the job is given again.

This module imports nothing of the messenger's web, store or log; the model only when
there is one to load.
"""

import base64
import functools
import io
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from salon.clock import Clock, SystemClock
from salon.errors import Refusal
from salon.imaging.request import PictureRequest
from salon.pictures.jobs import DEADLINE_S, NOTE_MAX, NOTES_MAX
from salon.pictures.worker_client import (
    CallRefused,
    Drawn,
    JobDropped,
    Server,
    ServerAway,
    Work,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from salon.imaging.backends.choose import Choice
    from salon.imaging.ports import Note
    from salon.imaging.runtime import Step

log = logging.getLogger("salon.worker")

WAIT_S = 20.0
"""How long the server may hold our question for work."""

FIRST_WAIT_S = 1.0
"""The first question is short: its answer shows that the server is up, and then there
is time to load the model."""

REPORT_S = 0.12
"""Between two reports: about eight pictures a second look like a film."""

PREVIEW_BYTES = 16 * 1024
PREVIEW_QUALITIES = (75, 50, 20)

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Before trying again; with up to as much again by chance."""

NO_MODEL = (
    "The picture model of this worker cannot be loaded; its log says why. "
    "The server's operator can mend it."
)

UNACCEPTED = "The worker drew something that the server does not accept."


class Model(Protocol):
    """What a worker draws with."""

    def draw(self, request: PictureRequest, on_step: "Callable[[Step], bool]") -> Drawn:
        """Draw; ``on_step`` returning False makes it raise ``imaging``'s Cancelled."""
        ...


class Drawing:
    """Any of ``imaging``'s models, as a worker uses it; loads it.

    Raises:
        ModelUnusable: theirs who run the worker; says what to do.
    """

    def __init__(self, choice: "Choice") -> None:
        from salon.imaging.backends import choose

        self._model = choose.load(choice)

    def draw(self, request: PictureRequest, on_step: "Callable[[Step], bool]") -> Drawn:
        from salon.imaging import png

        picture = self._model.imagine(request, on_step)
        for note in picture.notes:
            log.info("%s", note.message)
        data = io.BytesIO()
        png.save(picture, data)
        steps, guidance = picture.request.settled
        return Drawn(
            data.getvalue(),
            picture.maker.model,
            picture.drawn_as,
            steps,
            guidance,
            tuple(said_in_short(note) for note in picture.notes[:NOTES_MAX]),
        )


class Embedded(Drawing):
    """The model that comes with Salon, or another folder of its kind."""

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        from salon.imaging.backends.choose import Choice

        super().__init__(Choice(folder, threads=threads))


class Worker:
    """Draws the pictures of a server.

    Args:
        connect: makes a connection to the server; called once per thread.
        load: loads the model; called at the first job, or when there is time.
    """

    def __init__(
        self,
        connect: Callable[[], Server],
        load: Callable[[], Model],
        clock: Clock | None = None,
    ) -> None:
        self._connect = connect
        self._load = load
        self._clock = clock or SystemClock()
        self._server = connect()
        self._model: Model | None = None
        self._stop = threading.Event()

    def stop(self) -> None:
        """End after the question or the job that is under way."""
        self._stop.set()

    def run(self) -> None:
        """Work until ``stop``."""
        try:
            self._run()
        finally:
            self._server.close()

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        pause = _Pause(self._stop)
        while not self._stop.is_set():
            try:
                work = self._server.lease(wait_s)
            except (ServerAway, JobDropped, CallRefused) as error:
                pause.wait(f"asking for work: {error}")
                continue
            pause.over()
            wait_s = WAIT_S
            if work is not None:
                self._do(work)
            elif self._model is None:
                self._loaded()

    def _loaded(self) -> Model | None:
        """The model; tried again for each job, because an operator may mend it."""
        if self._model is None:
            try:
                self._model = self._load()
            except Exception:
                log.exception("the picture model cannot be loaded")
        return self._model

    def _do(self, work: Work) -> None:
        began = self._clock.monotonic()
        model = self._loaded()
        if model is None:
            self._insist(work, lambda: self._server.fail(work, NO_MODEL))
            return
        drawn = self._drawn(model, work)
        if drawn is None:
            return
        elapsed_ms = round(1000 * (self._clock.monotonic() - began))
        self._insist(
            work,
            lambda: self._server.result(work, drawn, elapsed_ms),
        )

    def _drawn(self, model: Model, work: Work) -> Drawn | None:
        """The picture; None if it is not wanted any more, or was said to have failed."""
        from salon.imaging.runtime import Cancelled

        reporter = Reporter(self._connect(), work)
        try:
            with reporter:
                return model.draw(
                    PictureRequest(
                        prompt=work.prompt,
                        seed=work.seed,
                        steps=work.steps,
                        guidance=work.guidance,
                        negative=work.negative,
                    ),
                    reporter.step,
                )
        except Cancelled:
            log.info("job %s: not wanted any more", work.job)
        except Exception as error:
            log.exception("job %s cannot be drawn", work.job)
            words = in_words(error)
            self._insist(work, lambda: self._server.fail(work, words))
        return None

    def _insist(self, work: Work, call: Callable[[], None]) -> None:
        """Bring an end to the server, which may be away for a while."""
        until = self._clock.monotonic() + DEADLINE_S
        pause = _Pause(self._stop)
        refused = False
        while self._clock.monotonic() < until and not self._stop.is_set():
            try:
                call()
                return
            except ServerAway as error:
                pause.wait(f"job {work.job}: {error}")
            except JobDropped as error:
                log.info("job %s: %s", work.job, error)
                return
            except CallRefused as error:
                log.error("job %s: the server refused the result: %s", work.job, error)
                if refused:
                    return
                refused = True
                call = functools.partial(self._server.fail, work, UNACCEPTED)


class Reporter:
    """Tells the server the newest step, in a thread of its own; a context manager."""

    def __init__(self, server: Server, work: Work) -> None:
        self._server = server
        self._work = work
        self._newest: Step | None = None
        self._news = threading.Event()
        self._over = threading.Event()
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def step(self, step: "Step") -> bool:
        """For the model's ``on_step``: returns at once; False if we should stop."""
        self._newest = step
        self._news.set()
        return not self._unwanted.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._news.set()
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            step = self._newest
            if self._over.is_set():
                return
            if step is None:
                continue
            try:
                if self._server.progress(
                    self._work, step.step, step.steps, preview(step.preview)
                ):
                    self._unwanted.set()
            except JobDropped:
                self._unwanted.set()
            except (ServerAway, CallRefused) as error:
                log.warning("job %s: step not told: %s", self._work.job, error)
            self._over.wait(REPORT_S)


def preview(image: "Image | None") -> str | None:
    """The picture as base64 of a WebP of at most ``PREVIEW_BYTES``.

    Larger pictures get less quality, then half the size.
    """
    if image is None:
        return None
    while True:
        for quality in PREVIEW_QUALITIES:
            data = io.BytesIO()
            image.save(data, "WEBP", quality=quality, method=0)
            if data.tell() <= PREVIEW_BYTES:
                return base64.b64encode(data.getvalue()).decode("ascii")
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def said_in_short(note: "Note") -> dict[str, Any]:
    """A note within the bounds of what a server takes."""
    return {
        "code": note.code,
        "message": _clipped(note.message, NOTE_MAX),
        "params": {
            name: _clipped(value, NOTE_MAX // 2) if isinstance(value, str) else value
            for name, value in note.params.items()
        },
    }


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def in_words(error: Exception) -> str:
    """Why a picture failed, for the one who asked: no paths, no traces."""
    if isinstance(error, Refusal):
        return error.message
    if isinstance(error, MemoryError):
        return "There was not enough memory to draw it."
    return f"The picture model failed ({type(error).__name__})."


class _Pause:
    """Growing pauses between tries."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._tries = 0

    def wait(self, why: str) -> None:
        pause_s = PAUSES_S[min(self._tries, len(PAUSES_S) - 1)]
        if self._tries == 0:
            log.warning("%s; trying again", why)
        self._tries += 1
        self._stop.wait(pause_s * (1 + random.random()))

    def over(self) -> None:
        if self._tries:
            log.info("the server answers again")
        self._tries = 0
