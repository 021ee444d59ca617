"""What people may ask of pictures, whoever carries the wish (STOMP or HTTP).

Job and seed are made from the client id: a repeated try asks for the very same
picture, and is found to be a repetition.
"""

import hashlib
from collections.abc import Awaitable
from typing import Any, NamedTuple

from salon import ids
from salon.chat.ports import Applied, Commands
from salon.chat.service import CLIENT_ID_MAX
from salon.clock import Clock
from salon.errors import Refusal
from salon.ids import ConversationId, JobId, UserId
from salon.pictures.commands import CancelPicture, RequestPicture, end_key
from salon.pictures.jobs import CANCELLED, DEADLINE_S, SEED_MAX, Wish
from salon.pictures.ports import PictureJobs
from salon.pictures.rules import job_unknown


class Asked(NamedTuple):
    """A job under way to the owner; ``applied`` resolves when it is in the queue."""

    job: JobId
    applied: Awaitable[Applied]


class Pictures:
    """Ask for pictures, and cancel them.

    Args:
        node: this server's name, for answers to commands.
    """

    def __init__(
        self, node: str, commands: Commands, jobs: PictureJobs, clock: Clock
    ) -> None:
        self._node = node
        self._commands = commands
        self._jobs = jobs
        self._clock = clock

    async def request(
        self,
        sender: UserId,
        conversation: ConversationId,
        client_id: str,
        wish: Wish,
    ) -> Asked:
        """Ask for a picture; who may, and how many, is the owner's answer.

        Raises:
            Refusal: theirs; the client id.
            Unavailable: ours; the log takes nothing now.
        """
        if not 1 <= len(client_id) <= CLIENT_ID_MAX or not client_id.isprintable():
            raise Refusal(
                "client_id_invalid",
                f"A client id is 1 to {CLIENT_ID_MAX} printable characters.",
                field="client_id",
            )
        job, seed = _job_and_seed(sender, conversation, client_id)
        envelope = self._envelope(conversation, sender, client_id)
        applied = await self._commands.submit(
            RequestPicture(
                **envelope,
                job=job,
                prompt=wish.prompt,
                negative=wish.negative,
                seed=seed if wish.seed is None else wish.seed,
                steps=wish.steps,
                guidance=wish.guidance,
                deadline=envelope["ts"] + DEADLINE_S * 1000,
            )
        )
        return Asked(job, applied)

    async def cancel(self, sender: UserId, id_: JobId) -> Awaitable[Applied]:
        """Want it no more; the awaitable resolves when it is cancelled.

        Raises:
            Refusal: theirs; ``job_unknown``; from the awaitable ``job_ended`` and
                ``not_allowed``.
        """
        job = await self._jobs.job(id_)
        if job is None:
            raise job_unknown()
        return await self._commands.submit(
            CancelPicture(
                **self._envelope(job.conversation, sender, end_key(id_, CANCELLED)),
                job=id_,
            )
        )

    def _envelope(
        self, conversation: ConversationId, sender: UserId, client_id: str
    ) -> dict[str, Any]:
        return {
            "id": ids.token(96),
            "conversation": conversation,
            "sender": sender,
            "client_id": client_id,
            "node": self._node,
            "ts": self._clock.now_ms(),
        }


def _job_and_seed(
    sender: UserId, conversation: ConversationId, client_id: str
) -> tuple[JobId, int]:
    key = f"picture:{conversation}:{sender}:{client_id}".encode()
    digest = hashlib.blake2b(key, digest_size=16).digest()
    job = int.from_bytes(digest[:8], "big") >> 2
    return JobId(job), int.from_bytes(digest[8:], "big") & SEED_MAX
