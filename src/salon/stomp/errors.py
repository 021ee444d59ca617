"""What can go wrong in STOMP, and who is to blame.

::

    salon.errors.Error
    └── StompError
        ├── LocalProtocolError       ours: a frame that cannot be said
        └── RemoteProtocolError      theirs: answered by ERROR, then a close
            ├── MalformedFrame       the bytes are no frame
            ├── FrameTooLarge        a limit of size or number is passed
            ├── UnexpectedFrame      a good frame that may not come now
            ├── UnsupportedVersion   no version in common
            └── UnsupportedFrame     a part of STOMP that is not spoken here

Each error of theirs suggests the answer: ``code`` for the header of that name and
``close_code`` for the WebSocket (RFC 6455, 7.4.1). The bridge decides.
"""

from salon.errors import Error


class StompError(Error):
    """Root of STOMP's errors."""


class LocalProtocolError(StompError):
    """We tried to say what STOMP cannot carry."""


class RemoteProtocolError(StompError):
    """The peer broke the protocol; nothing after it can be trusted.

    Attributes:
        receipt: value of the ``receipt`` header of the frame to blame, if known.
    """

    code = "protocol_error"
    close_code = 1002

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.receipt: str | None = None


class MalformedFrame(RemoteProtocolError):
    """The bytes are no STOMP frame."""

    code = "malformed_frame"


class FrameTooLarge(RemoteProtocolError):
    """A frame, its headers or their number pass a limit; the message names it."""

    code = "too_large"
    close_code = 1009


class UnexpectedFrame(RemoteProtocolError):
    """The frame is well-formed but may not come in this state."""

    code = "unexpected_frame"


class UnsupportedVersion(RemoteProtocolError):
    """``accept-version`` holds no version that we speak."""

    code = "unsupported_version"


class UnsupportedFrame(RemoteProtocolError):
    """A command or mode of STOMP that this server does not offer."""

    code = "unsupported"
