"""What members hear of a picture before it ends, and how long it may take.

Progress is ephemeral: it may drop and coalesce on the way, and nothing is stored. The
newest word on each open job stays in memory for devices that come later (``/sync``);
at most ``OPEN_IN_ALL`` jobs of one preview each.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from salon.ids import JobId
from salon.pictures.jobs import ONCE, Job
from salon.pictures.ports import Members, Told

PREVIEW_MAX = 16 * 1024
"""Bytes of one preview; a 128 x 128 WebP has 2 to 6 thousand."""

_json = msgspec.json.Encoder()


class Pace:
    """Seconds that a step takes, measured: an exponentially weighted mean.

    Args:
        first: the guess before the first measurement; the embedded model on one core.

    Attributes:
        own_steps: what a model took where a job left the steps to it, at last.
    """

    WEIGHT = 0.3

    def __init__(self, first: float = 0.03) -> None:
        self.step_s = first
        self.own_steps, _ = ONCE
        self._measured = False

    def steps_of(self, job: Job) -> int:
        """How many it takes, or will probably take."""
        return self.own_steps if job.steps is None else job.steps

    def took(self, job: Job, seconds: float, steps: int | None) -> None:
        """A job was drawn, with so many steps if its worker says."""
        if job.steps is None and steps is not None:
            self.own_steps = steps
        self.measure(seconds, self.steps_of(job))

    def measure(self, seconds: float, steps: int) -> None:
        """A job of ``steps`` steps took ``seconds``, everything included."""
        step_s = seconds / max(1, steps)
        if self._measured:
            step_s = self.WEIGHT * step_s + (1 - self.WEIGHT) * self.step_s
        self.step_s, self._measured = step_s, True

    def eta_ms(self, steps: int, workers: int) -> int | None:
        """How long ``steps`` steps take ``workers``; None if there are no workers."""
        return None if workers == 0 else round(1000 * self.step_s * steps / workers)


class Board:
    """The newest word on each open job."""

    def __init__(self, members: Members, told: Told) -> None:
        self._members = members
        self._told = told
        self._latest: dict[JobId, dict[str, Any]] = {}

    async def queued(
        self, job: Job, position: int, ahead: int, eta_ms: int | None
    ) -> None:
        """Its place in the queue; said only when the place changed."""
        known = self._latest.get(job.id, {})
        same = (position, ahead) == (known.get("position"), known.get("ahead"))
        if same and (eta_ms is None) == (known["eta_ms"] is None):
            return
        await self._show(
            job,
            {"state": "queued", "position": position, "ahead": ahead, "eta_ms": eta_ms},
        )

    async def drawing(
        self, job: Job, step: int, steps: int, preview: str | None
    ) -> None:
        """A step is done; ``preview`` is base64 of a WebP."""
        news: dict[str, Any] = {"state": "drawing", "step": step, "steps": steps}
        if preview is not None:
            news["preview"] = f"data:image/webp;base64,{preview}"
        await self._show(job, news)

    def forget(self, id_: JobId) -> None:
        """The job has ended: the numbered stream says how."""
        self._latest.pop(id_, None)

    def of(self, conversations: Sequence[str]) -> list[dict[str, Any]]:
        """The newest word on the open jobs of these conversations."""
        wanted = set(conversations)
        return [
            body for body in self._latest.values() if body["conversation"] in wanted
        ]

    async def _show(self, job: Job, news: dict[str, Any]) -> None:
        body = {
            "type": "picture.progress",
            "conversation": str(job.conversation),
            "seq": job.seq,
            "job": str(job.id),
            **news,
        }
        self._latest[job.id] = body
        members = await self._members.members(job.conversation)
        if self._latest.get(job.id) is body:  # else it ended, or there is newer
            self._told.notify(
                list(members), _json.encode(body), coalesce=f"picture:{job.id}"
            )
