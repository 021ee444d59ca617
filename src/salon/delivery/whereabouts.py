"""Routes by what the servers say of each other.

The port asks "which server holds the devices of these users"; the registry of all
servers knows. A device that connected in the last moments (tens of milliseconds) may
still be missing: it fetches what it missed, as after any reconnect.
"""

from collections.abc import Sequence

from salon.messaging.registry import MultiServerUserRegistry


class RegistryRoutes:
    """``routes.ports.Routes`` over the user registry."""

    def __init__(self, registry: MultiServerUserRegistry) -> None:
        self._registry = registry

    async def add(self, user: str, terminal: str) -> None:
        """The registry hears of sessions itself."""

    async def remove(self, user: str, terminal: str) -> None:
        """The registry hears of sessions itself."""

    @property
    def alone(self) -> bool:
        return self._registry.alone

    async def elsewhere(self, users: Sequence[str]) -> dict[str, list[str]]:
        return self._registry.elsewhere(users)
