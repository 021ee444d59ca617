"""Who subscribed to what on this server.

Topics are looked up by exact destination: a dictionary is all it takes. Within a
destination, subscriptions stand in groups that get the same bytes. The few patterns
that are granted (``/topic/price/*``) are tried one by one for each message. User destinations (``/user/queue/…``) are kept in the session, not
here: they are reached through the user.
"""

from collections.abc import Mapping

from salon.messaging.ant import AntPattern
from salon.messaging.audience import Audience
from salon.messaging.destinations import USER, is_pattern, within
from salon.messaging.sessions import CLOSE, Group, Session, Subscription

Members = dict[Subscription, None]
"""A set that keeps its order."""


class SubscriptionRegistry:
    """Destinations → groups → subscriptions.

    Args:
        literal_users: whether ``/user/…`` is a topic as well, as where Spring's simple
            broker also has the prefix ``/user``: what is sent to the user and what is
            sent to that very destination both arrive, each once.
    """

    def __init__(self, *, literal_users: bool = False) -> None:
        self._literal_users = literal_users
        self._topics: dict[str, dict[Group, Audience]] = {}
        self._patterns: dict[str, tuple[AntPattern, Members]] = {}

    def add(
        self,
        session: Session,
        id_: str,
        destination: str,
        *,
        named: bool = True,
        ack: str = "auto",
        slow: str = CLOSE,
    ) -> Subscription:
        """Subscribe a session; from now on it gets what is sent there."""
        subscription = Subscription(
            session, id_, destination, named=named, ack=ack, slow=slow
        )
        session.subscriptions[id_] = subscription
        if is_pattern(destination):
            pattern = AntPattern(destination)
            _, members = self._patterns.setdefault(destination, (pattern, {}))
            members[subscription] = None
            return subscription
        queue = within(USER, destination)
        if queue is not None:
            session.queues[queue] = (*session.queues.get(queue, ()), subscription)
        if queue is None or self._literal_users:
            groups = self._topics.setdefault(destination, {})
            groups.setdefault(subscription.group, Audience()).add(subscription)
        return subscription

    def remove(self, session: Session, id_: str) -> Subscription | None:
        """Unsubscribe; nothing is given to it afterwards."""
        subscription = session.subscriptions.pop(id_, None)
        if subscription is None:
            return None
        queue = within(USER, subscription.destination)
        if queue is not None:
            rest = tuple(s for s in session.queues[queue] if s is not subscription)
            if rest:
                session.queues[queue] = rest
            else:
                del session.queues[queue]
        self._forget(subscription)
        return subscription

    def remove_all(self, session: Session) -> None:
        """Unsubscribe a session that is gone."""
        for id_ in list(session.subscriptions):
            self.remove(session, id_)

    def _forget(self, subscription: Subscription) -> None:
        destination = subscription.destination
        if destination in self._patterns:
            _, listeners = self._patterns[destination]
            listeners.pop(subscription, None)
            if not listeners:
                del self._patterns[destination]
            return
        groups = self._topics.get(destination)
        if groups is None:
            return  # to /app, which is answered once, or to a user's own: not kept here
        members = groups.get(subscription.group)
        if members is not None:
            members.discard(subscription)
            if not len(members):
                del groups[subscription.group]
        if not groups:
            del self._topics[destination]

    def groups(self, destination: str) -> Mapping[Group, Audience]:
        """Who listens to a topic; read it, do not change it."""
        return self._topics.get(destination, {})

    def matching(self, destination: str) -> list[Subscription]:
        """Who listens to a topic by a pattern."""
        if not self._patterns:
            return []
        return [
            subscription
            for pattern, members in self._patterns.values()
            if pattern.match(destination) is not None
            for subscription in members
        ]

    def count(self, destination: str) -> int:
        """Subscriptions to a topic on this server, by its name."""
        return sum(map(len, self.groups(destination).values()))

    def destinations(self) -> list[str]:
        """Topics and patterns with at least one subscription."""
        return [*self._topics, *self._patterns]
