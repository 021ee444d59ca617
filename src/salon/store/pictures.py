"""Picture jobs and their files, in SQL.

``PictureRows`` is the owner's view, inside its transaction (``store/ledger.py``
inherits it). ``SqlPictures`` is the view of leases and results. Both are right beside
each other because every change names the state that it expects: of two that contend,
the row count says who came first.
"""

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from salon.ids import ConversationId, FileId, JobId, UserId
from salon.pictures.jobs import LEASED, OPEN, QUEUED, Job
from salon.pictures.ports import File
from salon.store.database import Database
from salon.store.schema import file_links, files, picture_jobs

_jobs = picture_jobs.c

_OWN_STEPS, _OWN_GUIDANCE = 0, -1.0
"""The model's own, in columns that hold a number always: no job may ask for these."""


class PictureRows:
    """``pictures.ports.PictureLedger`` over the owner's open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def job(self, id: JobId) -> Job | None:  # noqa: A002
        return _job(self._connection, id)

    def open_jobs(self, user: UserId | None = None) -> int:
        count = select(func.count()).where(_jobs.state.in_(OPEN))
        if user is not None:
            count = count.where(_jobs.user_id == user)
        return self._connection.execute(count).scalar_one()

    def add_job(self, job: Job) -> None:
        self._connection.execute(
            insert(picture_jobs).values(
                id=job.id,
                conv_id=job.conversation,
                seq=job.seq,
                user_id=job.user,
                prompt=job.prompt,
                negative=job.negative,
                seed=job.seed,
                steps=_OWN_STEPS if job.steps is None else job.steps,
                guidance=_OWN_GUIDANCE if job.guidance is None else job.guidance,
                state=job.state,
                created=job.created,
                deadline=job.deadline,
                attempt=0,
            )
        )

    def end_job(
        self,
        id: JobId,  # noqa: A002
        state: str,
        ended: int,
        *,
        file: FileId | None = None,
        reason: str | None = None,
    ) -> None:
        done = self._connection.execute(
            update(picture_jobs)
            .where(_jobs.id == id, _jobs.state.in_(OPEN))
            .values(
                state=state,
                ended=ended,
                file_id=file,
                reason=reason,
                worker=None,
                lease_until=None,
            )
        )
        assert done.rowcount == 1, "the rules end only open jobs"

    def link_file(self, file: FileId, conversation: ConversationId, seq: int) -> None:
        self._connection.execute(
            insert(file_links).values(file_id=file, conv_id=conversation, seq=seq)
        )


class SqlPictures:
    """``pictures.ports.PictureJobs`` over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> list[Job]:
        return await self._database.read(_open)

    async def job(self, id: JobId) -> Job | None:  # noqa: A002
        return await self._database.read(_job, id)

    async def lease(self, id: JobId, attempt: int, worker: str, until: int) -> bool:  # noqa: A002
        return await self._database.write(_lease, id, attempt, worker, until)

    async def renew(self, id: JobId, attempt: int, until: int) -> bool:  # noqa: A002
        return await self._database.write(_renew, id, attempt, until)

    async def release(self, id: JobId, attempt: int) -> bool:  # noqa: A002
        return await self._database.write(_release, id, attempt)

    async def add_file(self, file: File) -> None:
        await self._database.write(_add_file, file, durable=True)

    async def drop_file(self, id: FileId) -> None:  # noqa: A002
        await self._database.write(_drop_file, id, durable=True)


def _job(connection: Connection, id_: JobId) -> Job | None:
    row = connection.execute(select(picture_jobs).where(_jobs.id == id_)).one_or_none()
    return None if row is None else _job_of_row(row)


def _open(connection: Connection) -> list[Job]:
    rows = connection.execute(
        select(picture_jobs)
        .where(_jobs.state.in_(OPEN))
        .order_by(_jobs.created, _jobs.conv_id, _jobs.seq)
    )
    return [_job_of_row(row) for row in rows]


def _lease(
    connection: Connection, id_: JobId, attempt: int, worker: str, until: int
) -> bool:
    done = connection.execute(
        update(picture_jobs)
        .where(_jobs.id == id_, _jobs.state == QUEUED, _jobs.attempt == attempt - 1)
        .values(state=LEASED, attempt=attempt, worker=worker, lease_until=until)
    )
    return done.rowcount == 1


def _renew(connection: Connection, id_: JobId, attempt: int, until: int) -> bool:
    done = connection.execute(
        update(picture_jobs)
        .where(_jobs.id == id_, _jobs.state == LEASED, _jobs.attempt == attempt)
        .values(lease_until=until)
    )
    return done.rowcount == 1


def _release(connection: Connection, id_: JobId, attempt: int) -> bool:
    done = connection.execute(
        update(picture_jobs)
        .where(_jobs.id == id_, _jobs.state == LEASED, _jobs.attempt == attempt)
        .values(state=QUEUED, worker=None, lease_until=None)
    )
    return done.rowcount == 1


def _add_file(connection: Connection, file: File) -> None:
    connection.execute(
        insert(files).values(
            id=file.id,
            key=file.key,
            mime=file.mime,
            size=file.size,
            width=file.width,
            height=file.height,
            sha256=file.sha256,
            created=file.created,
        )
    )


def _drop_file(connection: Connection, id_: FileId) -> None:
    connection.execute(delete(files).where(files.c.id == id_))


def _job_of_row(row: Any) -> Job:
    return Job(
        id=JobId(row.id),
        conversation=ConversationId(row.conv_id),
        seq=row.seq,
        user=UserId(row.user_id),
        prompt=row.prompt,
        negative=row.negative,
        seed=row.seed,
        steps=None if row.steps == _OWN_STEPS else row.steps,
        guidance=None if row.guidance == _OWN_GUIDANCE else row.guidance,
        created=row.created,
        deadline=row.deadline,
        state=row.state,
        attempt=row.attempt,
        worker=row.worker,
        lease_until=row.lease_until,
    )
