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
    ``ack`` is ``auto``, ``client`` (cumulative) or ``client-individual``.
    """

    id: str
    destination: str
    headers: Headers
    receipt: str | None = None
    named: bool = True
    ack: str = "auto"


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """UNSUBSCRIBE of an id that is known."""

    id: str
    receipt: str | None = None


class Ack(msgspec.Struct, frozen=True, gc=False):
    """ACK: a MESSAGE was dealt with.

    It is named by ``id``, the ``ack`` header of the MESSAGE (1.2), or else by its
    ``message_id``, within a ``subscription`` (1.1) or without (1.0).
    """

    id: str | None
    message_id: str | None
    subscription: str | None
    headers: Headers
    receipt: str | None = None


class Nack(Ack, frozen=True, gc=False):
    """NACK: a MESSAGE was not dealt with; named as in ``Ack``."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """BEGIN of a transaction that is now open."""

    transaction: str
    receipt: str | None = None


class Held(msgspec.Struct, frozen=True, gc=False):
    """A SEND, ACK or NACK that waits for the COMMIT of its transaction."""

    transaction: str
    receipt: str | None = None


class Commit(msgspec.Struct, frozen=True, gc=False):
    """COMMIT: all of ``parts``, in their order, or none."""

    transaction: str
    parts: tuple[Send | Ack, ...]
    receipt: str | None = None


class Abort(msgspec.Struct, frozen=True, gc=False):
    """ABORT: what was held is forgotten."""

    transaction: str
    receipt: str | None = None


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """DISCONNECT; nothing after it is read, open transactions are aborted."""

    receipt: str | None = None


Event = (
    Connect
    | Send
    | Subscribe
    | Unsubscribe
    | Ack
    | Nack
    | Begin
    | Held
    | Commit
    | Abort
    | Disconnect
)
