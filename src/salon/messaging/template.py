"""Sending to whoever is connected to this server: topics, users, sessions.

Everything here is synchronous: bytes go into the outboxes of channels and nothing
waits. A message is encoded once for each *group* of subscriptions (same destination,
id and version), never for each subscriber; the same bytes object goes to all of them.

Headers of a MESSAGE are its price (a fan-out repeats them a thousand times), so there
is a ``content-type`` only where the caller gives one.
"""

from collections.abc import Iterable
from typing import Any

import structlog

from salon import metrics
from salon.messaging.audience import Audience
from salon.messaging.conversion import encode_payload
from salon.messaging.destinations import QUEUE, within
from salon.messaging.queues import Queues
from salon.messaging.retention import Kept, Retention
from salon.messaging.sessions import Group, Session, Subscription
from salon.messaging.statistics import Statistics
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.users import UserRegistry
from salon.stomp.codec import encode_headers
from salon.stomp.frames import Headers, Version

log = structlog.get_logger("salon.messaging")

RESERVED = frozenset(
    {"destination", "subscription", "content-length", "ack", "redelivered"}
)
"""Headers that say something about the frame itself; a caller cannot set them."""


class MessagingTemplate:
    """Spring's SimpMessagingTemplate, for this server.

    Args:
        subscriptions: who listens to topics.
        users: who is connected.
        node: begins each ``message-id``; keep it short, and different at each start.
        queues: takes what is sent to ``/queue/…``.
        retention: remembers the last messages of topics.

    Attributes:
        statistics: what was sent where.
    """

    def __init__(
        self,
        subscriptions: SubscriptionRegistry,
        users: UserRegistry,
        *,
        node: str = "",
        queues: Queues | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._users = users
        self._node = f"{node}-" if node else ""
        self._last = 0  # number of the last message
        self.queues = queues or Queues()
        self.retention = retention or Retention()
        self.statistics = Statistics()
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
        """Send to the subscribers of a topic, or into a queue; the number of MESSAGEs.

        Args:
            destination: as it is subscribed to; in ``/queue/…`` one consumer gets it,
                now or later (0 is returned).
            body: any bytes, given on as they are.
            headers: more of them; ``message-id`` is made where none is given.
            droppable: a slow reader may miss it.
            coalesce: replaces a waiting droppable message with the same key.

        Raises:
            Refusal: theirs; ``queue_full``, ``too_many_queues``.
        """
        if within(QUEUE, destination) is not None:
            self.queues.put(destination, self._identified(headers), body)
            self.statistics.count(destination, 0, len(body))
            return 0
        groups = self._subscriptions.groups(destination)
        others = self._subscriptions.matching(destination)
        if not groups and not others and self.retention.keeps(destination) is None:
            self.statistics.count(destination, 0, len(body))
            return 0
        out = self._outgoing(headers, body, droppable, coalesce)
        self.retention.add(destination, Kept(self._last, out.headers, body))
        for group, audience in list(groups.items()):
            out.give_all(group, audience)
        for subscription in others:
            out.give(subscription, subscription.group_at(destination))
        return self._counted(out, destination)

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
        return self._counted(out, destination)

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
        return self._counted(out, destination)

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
        return self._counted(out, destination)

    def convert_and_send(
        self, destination: str, payload: Any, *, headers: Headers = ()
    ) -> int:
        """``send`` of anything: bytes as they are, text, or what JSON can say."""
        body, kind = encode_payload(payload)
        return self.send(destination, body, headers=(*headers, *kind))

    def convert_and_send_to_user(
        self,
        user_id: str,
        destination: str,
        payload: Any,
        *,
        session: str | None = None,
        headers: Headers = (),
    ) -> int:
        """``send_to_user`` of anything: bytes as they are, text, or JSON."""
        body, kind = encode_payload(payload)
        return self.send_to_user(
            user_id, destination, body, session=session, headers=(*headers, *kind)
        )

    def answer(
        self, subscription: Subscription, body: bytes, *, headers: Headers = ()
    ) -> None:
        """Send to one subscription only (``@subscribe_mapping``)."""
        out = self._outgoing(headers, body, droppable=False, coalesce=None)
        out.give(subscription)
        self._counted(out, subscription.destination)

    # ------------------------------------------------------------ places in time

    @property
    def position(self) -> str:
        """The place after the last message; a later SUBSCRIBE may resume from it."""
        return f"{self._node}{self._last}"

    def replay(self, subscription: Subscription, message_id: str) -> bool:
        """Send what a topic said after a message; whether nothing is missing.

        Args:
            subscription: to a topic, stored in the same turn of the event loop: nothing
                comes between the past and the present.
            message_id: of any message of this server, or an older ``position``.
        """
        destination = subscription.destination
        history = self.retention.of(destination)
        number = history.place(message_id) if history else None
        if number is None:
            number = self._number(message_id)
        if history is not None:
            for kept in list(history.after(-1 if number is None else number)):
                out = _Outgoing(kept.headers, kept.body, False, None, self.queues)
                out.give(subscription)
                self._durable.inc(out.given)
        return number is not None and self.retention.is_whole(destination, number)

    def _number(self, message_id: str) -> int | None:
        """The number in an id of ours; None: it is not one."""
        digits = message_id.removeprefix(self._node)
        ours = message_id.startswith(self._node) and digits.isascii()
        if not (ours and digits.isdigit() and len(digits) <= 18):
            return None
        return int(digits) if int(digits) <= self._last else None

    def _identified(self, headers: Headers) -> Headers:
        """The headers of a message, with its ``message-id``."""
        self._last += 1
        if headers:
            headers = tuple(h for h in headers if h[0] not in RESERVED)
        if not any(name == "message-id" for name, _ in headers):
            headers = (("message-id", self.position), *headers)
        return headers

    def _outgoing(
        self, headers: Headers, body: bytes, droppable: bool, coalesce: str | None
    ) -> "_Outgoing":
        return _Outgoing(
            self._identified(headers), body, droppable, coalesce, self.queues
        )

    def _counted(self, out: "_Outgoing", destination: str) -> int:
        self.statistics.count(destination, out.given, len(out.body))
        if out.given:
            lane = self._ephemeral if out.droppable else self._durable
            lane.inc(out.given)
        return out.given


class _Outgoing:
    """One message on its way to many: remembers what it has encoded."""

    __slots__ = (
        "_coalesce",
        "_ends",
        "_frames",
        "_queues",
        "body",
        "droppable",
        "given",
        "headers",
    )

    def __init__(
        self,
        headers: Headers,
        body: bytes,
        droppable: bool,
        coalesce: str | None,
        queues: Queues,
    ) -> None:
        self.headers = headers
        self.body = body
        self._queues = queues
        self._coalesce = coalesce
        self._frames: dict[Group, bytes] = {}
        self._ends: dict[Version, bytes] = {}
        self.droppable = droppable
        self.given = 0

    def give_queue(self, session: Session, destination: str) -> None:
        """To whoever listens to a user destination in this session."""
        for subscription in session.queues.get(destination, ()):
            self.give(subscription)

    def give_all(self, group: Group, audience: Audience) -> None:
        """To all of one group."""
        if self.droppable or group.droppable or self._coalesce or group.coalesce:
            for subscription in audience:
                self.give(subscription)
            return
        keepers = audience.keepers()
        self.given += audience.send(self._frame(group))
        for subscription in keepers:
            self.give(subscription)

    def give(self, subscription: Subscription, group: Group | None = None) -> None:
        """To one subscription; ``group`` is another than its own at a pattern."""
        if subscription.consumer is not None:  # it acknowledges
            self._queues.put_private(subscription, self.headers, self.body)
            self.given += 1
            return
        group = group or subscription.group
        channel = subscription.session.channel
        try:
            channel.send(
                self._frame(group),
                droppable=self.droppable or group.droppable,
                coalesce=group.coalesce or self._coalesce,
            )
        except Exception:  # one bad connection must not end a fan-out
            log.exception("messaging.send", channel=channel.id)
            return
        self.given += 1

    def _frame(self, group: Group) -> bytes:
        frame = self._frames.get(group)
        if frame is None:
            frame = self._frames[group] = group.start + self._end(group.version)
        return frame

    def _end(self, version: Version) -> bytes:
        """Everything behind the headers that tell groups apart."""
        end = self._ends.get(version)
        if end is None:
            head = encode_headers(self.headers, version)
            body = self.body
            end = b"%bcontent-length:%d\n\n%b\0" % (head, len(body), body)
            self._ends[version] = end
        return end
