"""STOMP's nouns: versions, commands and the frame.

The words of the STOMP 1.2 specification. A frame is what stands between two NULs::

    SEND
    destination:/app/chat.send
    receipt:7

    {"text":"hello"}^@
"""

from enum import StrEnum

import msgspec

Headers = tuple[tuple[str, str], ...]
"""Header names and values in the order of the wire; names may repeat."""


class Version(StrEnum):
    """The versions of the protocol, as ``accept-version`` names them."""

    V10 = "1.0"
    V11 = "1.1"
    V12 = "1.2"


CLIENT_COMMANDS = frozenset(
    {
        "CONNECT",
        "STOMP",
        "SEND",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "ACK",
        "NACK",
        "BEGIN",
        "COMMIT",
        "ABORT",
        "DISCONNECT",
    }
)
SERVER_COMMANDS = frozenset({"CONNECTED", "MESSAGE", "RECEIPT", "ERROR"})
BODY_COMMANDS = frozenset({"SEND", "MESSAGE", "ERROR"})
"""Only these may have a body (STOMP 1.2, "Body")."""

PLAIN_COMMANDS = frozenset({"CONNECT", "CONNECTED"})
"""Their headers are never escaped, for the sake of 1.0 (STOMP 1.2, "Value Encoding").
STOMP, the other name of CONNECT, is of later versions and is escaped."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One STOMP frame; header values are unescaped."""

    command: str
    headers: Headers = ()
    body: bytes = b""

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a header; of a repeated one the first (STOMP 1.2)."""
        for key, value in self.headers:
            if key == name:
                return value
        return default
