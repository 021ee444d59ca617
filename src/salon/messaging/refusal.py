"""Refusals of messaging's own.

A handler refuses with ``salon.errors.Refusal``: the connection stays, the answer comes
on ``/user/queue/errors``. What ends the connection is another matter: a correct client
does not do it, so it gets ERROR and a close (STOMP's only answer to a SUBSCRIBE that
fails).
"""

from salon.errors import Refusal

__all__ = ["AckUnknown", "Fatal", "NotGranted", "Refusal"]


class Fatal(Refusal):
    """Answered by ERROR and a close, whoever listens where."""

    close_code = 1008


class NotGranted(Fatal):
    """A destination that this principal may not use in this way."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, status=403)


class AckUnknown(Fatal):
    """ACK or NACK of a message that the session does not hold (any more)."""

    close_code = 1002

    def __init__(self, message: str) -> None:
        super().__init__("ack_unknown", message)
