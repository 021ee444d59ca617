"""Who is here, by the names that the guest pages show."""

import unicodedata

from salon.messaging.sessions import Session
from salon.messaging.users import UserRegistry


class People:
    """Names of connected people; a listener of session events."""

    def __init__(self, users: UserRegistry) -> None:
        self._users = users
        self._ids: dict[str, dict[str, int]] = {}

    def connected(self, session: Session) -> None:
        ids = self._ids.setdefault(_key(session.principal.name), {})
        ids[session.principal.id] = ids.get(session.principal.id, 0) + 1

    def disconnected(self, session: Session) -> None:
        key, id_ = _key(session.principal.name), session.principal.id
        ids = self._ids.get(key, {})
        if ids.get(id_, 0) > 1:
            ids[id_] -= 1
            return
        ids.pop(id_, None)
        if not ids:
            self._ids.pop(key, None)

    def is_here(self, name: str) -> bool:
        """Whether somebody of this name is connected."""
        return _key(name) in self._ids

    def listening(self, name: str, queue: str) -> list[str]:
        """Ids of the people of this name who subscribed to a user destination."""
        return [
            id_
            for id_ in self._ids.get(_key(name), {})
            if any(queue in s.queues for s in self._users.sessions_of(id_))
        ]


def _key(name: str) -> str:
    """Names that look the same are the same."""
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
