"""Where a user's devices are connected.

On one machine there is one server and the answer is always "here". Beyond it, a
shared table maps (user, terminal) to the server that holds the connection; a server
that dies loses its lease, and its routes with it.
"""

from collections.abc import Sequence
from typing import Protocol


class Routes(Protocol):
    """(user, terminal) → server."""

    async def add(self, user: str, terminal: str) -> None:
        """A device of ``user`` is connected to this server."""
        ...

    async def remove(self, user: str, terminal: str) -> None:
        """It no longer is; removes only what is still ours."""
        ...

    @property
    def alone(self) -> bool:
        """No other server can have devices: nothing needs a hop."""
        ...

    async def elsewhere(self, users: Sequence[str]) -> dict[str, list[str]]:
        """Which of ``users`` have devices on *other* servers: server → users."""
        ...
