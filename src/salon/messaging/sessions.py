"""A connected client and what it listens to."""

from functools import lru_cache
from typing import Any, Final

from salon.messaging.channel import Channel
from salon.messaging.principal import Principal
from salon.stomp.codec import encode_headers
from salon.stomp.frames import Version

CLOSE: Final = "close"
DROP_OLDEST: Final = "drop-oldest"
LATEST: Final = "coalesce"

SLOW: Final = frozenset({CLOSE, DROP_OLDEST, LATEST})
"""What a subscription may ask for, for the time when its reader is too slow: to be
closed (nothing is lost: it comes back and catches up), to miss the oldest messages, or
to get the last one only."""


class Session:
    """One authenticated connection, from CONNECTED until it closes.

    Attributes:
        id: unguessable; what CONNECTED calls ``session``.
        principal: who speaks.
        channel: where its bytes go.
        version: of STOMP.
        created: milliseconds since 1970.
        attributes: for the application, as long as the session lives.
        subscriptions: by id.
        queues: user destinations without ``/user``, with who listens to them.
        deliveries: messages that wait for its ACK, by the name that ACK uses.
    """

    __slots__ = (
        "attributes",
        "channel",
        "created",
        "deliveries",
        "id",
        "principal",
        "queues",
        "subscriptions",
        "version",
    )

    def __init__(
        self,
        id_: str,
        principal: Principal,
        channel: Channel,
        version: Version,
        created: int,
    ) -> None:
        self.id = id_
        self.principal = principal
        self.channel = channel
        self.version = version
        self.created = created
        self.attributes: dict[str, Any] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.queues: dict[str, tuple[Subscription, ...]] = {}
        self.deliveries: dict[str, Any] = {}  # of queue.Delivery, which stands above

    @property
    def remote(self) -> str:
        """Address of the peer."""
        return self.channel.handshake.remote


class Group:
    """Subscriptions whose MESSAGE frames are the same, byte for byte.

    Clients of one SDK use the same ids (``sub-0``), so a fan-out to a thousand of them
    is encoded once.

    Attributes:
        start: of the frame, up to the headers of the message.
        version: of STOMP.
        droppable: whether a slow reader may miss any message.
        coalesce: the key by which each message replaces the one before, or None.
    """

    __slots__ = ("coalesce", "droppable", "start", "version")

    def __init__(
        self, destination: str, id_: str | None, version: Version, slow: str = CLOSE
    ) -> None:
        headers = [("destination", destination)]
        if id_ is not None:
            headers.append(("subscription", id_))
        self.start = b"MESSAGE\n" + encode_headers(headers, version)
        self.version = version
        self.droppable = slow != CLOSE
        self.coalesce = f"subscription {id_} {destination}" if slow == LATEST else None


@lru_cache(maxsize=4096)
def group_of(
    destination: str, id_: str | None, version: Version, slow: str = CLOSE
) -> Group:
    """The group of a subscription; equal ones share it as long as it is in use."""
    return Group(destination, id_, version, slow)


class Subscription:
    """What a session listens to, and under which id.

    Attributes:
        destination: as the client wrote it, and as its MESSAGEs say it.
        ack: ``auto``, ``client`` or ``client-individual``.
        consumer: its place at a queue (``queue.Consumer``), if it has one.
    """

    __slots__ = (
        "_name",
        "_slow",
        "ack",
        "consumer",
        "destination",
        "group",
        "id",
        "session",
    )

    def __init__(
        self,
        session: Session,
        id_: str,
        destination: str,
        *,
        named: bool = True,
        ack: str = "auto",
        slow: str = CLOSE,
    ) -> None:
        """A new subscription; ``slow``: one of ``SLOW``."""
        self.session = session
        self.id = id_
        self.destination = destination
        self.ack = ack
        self.consumer: Any = None
        self._name = id_ if named else None
        self._slow = slow
        self.group = self.group_at(destination)

    def group_at(self, destination: str) -> Group:
        """Its group; for a pattern, that of messages of one matching destination."""
        return group_of(destination, self._name, self.session.version, self._slow)
