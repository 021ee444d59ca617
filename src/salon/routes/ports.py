"""Where a user's devices are connected.

On one machine there is one server and the answer is always "here". Beyond it, servers
tell each other (``messaging.registry``); a server that dies is silent, and its routes
go with it.
"""

from collections.abc import Sequence
from typing import Protocol


class Routes(Protocol):
    """User → the other servers that hold connections of theirs."""

    @property
    def alone(self) -> bool:
        """No other server can have devices: nothing needs a hop."""
        ...

    def elsewhere(self, users: Sequence[str]) -> dict[str, list[str]]:
        """Which of ``users`` have devices on *other* servers: server → users.

        Of a device that connected a moment ago it may not know yet: such a one fetches
        what it missed, as after any reconnect.
        """
        ...
