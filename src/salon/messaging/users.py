"""Users, their sessions, their logins: who is connected to *this* server."""

from collections.abc import Collection, Iterator

from salon.messaging.sessions import Session


class UserRegistry:
    """The sessions of this server, by id, by user and by login."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_user: dict[str, dict[str, Session]] = {}
        self._by_login: dict[str, dict[str, Session]] = {}

    def add(self, session: Session) -> None:
        principal = session.principal
        self._by_id[session.id] = session
        self._by_user.setdefault(principal.id, {})[session.id] = session
        self._by_login.setdefault(principal.login, {})[session.id] = session

    def remove(self, session: Session) -> None:
        """Forget a session; harmless when it is not known."""
        self._by_id.pop(session.id, None)
        for index, key in (
            (self._by_user, session.principal.id),
            (self._by_login, session.principal.login),
        ):
            sessions = index.get(key, {})
            if sessions.pop(session.id, None) is not None and not sessions:
                del index[key]

    def __len__(self) -> int:
        """Sessions of this server."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        """Sessions as they are now; may change meanwhile."""
        return iter(list(self._by_id.values()))

    def users(self) -> Collection[str]:
        """Ids of the users with at least one session here."""
        return self._by_user.keys()

    def session(self, id_: str) -> Session | None:
        return self._by_id.get(id_)

    def sessions_of(self, user_id: str) -> list[Session]:
        """The sessions of a user, the oldest first."""
        return list(self._by_user.get(user_id, {}).values())

    def sessions_of_login(self, login: str) -> list[Session]:
        """The sessions that a login (``Principal.login``) carries."""
        return list(self._by_login.get(login, {}).values())

    def is_live(self, login: str) -> bool:
        """Whether a session of this login is connected here."""
        return login in self._by_login
