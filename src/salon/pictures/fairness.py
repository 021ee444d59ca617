"""Whose picture is next.

Turns go round the people, not the jobs: with r jobs of a person drawing or ahead of
it, a job has *rank* r, and lower ranks come first; so nobody's second picture is
before anybody's first. Within a rank the one who has waited longest comes first: since
their job came, or since they were last served, whichever is later. (That is round
robin in the order of least recent service; a newcomer joins at the end of the round,
so a stream of newcomers starves nobody.)

Waiting is counted in arrivals and services, not in time: no clock can change the
order.
"""

from collections import Counter
from collections.abc import Iterator

from salon.ids import JobId, UserId
from salon.pictures.jobs import Job


class FairQueue:
    """Open jobs: those that wait, in fair order, and who has how many drawing."""

    def __init__(self) -> None:
        self._ticks = 0
        self._arrived: dict[JobId, int] = {}
        self._waiting: dict[JobId, Job] = {}
        self._drawing: dict[JobId, Job] = {}
        self._served: dict[UserId, int] = {}
        self._served_before: dict[JobId, int] = {}

    def add(self, job: Job) -> None:
        """A job came."""
        self._arrived[job.id] = self._tick()
        self._waiting[job.id] = job

    def add_drawing(self, job: Job) -> None:
        """A job that somebody draws already."""
        self._arrived[job.id] = self._tick()
        self._drawing[job.id] = job

    def take(self) -> Job | None:
        """Serve the next: it draws from now on."""
        order = self.order()
        if not order:
            return None
        job = order[0]
        self._drawing[job.id] = self._waiting.pop(job.id)
        self._served_before[job.id] = self._served.get(job.user, 0)
        self._served[job.user] = self._tick()
        return job

    def give_back(self, job: Job) -> None:
        """It was not drawn after all: it waits as if it had never been taken."""
        del self._drawing[job.id]
        self._served[job.user] = self._served_before.pop(job.id, 0)
        self._waiting[job.id] = job

    def remove(self, id_: JobId) -> None:
        """The job has ended; nothing happens if it is not here."""
        job = self._waiting.pop(id_, None) or self._drawing.pop(id_, None)
        if job is None:
            return
        del self._arrived[id_]
        self._served_before.pop(id_, None)
        left = (*self._waiting.values(), *self._drawing.values())
        if all(other.user != job.user for other in left):
            # whoever comes back arrives later than this, so it says nothing more
            self._served.pop(job.user, None)

    def order(self) -> list[Job]:
        """Those that wait, the next one first."""
        return [job for _, job in sorted(self._keyed(), key=lambda pair: pair[0])]

    def _keyed(self) -> Iterator[tuple[tuple[int, int, int], Job]]:
        ranks = Counter(job.user for job in self._drawing.values())
        for id_ in sorted(self._waiting, key=self._arrived.__getitem__):
            job = self._waiting[id_]
            arrived = self._arrived[id_]
            since = max(arrived, self._served.get(job.user, 0))
            yield (ranks[job.user], since, arrived), job
            ranks[job.user] += 1

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks
