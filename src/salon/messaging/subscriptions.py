"""Who subscribed to what on this server.

Topics are looked up by exact destination: clients cannot subscribe to patterns, so a
dictionary is all it takes. Within a destination, subscriptions stand in groups that
get the same bytes. User destinations (``/user/queue/…``) are kept in the session, not
here: they are reached through the user.
"""

from collections.abc import Mapping

from salon.messaging.destinations import USER, within
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
        self._topics: dict[str, dict[Group, Members]] = {}

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
        queue = within(USER, destination)
        if queue is not None:
            session.queues[queue] = (*session.queues.get(queue, ()), subscription)
        if queue is None or self._literal_users:
            groups = self._topics.setdefault(destination, {})
            groups.setdefault(subscription.group, {})[subscription] = None
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
        groups = self._topics.get(subscription.destination)
        if groups is None:
            return  # to /app, which is answered once, or to a user's own: not kept here
        members = groups.get(subscription.group)
        if members is not None:
            members.pop(subscription, None)
            if not members:
                del groups[subscription.group]
        if not groups:
            del self._topics[subscription.destination]

    def groups(self, destination: str) -> Mapping[Group, Members]:
        """Who listens to a topic; read it, do not change it."""
        return self._topics.get(destination, {})

    def count(self, destination: str) -> int:
        """Subscriptions to a topic on this server."""
        return sum(map(len, self.groups(destination).values()))

    def destinations(self) -> list[str]:
        """Topics with at least one subscription."""
        return list(self._topics)
