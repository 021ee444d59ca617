"""What a client asked for: frames, checked and with names.

``receipt`` is the value of the frame's ``receipt`` header: the client waits for a
RECEIPT with it.
"""

import msgspec

from salon.stomp.frames import Headers, Version


class Connect(msgspec.Struct, frozen=True, gc=False):
    """CONNECT or STOMP; answer with ``ServerSession.connected`` or an error."""

    version: Version
    login: str | None
    passcode: str | None
    host: str | None
    headers: Headers


class Send(msgspec.Struct, frozen=True, gc=False):
    """SEND: a message to a destination."""

    destination: str
    headers: Headers
    body: bytes
    receipt: str | None = None


class Subscribe(msgspec.Struct, frozen=True, gc=False):
    """SUBSCRIBE; a 1.0 client without ids is named by its destination.

    ``named`` is False for the latter: MESSAGEs then need no ``subscription``.
    """

    id: str
    destination: str
    headers: Headers
    receipt: str | None = None
    named: bool = True


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """UNSUBSCRIBE of an id that is known."""

    id: str
    receipt: str | None = None


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """DISCONNECT; nothing after it is read."""

    receipt: str | None = None


Event = Connect | Send | Subscribe | Unsubscribe | Disconnect
