"""Routes in memory: one table shared by the servers of one process.

For tests, which put two servers on one ``Table``.
"""

from collections import defaultdict
from collections.abc import Sequence


class Table:
    """user → server → terminals."""

    def __init__(self) -> None:
        self.rows: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        self.servers: set[str] = set()


class MemoryRoutes:
    """The routes as one server sees them."""

    def __init__(self, server: str, table: Table | None = None) -> None:
        self._server = server
        self._table = table or Table()
        self._table.servers.add(server)

    def add(self, user: str, terminal: str) -> None:
        """A device of ``user`` is connected to this server."""
        self._table.rows[user][self._server].add(terminal)

    def remove(self, user: str, terminal: str) -> None:
        servers = self._table.rows.get(user)
        if servers is None:
            return
        servers[self._server].discard(terminal)
        if not servers[self._server]:
            del servers[self._server]
        if not servers:
            del self._table.rows[user]

    @property
    def alone(self) -> bool:
        return self._table.servers <= {self._server}

    def elsewhere(self, users: Sequence[str]) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for user in users:
            for server in self._table.rows.get(user, ()):
                if server != self._server:
                    found[server].append(user)
        return dict(found)
