"""The rules of a picture: who may ask, and that exactly one end follows.

Like ``chat.conversations``: no waiting, no clock, no database; a rule takes the
owner's open transaction, the conversation and a command, and returns a ``Draft`` or
raises ``Refusal``.

The rules read nothing of the lease (attempt, worker): it is not in the log, and what
the log holds must lead to the same again. A late result is refused by the lease
before it becomes a command (``results.py``); what slips through meets a job that has
ended, or *is* the first end and as good a picture as any.
"""

from typing import Any

import msgspec

from salon.chat.conversations import Conversation
from salon.chat.events import Draft
from salon.errors import Refusal
from salon.ids import JobId
from salon.pictures.commands import (
    CancelPicture,
    FailPicture,
    FinishPicture,
    RequestPicture,
)
from salon.pictures.jobs import (
    CANCELLED,
    DONE,
    FAILED,
    OPEN_IN_ALL,
    OPEN_PER_USER,
    QUEUED,
    Job,
)
from salon.pictures.ports import PictureLedger


def request(
    ledger: PictureLedger, conversation: Conversation, command: RequestPicture
) -> Draft:
    """``picture``: a member asks; the job is queued under the event's number."""
    conversation.require_member(command.sender)
    if ledger.job(command.job) is not None:
        raise Refusal(
            "job_exists",
            "A job of this number is there already; use a new client id.",
            field="client_id",
            status=409,
        )
    if ledger.open_jobs(command.sender) >= OPEN_PER_USER:
        raise Refusal(
            "too_many_pictures",
            f"You have {OPEN_PER_USER} pictures under way; wait for one, or cancel one.",
            params={"limit": OPEN_PER_USER},
            retry_after=5.0,
            status=429,
        )
    if ledger.open_jobs() >= OPEN_IN_ALL:
        raise Refusal(
            "queue_full",
            f"{OPEN_IN_ALL} pictures are waiting on this server; try again later.",
            params={"limit": OPEN_IN_ALL},
            retry_after=30.0,
            status=503,
        )
    job = job_of(command, conversation.last_seq + 1)
    ledger.add_job(job)
    asked = {"steps": job.steps, "guidance": job.guidance}
    return Draft(
        type="picture",
        body={
            "job": str(job.id),
            "prompt": job.prompt,
            "negative": job.negative,
            "seed": job.seed,
            **_said(asked),
            "state": QUEUED,
        },
        counts=True,
    )


def job_of(command: RequestPicture, seq: int) -> Job:
    """The queued job of a request whose event has the number ``seq``."""
    return Job(
        id=command.job,
        conversation=command.conversation,
        seq=seq,
        user=command.sender,
        prompt=command.prompt,
        negative=command.negative,
        seed=command.seed,
        steps=command.steps,
        guidance=command.guidance,
        created=command.ts,
        deadline=command.deadline,
    )


def finish(
    ledger: PictureLedger, conversation: Conversation, command: FinishPicture
) -> Draft:
    """``picture.updated``: the picture is there; whoever sees the event sees it."""
    job = _open_job(ledger, conversation, command.job)
    ledger.end_job(job.id, DONE, command.ts, file=command.file)
    ledger.link_file(command.file, job.conversation, job.seq)
    said = {
        "drawn_as": command.drawn_as,
        "drawn_steps": command.steps,
        "drawn_guidance": command.guidance,
        "notes": [msgspec.to_builtins(note) for note in command.notes] or None,
    }
    return _ended(
        job,
        state=DONE,
        file=str(command.file),
        width=command.width,
        height=command.height,
        seed=job.seed,
        model=command.model,
        elapsed_ms=command.elapsed_ms,
        **_said(said),
    )


def fail(
    ledger: PictureLedger, conversation: Conversation, command: FailPicture
) -> Draft:
    """``picture.updated``: there will be no picture; the reason in words."""
    job = _open_job(ledger, conversation, command.job)
    ledger.end_job(job.id, FAILED, command.ts, reason=command.reason)
    return _ended(job, state=FAILED, reason=command.reason, code=command.code)


def cancel(
    ledger: PictureLedger, conversation: Conversation, command: CancelPicture
) -> Draft:
    """``picture.updated``: who asked, or an admin of the group, wants it no more."""
    member = conversation.members.get(command.sender)
    if member is None:  # an outsider cannot tell a foreign job from none
        raise job_unknown()
    job = _job(ledger, conversation, command.job)
    if job.user != command.sender and member.role not in ("owner", "admin"):
        raise Refusal(
            "not_allowed",
            "Only who asked for a picture and the group's admins can cancel it.",
            status=403,
        )
    job = _open_job(ledger, conversation, command.job)
    ledger.end_job(job.id, CANCELLED, command.ts)
    return _ended(job, state=CANCELLED, by=str(command.sender))


def job_unknown() -> Refusal:
    """The one answer for a job that is not there or not yours to see."""
    return Refusal(
        "job_unknown", "There is no such picture for you.", field="job", status=404
    )


def job_ended(job: Job) -> Refusal:
    """The answer to every end after the first."""
    return Refusal(
        "job_ended",
        f"This picture has already ended: {job.state}.",
        field="job",
        params={"state": job.state},
        status=409,
    )


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    """Those that somebody has said something of."""
    return {name: value for name, value in fields.items() if value is not None}


def _job(ledger: PictureLedger, conversation: Conversation, id_: JobId) -> Job:
    job = ledger.job(id_)
    if job is None or job.conversation != conversation.id:
        raise job_unknown()
    return job


def _open_job(ledger: PictureLedger, conversation: Conversation, id_: JobId) -> Job:
    job = _job(ledger, conversation, id_)
    if not job.open:
        raise job_ended(job)
    return job


def _ended(job: Job, **fields: str | int) -> Draft:
    """The end as an event, and merged into the picture's own body."""
    return Draft(
        type="picture.updated",
        body={"job": str(job.id), **fields},
        target=job.seq,
        merge=dict(fields),
    )
