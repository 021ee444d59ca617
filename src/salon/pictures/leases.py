"""Who draws which job, and what becomes of jobs whose worker is lost.

Theory of operation
-------------------
The *table* of jobs is the truth about leases: a lease is an UPDATE that expects the
job to be queued with a certain attempt, so of two servers one wins. What is here in
memory (the fair queue, who holds what, who waits for work) is a view of that table. It
follows the owner's outcomes (``applied``) at once, and a look at the table once a
second, which also finds what another server or an earlier life of this one left.

*Time.* A lease ends when nothing was heard of it for ``LEASE_S`` on **our** monotonic
clock: neither progress here nor a changed ``lease_until`` in the table. Whether other
clocks agree is never asked; after a restart each lease counts anew.

*A worker that asks for work has none.* So a lease under its name is a lease whose
worker ended, or whose answer was lost on the way: it is taken back at once instead of
after ``LEASE_S``. Worker names must therefore differ.

*Ends.* A job that used up its attempts, or whose deadline passed, is ended by a
``FailPicture`` command like any other end: the log's order decides, and a failure
that comes after the picture is refused.

*In flight.* While a statement about a job runs, and for changes during a look at the
table, what the table seemed to say about that job is ignored (``_busy``, ``_fresh``):
it may be older than what we know.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from salon import ids, metrics
from salon.chat.ports import Commands, Outcome
from salon.clock import Clock
from salon.errors import Refusal, Unavailable
from salon.ids import JobId
from salon.pictures.commands import (
    CancelPicture,
    FailPicture,
    FinishPicture,
    RequestPicture,
    end_key,
)
from salon.pictures.fairness import FairQueue
from salon.pictures.jobs import (
    ATTEMPTS_MAX,
    CANCELLED,
    DEADLINE_S,
    DONE,
    FAILED,
    LEASE_S,
    LEASED,
    QUEUED,
    Job,
)
from salon.pictures.ports import PictureJobs
from salon.pictures.progress import Board, Pace
from salon.pictures.rules import job_ended, job_of, job_unknown

log = structlog.get_logger("salon.pictures")

SWEEP_S = 1.0
"""Between two looks at the table, for expiry, deadlines and other servers' changes."""

PUBLISH_S = 0.25
"""Between two rounds of places in the queue."""

RENEW_S = LEASE_S / 3
"""How often a renewed lease is written; others see it alive in time."""

WORKER_SEEN_S = 60.0
"""A worker that was not heard of for so long does not count in an ETA."""

_ENDS: dict[type, str] = {
    FinishPicture: DONE,
    FailPicture: FAILED,
    CancelPicture: CANCELLED,
}


@dataclass(slots=True, eq=False)
class Held:
    """A lease, as it is seen from here; all times monotonic seconds.

    Attributes:
        job: with the attempt and worker of this lease.
        heard: the last sign of life.
        stored: when ``job.lease_until`` was written.
        began: when the lease was given, for measuring the pace.
    """

    job: Job
    heard: float
    stored: float
    began: float
    step: int = 0


@dataclass(slots=True)
class _Known:
    job: Job
    ends_at: float


