"""Sending to whoever is connected to this server: topics, users, sessions.

Everything here is synchronous: bytes go into the outboxes of channels and nothing
waits. A message is encoded once for each *group* of subscriptions (same destination,
id and version), never for each subscriber; the same bytes object goes to all of them.

Headers of a MESSAGE are its price (a fan-out repeats them a thousand times), so there
is a ``content-type`` only where the caller gives one.
"""

import itertools
from collections.abc import Iterable

import structlog

from salon import metrics
from salon.messaging.sessions import Group, Session, Subscription
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.users import UserRegistry
from salon.stomp.codec import encode_headers
from salon.stomp.frames import Headers, Version

log = structlog.get_logger("salon.messaging")

JSON: Headers = (("content-type", "application/json"),)

RESERVED = frozenset({"destination", "subscription", "content-length", "ack"})
"""Headers that say something about the frame itself; a caller cannot set them."""


class MessagingTemplate:
    """Spring's SimpMessagingTemplate, for this server.

    Args:
        subscriptions: who listens to topics.
        users: who is connected.
        node: begins each ``message-id``; keep it short, and different at each start.
    """

    def __init__(
        self,
        subscriptions: SubscriptionRegistry,
        users: UserRegistry,
        *,
        node: str = "",
    ) -> None:
        self._subscriptions = subscriptions
        self._users = users
        self._node = f"{node}-" if node else ""
        self._count = itertools.count(1)
        self._durable = metrics.deliveries.labels("durable")
        self._ephemeral = metrics.deliveries.labels("ephemeral")

    def send(
        self,
        destination: str,
        body: bytes,
        *,
        headers: Headers = (),
        droppable: bool = False,
        coalesce: str | None = None,
    ) -> int:
        """Send to the subscribers of a topic; the number of MESSAGEs.

        Args:
            destination: of a topic or queue, as it is subscribed to.
            body: any bytes, given on as they are.
            headers: more of them; ``message-id`` is made where none is given.
            droppable: a slow reader may miss it.
            coalesce: replaces a waiting droppable message with the same key.
        """
        groups = self._subscriptions.groups(destination)
        if not groups:
            return 0
        out = self._outgoing(headers, body, droppable, coalesce)
        for members in list(groups.values()):
            for subscription in list(members):
                out.give(subscription)
        return self._counted(out)

    def send_to_user(
        self,
        user_id: str,
        destination: str,
        body: bytes,
        *,
        session: str | None = None,
        headers: Headers = (),
        droppable: bool = False,
        coalesce: str | None = None,
    ) -> int:
        """Send to a user's subscriptions of ``/user`` + ``destination``.

        ``destination`` is without ``/user``: ``/queue/events``. Where ``session`` is
        given, only this session of the user gets it; otherwise all of them do.
        """
        sessions = self._users.sessions_of(user_id)
        if session is not None:
            sessions = [one for one in sessions if one.id == session]
        out = self._outgoing(headers, body, droppable, coalesce)
        for one in sessions:
            out.give_queue(one, destination)
        return self._counted(out)

    def send_to_users(
        self,
        user_ids: Iterable[str],
        destination: str,
        body: bytes,
        *,
        headers: Headers = (),
        droppable: bool = False,
        coalesce: str | None = None,
    ) -> int:
        """``send_to_user`` for many, encoding once; the hot path of a fan-out."""
        out = self._outgoing(headers, body, droppable, coalesce)
        sessions_of = self._users.sessions_of
        for user_id in user_ids:
            for session in sessions_of(user_id):
                out.give_queue(session, destination)
        return self._counted(out)

    def send_to_sessions(
        self,
        session_ids: Iterable[str],
        destination: str,
        body: bytes,
        *,
        headers: Headers = (),
        droppable: bool = False,
        coalesce: str | None = None,
    ) -> int:
        """Like ``send_to_users``, for sessions named by id; unknown ones are skipped."""
        out = self._outgoing(headers, body, droppable, coalesce)
        for id_ in session_ids:
            session = self._users.session(id_)
            if session is not None:
                out.give_queue(session, destination)
        return self._counted(out)

    def answer(
        self, subscription: Subscription, body: bytes, *, headers: Headers = ()
    ) -> None:
        """Send to one subscription only (``@subscribe_mapping``)."""
        out = self._outgoing(headers, body, droppable=False, coalesce=None)
        out.give(subscription)
        self._counted(out)

    def _outgoing(
        self, headers: Headers, body: bytes, droppable: bool, coalesce: str | None
    ) -> "_Outgoing":
        if headers:
            headers = tuple(h for h in headers if h[0] not in RESERVED)
        if not any(name == "message-id" for name, _ in headers):
            headers = (("message-id", f"{self._node}{next(self._count)}"), *headers)
        return _Outgoing(headers, body, droppable, coalesce)

    def _counted(self, out: "_Outgoing") -> int:
        if out.given:
            lane = self._ephemeral if out.droppable else self._durable
            lane.inc(out.given)
        return out.given


class _Outgoing:
    """One message on its way to many: remembers what it has encoded."""

    __slots__ = (
        "_body",
        "_coalesce",
        "_ends",
        "_frames",
        "_headers",
        "droppable",
        "given",
    )

    def __init__(
        self, headers: Headers, body: bytes, droppable: bool, coalesce: str | None
    ) -> None:
        self._headers = headers
        self._body = body
        self._coalesce = coalesce
        self._frames: dict[Group, bytes] = {}
        self._ends: dict[Version, bytes] = {}
        self.droppable = droppable
        self.given = 0

    def give_queue(self, session: Session, destination: str) -> None:
        """To whoever listens to a user destination in this session."""
        for subscription in session.queues.get(destination, ()):
            self.give(subscription)

    def give(self, subscription: Subscription) -> None:
        group = subscription.group
        frame = self._frames.get(group)
        if frame is None:
            frame = self._frames[group] = group.start + self._end(group.version)
        channel = subscription.session.channel
        try:
            channel.send(frame, droppable=self.droppable, coalesce=self._coalesce)
        except Exception:  # one bad connection must not end a fan-out
            log.exception("messaging.send", channel=channel.id)
            return
        self.given += 1

    def _end(self, version: Version) -> bytes:
        """Everything behind the headers that tell groups apart."""
        end = self._ends.get(version)
        if end is None:
            head = encode_headers(self._headers, version)
            body = self._body
            end = b"%bcontent-length:%d\n\n%b\0" % (head, len(body), body)
            self._ends[version] = end
        return end
