"""Leases in SQL: of two that contend, one wins."""

import asyncio
from dataclasses import replace

import pytest

from salon.ids import ConversationId, FileId, JobId, UserId
from salon.pictures.jobs import Job
from salon.pictures.ports import File
from salon.store.database import Database
from salon.store.migrate import migrate
from salon.store.pictures import PictureRows, SqlPictures


def job(number, user=1, created=0):
    return Job(
        id=JobId(number),
        conversation=ConversationId(1),
        seq=number,
        user=UserId(user),
        prompt="fox",
        negative="",
        seed=2**31 - 1,
        steps=50,
        guidance=1.5,
        created=created,
        deadline=9,
    )


@pytest.fixture
async def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'salon.db'}")
    await made.write(migrate)
    yield made
    await made.close()


@pytest.fixture
def jobs(database):
    return SqlPictures(database)


async def add(database, *jobs):
    def work(connection):
        for each in jobs:
            PictureRows(connection).add_job(each)

    await database.write(work)


async def test_a_job_comes_back_as_it_was_kept(database, jobs):
    await add(database, job(1))

    assert await jobs.job(JobId(1)) == job(1)
    own = replace(job(3), steps=None, guidance=None)
    await add(database, own)
    assert await jobs.job(JobId(3)) == own
    assert await jobs.job(JobId(2)) is None


async def test_open_jobs_come_oldest_first(database, jobs):
    await add(database, job(3, created=5), job(2, created=9), job(1, created=5))

    assert [each.id for each in await jobs.open()] == [1, 3, 2]


async def test_one_of_many_gets_the_lease(database, jobs):
    await add(database, job(1))
    got = await asyncio.gather(
        *(jobs.lease(JobId(1), 1, f"w{n}", 30) for n in range(5))
    )

    assert sorted(got) == [False] * 4 + [True]


async def test_a_lease_is_kept_and_given_back_only_under_its_attempt(database, jobs):
    await add(database, job(1))
    await jobs.lease(JobId(1), 1, "w1", 30)

    assert not await jobs.renew(JobId(1), 2, 60)
    assert not await jobs.release(JobId(1), 2)
    assert await jobs.renew(JobId(1), 1, 60)
    kept = await jobs.job(JobId(1))
    assert (kept.state, kept.worker, kept.lease_until) == ("leased", "w1", 60)
    assert await jobs.release(JobId(1), 1)
    back = await jobs.job(JobId(1))
    assert (back.state, back.worker, back.attempt) == ("queued", None, 1)
    assert not await jobs.lease(JobId(1), 1, "w2", 90)  # that attempt is used
    assert await jobs.lease(JobId(1), 2, "w2", 90)


async def test_an_ended_job_is_leased_and_released_by_nobody(database, jobs):
    await add(database, job(1))
    await jobs.lease(JobId(1), 1, "w1", 30)
    await database.write(
        lambda connection: PictureRows(connection).end_job(JobId(1), "cancelled", 5)
    )

    assert not await jobs.renew(JobId(1), 1, 60)
    assert not await jobs.release(JobId(1), 1)
    assert not await jobs.lease(JobId(1), 2, "w1", 60)
    assert await jobs.open() == []


async def test_ending_twice_is_our_mistake_and_is_noticed(database):
    await add(database, job(1))

    def end(connection):
        PictureRows(connection).end_job(JobId(1), "done", 5, file=FileId(8))

    await database.write(end)
    with pytest.raises(AssertionError):
        await database.write(end)


async def test_open_jobs_are_counted_per_user_and_in_all(database):
    await add(database, job(1, user=1), job(2, user=1), job(3, user=2))
    await database.write(
        lambda connection: PictureRows(connection).end_job(JobId(1), "failed", 5)
    )

    def counts(connection):
        rows = PictureRows(connection)
        return rows.open_jobs(UserId(1)), rows.open_jobs(UserId(3)), rows.open_jobs()

    assert await database.read(counts) == (1, 0, 2)


async def test_a_file_row_comes_and_goes(database, jobs):
    file = File(FileId(5), "k.png", "image/png", 9, 4, 3, "ab", 1)
    await jobs.add_file(file)
    await jobs.drop_file(FileId(5))
    await jobs.add_file(file)
