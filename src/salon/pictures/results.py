"""A worker's picture: checked, kept, and only then said.

The order is what keeps the promise that no message points at an object that cannot be
read: bytes durable in ``media``, row durable in ``files``, then the command. A crash
in between leaves a file that nobody points at, never the other way round.
"""

import asyncio
import contextlib
import hashlib
from dataclasses import asdict, dataclass

import structlog

from salon import ids
from salon.chat.ports import Commands
from salon.clock import Clock
from salon.errors import Refusal, Unavailable
from salon.ids import FileId, JobId
from salon.media.png import check_png
from salon.media.ports import Media
from salon.pictures.commands import FinishPicture, PictureNote, end_key
from salon.pictures.jobs import DONE, Job
from salon.pictures.leases import Leases
from salon.pictures.ports import File, PictureJobs

log = structlog.get_logger("salon.pictures")

REASON_MAX = 300


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker says of its picture; see ``FinishPicture``."""

    model: str
    elapsed_ms: int
    drawn_as: str | None = None
    steps: int | None = None
    guidance: float | None = None
    notes: tuple[PictureNote, ...] = ()


class Results:
    """Ends jobs with what workers bring.

    Args:
        node: this server's name, for answers to commands.
    """

    def __init__(
        self,
        node: str,
        leases: Leases,
        jobs: PictureJobs,
        media: Media,
        commands: Commands,
        clock: Clock,
    ) -> None:
        self._node = node
        self._leases = leases
        self._jobs = jobs
        self._media = media
        self._commands = commands
        self._clock = clock

    async def finish(
        self,
        id_: JobId,
        attempt: int,
        data: bytes,
        said: Said,
    ) -> None:
        """Keep a PNG and end its job; a repeated upload of the same try is welcome.

        Raises:
            Refusal: theirs; ``lease_lost``, ``job_ended``, no valid PNG.
            Unavailable: ours; try again, it may have counted.
        """
        try:
            held = await self._leases.hold(id_, attempt, write=True)
        except Refusal:
            if await self._is_done_by(id_, attempt):
                return
            raise
        width, height = await asyncio.to_thread(check_png, data)
        self._leases.measured(held, said.steps)
        file = File(
            id=FileId(ids.random_id(self._clock.now_ms())),
            key=await self._media.put(data, mime="image/png"),
            mime="image/png",
            size=len(data),
            width=width,
            height=height,
            sha256=hashlib.sha256(data).hexdigest(),
            created=self._clock.now_ms(),
        )
        await self._jobs.add_file(file)
        try:
            await (
                await self._commands.submit(
                    self._finished(held.job, attempt, file, said)
                )
            )
        except Refusal:
            await self._forget(file)
            if not await self._is_done_by(id_, attempt):
                raise

    async def fail(self, id_: JobId, attempt: int, reason: str) -> None:
        """End a job that a worker could not draw, with its words.

        Raises:
            Refusal: theirs; ``lease_lost``, ``job_ended``.
            Unavailable: ours; try again.
        """
        held = await self._leases.hold(id_, attempt, write=True)
        words = " ".join(reason.split())[:REASON_MAX] or "The worker gave no reason."
        await (
            await self._commands.submit(
                self._leases.failure(held.job, "model_failed", words)
            )
        )

    def _finished(
        self, job: Job, attempt: int, file: File, said: Said
    ) -> FinishPicture:
        return FinishPicture(
            id=ids.token(96),
            conversation=job.conversation,
            sender=job.user,
            client_id=end_key(job.id, DONE),
            node=self._node,
            ts=self._clock.now_ms(),
            job=job.id,
            attempt=attempt,
            file=file.id,
            width=file.width,
            height=file.height,
            **asdict(said),
        )

    async def _is_done_by(self, id_: JobId, attempt: int) -> bool:
        job = await self._jobs.job(id_)
        return job is not None and job.state == DONE and job.attempt == attempt

    async def _forget(self, file: File) -> None:
        """Nobody points at it: its command was refused."""
        with contextlib.suppress(Unavailable):
            await self._jobs.drop_file(file.id)
            await self._media.delete(file.key)
