"""Refusals of messaging's own.

A handler refuses with ``salon.errors.Refusal``: the connection stays, the answer comes
on ``/user/queue/errors``. What was never granted is another matter: a correct client
does not ask for it, so it gets ERROR and a close (STOMP's only answer to a SUBSCRIBE
that fails).
"""

from salon.errors import Refusal

__all__ = ["NotGranted", "Refusal"]


class NotGranted(Refusal):
    """A destination that this principal may not use in this way."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, status=403)
