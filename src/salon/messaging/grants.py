"""What is allowed: nothing, unless a grant says so.

A grant names an operation, a pattern of destinations and the roles that may; a check
of its own may look closer (is she a member of this room?). Rights are decided on the
canonical destination, before any handler runs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from salon.messaging.ant import AntPattern
from salon.messaging.principal import Principal

PATTERN = "SUBSCRIBE to a pattern"

Check = Callable[[Principal, Mapping[str, str]], bool]
"""Looks closer: the principal and the variables of the pattern; must not wait."""


@dataclass(frozen=True)
class Grant:
    """One permission.

    Attributes:
        operation: ``SEND`` or ``SUBSCRIBE``.
        pattern: of whole destinations: ``/app/chat/{room}``.
        roles: any of them may.
    """

    operation: str
    pattern: AntPattern
    roles: frozenset[str]
    check: Check | None = None


def may_send(pattern: str, *roles: str, check: Check | None = None) -> Grant:
    """These roles may SEND there."""
    return Grant("SEND", AntPattern(pattern), frozenset(roles), check)


def may_subscribe(pattern: str, *roles: str, check: Check | None = None) -> Grant:
    """These roles may SUBSCRIBE there."""
    return Grant("SUBSCRIBE", AntPattern(pattern), frozenset(roles), check)


def may_subscribe_pattern(
    pattern: str, *roles: str, check: Check | None = None
) -> Grant:
    """These roles may SUBSCRIBE to this very pattern (``*``, ``**``), as it is spelt."""
    return Grant(PATTERN, AntPattern(pattern), frozenset(roles), check)


class Grants:
    """Grants, looked up by destination."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._exact: dict[tuple[str, str], list[Grant]] = {}
        self._patterns: dict[str, list[Grant]] = {}
        for grant in grants:
            if grant.operation == PATTERN or grant.pattern.is_literal:
                key = (grant.operation, grant.pattern.text)
                self._exact.setdefault(key, []).append(grant)
            else:
                self._patterns.setdefault(grant.operation, []).append(grant)

    def allow_pattern(self, pattern: str, principal: Principal) -> bool:
        """Whether a grant names this pattern."""
        grants = self._exact.get((PATTERN, pattern), ())
        return any(_holds(grant, principal, {}) for grant in grants)

    def allow(self, operation: str, destination: str, principal: Principal) -> bool:
        """Whether any grant allows this."""
        for grant in self._exact.get((operation, destination), ()):
            if _holds(grant, principal, {}):
                return True
        for grant in self._patterns.get(operation, ()):
            if grant.roles.isdisjoint(principal.roles):
                continue
            variables = grant.pattern.match(destination)
            if variables is not None and _holds(grant, principal, variables):
                return True
        return False


def _holds(grant: Grant, principal: Principal, variables: Mapping[str, str]) -> bool:
    if grant.roles.isdisjoint(principal.roles):
        return False
    return grant.check is None or grant.check(principal, variables)