class Leases:
    """Gives jobs to workers, and ends those that nobody finishes.

    Give ``applied`` to the fan-out as a watcher, and run ``run()`` as one task.

    Args:
        node: this server's name, for answers to commands.
    """

    def __init__(
        self,
        node: str,
        jobs: PictureJobs,
        commands: Commands,
        board: Board,
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self._node = node
        self._jobs = jobs
        self._commands = commands
        self._board = board
        self._clock = clock
        self._pace = pace or Pace()
        self._queue = FairQueue()
        self._known: dict[JobId, _Known] = {}
        self._held: dict[JobId, Held] = {}
        self._ending: dict[JobId, asyncio.Task[None]] = {}
        self._polls: dict[str, asyncio.Future[bool]] = {}
        self._workers: dict[str, float] = {}
        self._busy: list[JobId] = []
        self._fresh: set[JobId] = set()
        self._loaded = asyncio.Event()
        self._stirred = asyncio.Event()
        self._closed = False

    # --- what workers do

    async def lease(self, worker: str, wait_s: float) -> Job | None:
        """The next job for ``worker``; waits up to ``wait_s`` for one.

        Raises:
            Unavailable: ours; the table cannot be written, or we are stopping.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        self._heard_of(worker)
        if (older := self._polls.pop(worker, None)) and not older.done():
            older.set_result(False)  # its connection is gone, or its name is taken
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._loaded.wait()
        await self._take_back(worker)
        while True:
            if self._closed:
                raise Unavailable("The server is stopping; ask again.")
            granted = await self._grant(worker)
            if granted is not None or loop.time() >= until:
                return granted
            poll = self._polls[worker] = loop.create_future()
            try:
                async with asyncio.timeout_at(until):
                    if not await poll:
                        return None
            except TimeoutError:
                return None
            finally:
                if self._polls.get(worker) is poll:
                    del self._polls[worker]

    async def progress(
        self, id_: JobId, attempt: int, step: int, steps: int, preview: str | None
    ) -> bool:
        """A sign of life with news; True if the worker should stop drawing.

        Raises:
            Refusal: theirs; ``lease_lost``, ``job_unknown``.
        """
        try:
            held = await self.hold(id_, attempt)
        except Refusal as refusal:
            if refusal.code == "job_ended":
                return True
            raise
        held.step = step
        if self._held.get(id_) is held:
            await self._board.drawing(held.job, step, steps, preview)
        return False

    async def hold(self, id_: JobId, attempt: int, *, write: bool = False) -> Held:
        """Renew the lease of a worker that draws the ``attempt``-th try.

        With ``write`` it is also written now, so that other servers count anew too.

        Raises:
            Refusal: theirs; ``lease_lost``, ``job_ended``, ``job_unknown``.
        """
        held = self._held.get(id_)
        if held is None or held.job.attempt != attempt:
            held = await self._adopted(id_, attempt)
        now = self._clock.monotonic()
        held.heard = now
        assert held.job.worker is not None
        self._heard_of(held.job.worker)
        if write or now - held.stored >= RENEW_S:
            held.stored = now
            await self._renew(held)
        return held

    def measured(self, held: Held, steps: int | None) -> None:
        """A result came, of so many steps if they are said: a measurement of the pace."""
        self._pace.took(held.job, self._clock.monotonic() - held.began, steps)

    # --- what the owner says

    def applied(self, outcome: Outcome) -> None:
        """An outcome with an event: a job came, or one ended."""
        command = outcome.command
        if outcome.event is None or outcome.duplicate:
            return
        if isinstance(command, RequestPicture):
            self._fresh.add(command.job)
            self._opened(job_of(command, outcome.event.seq))
        elif isinstance(command, FinishPicture | FailPicture | CancelPicture):
            self._fresh.add(command.job)
            self._drop(command.job)
            metrics.jobs.labels(_ENDS[type(command)]).inc()

    # --- the loop

    async def run(self) -> None:
        """Expire, end, and tell places, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await _guarded(self.sweep)
                until = loop.time() + SWEEP_S
                while loop.time() < until:
                    try:
                        async with asyncio.timeout_at(until):
                            await self._stirred.wait()
                    except TimeoutError:
                        break
                    self._stirred.clear()
                    await _guarded(self.publish)
                    await asyncio.sleep(PUBLISH_S)
        finally:
            self.close()
            for task in self._ending.values():
                task.cancel()

    def close(self) -> None:
        """Give no more work: who waits is sent away (503) and may ask again later."""
        self._closed = True
        self._wake()

    async def sweep(self) -> None:
        """One round: look at the table, expire leases, end what is overdue."""
        await self._look()
        now = self._clock.monotonic()
        for held in list(self._held.values()):
            if now - held.heard >= LEASE_S:
                log.warning(
                    "pictures.lease_expired",
                    job=held.job.id,
                    attempt=held.job.attempt,
                    worker=held.job.worker,
                )
                await self._lost(held)
        for known in list(self._known.values()):
            job = known.job
            if now >= known.ends_at:
                self._fail(
                    job,
                    "deadline",
                    f"It was not drawn within {DEADLINE_S // 60} minutes.",
                )
            elif job.attempt >= ATTEMPTS_MAX and job.id not in self._held:
                self._fail_lost(job)
        await self.publish()

    async def publish(self) -> None:
        """Tell those who wait their places."""
        now = self._clock.monotonic()
        self._workers = {
            name: heard
            for name, heard in self._workers.items()
            if now - heard < WORKER_SEEN_S
        }
        drawing = len(self._held)
        of = self._pace.steps_of
        steps = sum(max(0, of(held.job) - held.step) for held in self._held.values())
        for place, job in enumerate(self._queue.order()):
            steps += of(job)
            eta_ms = self._pace.eta_ms(steps, len(self._workers))
            if job.id in self._known and job.id not in self._held:
                await self._board.queued(job, place + 1, place + drawing, eta_ms)

    # --- the view of the table

    async def _look(self) -> None:
        self._fresh = set(self._busy)
        rows = await self._jobs.open()
        fresh = self._fresh | set(self._busy)
        self._fresh = set()
        for job in rows:
            if job.id not in fresh and job.id not in self._ending:
                self._seen(job)
        present = {job.id for job in rows} | fresh
        for id_ in [id_ for id_ in self._known if id_ not in present]:
            self._drop(id_)
        self._loaded.set()

    def _seen(self, job: Job) -> None:
        """The table's word on an open job, when it is newer than ours."""
        held = self._held.get(job.id)
        if job.state == QUEUED:
            if job.id not in self._known:
                self._opened(job)
            elif held is not None:  # another server took the lease back
                self._drop(job.id)
                self._opened(job)
        elif held is None or held.job.attempt != job.attempt:
            self._drop(job.id)
            self._adopt(job)
        elif held.job.lease_until != job.lease_until:  # renewed at another server
            held.job = job
            held.heard = self._clock.monotonic()

    def _opened(self, job: Job) -> None:
        if job.id in self._known:
            return
        self._know(job)
        if job.attempt < ATTEMPTS_MAX:  # else the sweep ends it
            self._queue.add(job)
            self._wake()

    def _adopt(self, job: Job) -> Held:
        """A lease that was not given here, or not in this life."""
        now = self._clock.monotonic()
        self._know(job)
        self._queue.add_drawing(job)
        held = self._held[job.id] = Held(job, heard=now, stored=now, began=now)
        return held

    def _know(self, job: Job) -> None:
        left_s = min(DEADLINE_S, (job.deadline - self._clock.now_ms()) / 1000)
        self._known[job.id] = _Known(job, self._clock.monotonic() + left_s)
        metrics.jobs_open.set(len(self._known))

    def _drop(self, id_: JobId) -> None:
        self._known.pop(id_, None)
        self._held.pop(id_, None)
        self._queue.remove(id_)
        self._board.forget(id_)
        metrics.jobs_open.set(len(self._known))
        self._stirred.set()

    # --- giving and taking leases

    async def _grant(self, worker: str) -> Job | None:
        while (job := self._queue.take()) is not None:
            now = self._clock.monotonic()
            given = replace(
                job,
                state=LEASED,
                attempt=job.attempt + 1,
                worker=worker,
                lease_until=self._lease_until(),
            )
            held = self._held[job.id] = Held(given, heard=now, stored=now, began=now)
            assert given.lease_until is not None
            with self._about(job.id):
                try:
                    got = await self._jobs.lease(
                        job.id, given.attempt, worker, given.lease_until
                    )
                except Unavailable:
                    if self._held.get(job.id) is held:
                        del self._held[job.id]
                        self._queue.give_back(job)
                    raise
            if self._held.get(job.id) is not held:  # it ended meanwhile
                continue
            if got:
                self._stirred.set()
                return given
            self._drop(job.id)  # another server was faster; the next look says
        return None

    async def _take_back(self, worker: str) -> None:
        for held in list(self._held.values()):
            if held.job.worker == worker:
                log.info("pictures.lease_left", job=held.job.id, worker=worker)
                await self._lost(held)

    async def _lost(self, held: Held) -> None:
        """Nobody works under this lease: queue the job again, or give up."""
        id_ = held.job.id
        with self._about(id_):
            released = await self._jobs.release(id_, held.job.attempt)
        if self._held.get(id_) is not held:
            return
        if not released:
            self._drop(id_)
            return
        del self._held[id_]
        job = replace(held.job, state=QUEUED, worker=None, lease_until=None)
        self._known[id_].job = job
        if job.attempt >= ATTEMPTS_MAX:
            self._fail_lost(job)
            return
        self._queue.give_back(job)
        self._wake()

    async def _renew(self, held: Held) -> None:
        until = self._lease_until()
        held.job = replace(held.job, lease_until=until)
        with self._about(held.job.id):
            kept = await self._jobs.renew(held.job.id, held.job.attempt, until)
        if not kept:
            if self._held.get(held.job.id) is held:
                self._drop(held.job.id)
            await self._refuse(held.job.id)

    async def _adopted(self, id_: JobId, attempt: int) -> Held:
        with self._about(id_):
            job = await self._jobs.job(id_)
        ours = self._held.get(id_)
        if ours is not None and ours.job.attempt == attempt:
            return ours
        if job is None or job.state != LEASED or job.attempt != attempt:
            await self._refuse(id_)
        self._drop(id_)
        return self._adopt(job)

    async def _refuse(self, id_: JobId) -> NoReturn:
        job = await self._jobs.job(id_)
        if job is None:
            raise job_unknown()
        if not job.open:
            raise job_ended(job)
        raise Refusal(
            "lease_lost",
            "Another attempt has this job now; stop, and ask for work.",
            field="attempt",
            status=409,
        )

    # --- ending

    def _fail_lost(self, job: Job) -> None:
        self._fail(
            job,
            "worker_lost",
            f"The worker was lost {job.attempt} times while it drew this.",
        )

    def _fail(self, job: Job, code: str, reason: str) -> None:
        if job.id in self._ending:
            return
        if job.id not in self._held:
            self._queue.remove(job.id)
        task = asyncio.create_task(self._end(job, code, reason))
        self._ending[job.id] = task
        task.add_done_callback(lambda _done: self._ending.pop(job.id, None))

    async def _end(self, job: Job, code: str, reason: str) -> None:
        try:
            await (await self._commands.submit(self.failure(job, code, reason)))
        except Refusal as refusal:  # another end was first
            log.info("pictures.end_refused", job=job.id, code=refusal.code)
        except Unavailable as error:  # the next sweep tries again
            log.warning("pictures.end_later", job=job.id, why=str(error))

    def failure(self, job: Job, code: str, reason: str) -> FailPicture:
        """The command that ends a job without a picture."""
        return FailPicture(
            id=ids.token(96),
            conversation=job.conversation,
            sender=job.user,
            client_id=end_key(job.id, FAILED),
            node=self._node,
            ts=self._clock.now_ms(),
            job=job.id,
            code=code,
            reason=reason,
        )

    # --- small things

    def _lease_until(self) -> int:
        return self._clock.now_ms() + LEASE_S * 1000

    def _heard_of(self, worker: str) -> None:
        self._workers[worker] = self._clock.monotonic()

    def _wake(self) -> None:
        """Everybody who waits looks again; there are as many as workers."""
        self._stirred.set()
        for poll in self._polls.values():
            if not poll.done():
                poll.set_result(True)

    @contextlib.contextmanager
    def _about(self, id_: JobId) -> Iterator[None]:
        """A statement about this job runs."""
        self._busy.append(id_)
        try:
            yield
        finally:
            self._busy.remove(id_)
            self._fresh.add(id_)


async def _guarded(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Unavailable as error:
        log.warning("pictures.later", why=str(error))
    except Exception:
        log.exception("pictures.sweep")
