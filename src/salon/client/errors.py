"""What can go wrong for a user of the client.

::

    salon.errors.Error
    └── ClientError
        ├── Refused          the server said ERROR: ``code``, ``message``, ``receipt``
        ├── Disconnected     the connection broke before the answer came; whether the
        │                    frame took effect is not known
        └── TooSlow          a subscription's buffer was full: its iteration ends
"""

from salon.errors import Error
from salon.stomp.frames import Frame


class ClientError(Error):
    """Root of the client's errors."""


class Refused(ClientError):
    """An ERROR frame."""

    def __init__(self, frame: Frame) -> None:
        self.code = frame.get("code") or "error"
        self.message = frame.get("message") or ""
        self.receipt = frame.get("receipt-id")
        self.body = frame.body
        super().__init__(f"{self.code}: {self.message}")


class Disconnected(ClientError):
    """The connection ended before the answer came."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the connection ended ({code}) {reason}".rstrip())


class TooSlow(ClientError):
    """More messages waited than the subscription's buffer holds."""
