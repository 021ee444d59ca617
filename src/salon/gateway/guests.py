"""Guests: people without an account, known by a name while they are connected.

A guest CONNECTs with a ``login`` header and no ``passcode``. The name is theirs as
long as the connection lives, and no two live guests share one (ignoring case, as for
handles). Nobody tells us when a connection ends: ``is_live`` asks, when somebody wants
the name again. A name just given out is held for ``GRACE`` seconds, until the session
that asked for it is registered.
"""

from collections.abc import Callable
from dataclasses import dataclass

from salon.clock import Clock
from salon.errors import Refusal
from salon.gateway.names import check_name, handle_key
from salon.gateway.ports import Accounts
from salon.ids import token
from salon.messaging.principal import Principal

GRACE = 2.0
"""Seconds from a name given to its session registered (that takes milliseconds)."""

MOST = 10_000
"""Guests at a time; above, newcomers are refused."""


@dataclass(frozen=True, slots=True)
class _Guest:
    principal: Principal
    since: float


class Guests:
    """Gives live names to guests.

    Args:
        accounts: a guest may not take the handle of an account.
        is_live: whether a connection with this ``Principal.login`` is open.
    """

    def __init__(
        self, accounts: Accounts, clock: Clock, is_live: Callable[[str], bool]
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._is_live = is_live
        self._by_key: dict[str, _Guest] = {}

    async def admit(self, login: str) -> Principal:
        """A principal with the role ``guest``; its id is ``guest:`` and the name's key.

        Raises:
            Refusal: theirs; ``name_invalid``, ``name_taken``; ``too_many_guests``.
        """
        name = check_name(login, field="login")
        key = handle_key(name)
        if await self._accounts.find(key) is not None:
            raise _taken(name)
        if self._holds(key):  # no await from here on: looked up and taken in one go
            raise _taken(name)
        if len(self._by_key) >= MOST:
            self._sweep()
        if len(self._by_key) >= MOST:
            raise Refusal(
                "too_many_guests",
                "This server has all the guests it can take; come back later.",
                params={"limit": MOST},
                retry_after=60,
                status=503,
            )
        principal = Principal(
            id=f"guest:{key}",
            name=name,
            roles=frozenset({"guest"}),
            login=f"guest:{token(128)}",
        )
        self._by_key[key] = _Guest(principal, self._clock.monotonic())
        return principal

    def _holds(self, key: str) -> bool:
        guest = self._by_key.get(key)
        if guest is None:
            return False
        if self._clock.monotonic() - guest.since < GRACE:
            return True
        return self._is_live(guest.principal.login)

    def _sweep(self) -> None:
        gone = [key for key in self._by_key if not self._holds(key)]
        for key in gone:
            del self._by_key[key]


def _taken(name: str) -> Refusal:
    return Refusal(
        "name_taken",
        f"Somebody here is called {name!r}; choose another name.",
        field="login",
        status=409,
    )
