"""What pictures need from others.

``PictureLedger`` is the owner's transaction as the rules see it. ``PictureJobs`` is
the table of jobs as leases and results use it, outside of that transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from salon.ids import ConversationId, FileId, JobId, UserId
from salon.pictures.jobs import Job


class PictureLedger(Protocol):
    """Jobs within the owner's open transaction; see ``store/pictures.py``."""

    def job(self, id: JobId) -> Job | None: ...  # noqa: A002
    def open_jobs(self, user: UserId | None = None) -> int:
        """How many jobs are open: of one user, or of all."""
        ...

    def add_job(self, job: Job) -> None: ...
    def end_job(
        self,
        id: JobId,  # noqa: A002
        state: str,
        ended: int,
        *,
        file: FileId | None = None,
        reason: str | None = None,
    ) -> None: ...
    def link_file(self, file: FileId, conversation: ConversationId, seq: int) -> None:
        """The event ``seq`` shows the file: who may see the one may see the other."""


@dataclass(frozen=True, slots=True)
class File:
    """A row of ``files``: bytes that lie in ``media`` under ``key``."""

    id: FileId
    key: str
    mime: str
    size: int
    width: int
    height: int
    sha256: str
    created: int


class PictureJobs(Protocol):
    """The table of jobs. Every method raises ``Unavailable`` when it cannot answer."""

    async def open(self) -> list[Job]:
        """All open jobs, oldest first."""
        ...

    async def job(self, id: JobId) -> Job | None: ...  # noqa: A002

    async def lease(self, id: JobId, attempt: int, worker: str, until: int) -> bool:  # noqa: A002
        """Lease a queued job as its ``attempt``-th try; False if it is not queued."""
        ...

    async def renew(self, id: JobId, attempt: int, until: int) -> bool:  # noqa: A002
        """Keep a lease; False if it is lost."""
        ...

    async def release(self, id: JobId, attempt: int) -> bool:  # noqa: A002
        """Put a leased job back into the queue; False if the lease was lost before."""
        ...

    async def add_file(self, file: File) -> None:
        """Keep the row, durably: it must be there before a command names it."""

    async def drop_file(self, id: FileId) -> None: ...  # noqa: A002


class Members(Protocol):
    """Who is in a conversation now (``chat.ports.History`` answers it)."""

    async def members(self, id: ConversationId) -> frozenset[UserId]: ...  # noqa: A002


class Told(Protocol):
    """The lane that may drop (``chat.ports.Notices``)."""

    def notify(
        self, users: Sequence[UserId], body: bytes, *, coalesce: str | None = None
    ) -> None: ...
