"""The map of connections: found, bound, counted, closed."""

import pytest

from salon.errors import Refusal
from salon.gateway.connections import Connections
from salon.messaging.channel import Handshake


class Closable:
    def __init__(self, channel: str, remote: str = "1.1.1.1") -> None:
        self.id = channel
        self.handshake = Handshake("/ws", remote=remote)
        self.closed: list[tuple[int, str]] = []

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def test_a_login_is_closed_with_all_its_connections_and_no_other():
    connections = Connections()
    a, b, c, nobody = (Closable(name) for name in "abcd")
    for channel in (a, b, c, nobody):
        connections.add(channel)
    connections.bind("a", login="laptop", user="ann")
    connections.bind("b", login="laptop", user="ann")
    connections.bind("c", login="phone", user="ann")
    assert connections.of_user("ann") == 3

    assert connections.close_login("laptop") == 2
    assert connections.close_login("unknown") == 0
    assert a.closed == b.closed == [(1008, "logged out")]
    assert c.closed == nobody.closed == []
    assert connections.close_user("ann", 1008, "disabled") == 3
    assert c.closed == [(1008, "disabled")]


def test_a_connection_is_bound_once_and_only_while_it_is_there():
    connections = Connections()
    a = Closable("a")
    connections.bind("a", login="l", user="u")
    assert connections.of_user("u") == 0
    connections.add(a)
    connections.bind("a", login="l", user="u")
    connections.bind("a", login="other", user="other")

    assert connections.of_user("u") == 1
    assert connections.of_user("other") == 0


def test_a_login_revoked_while_it_was_authenticated_gets_no_connection():
    """The row was read before it was deleted; the answer comes after close_login."""
    connections = Connections()
    late, other = Closable("late"), Closable("other")
    connections.add(late)
    connections.add(other)
    connections.close_login("l")
    connections.close_login("moved", 1012, "reconnect")
    connections.bind("late", login="l", user="u")
    connections.bind("other", login="moved", user="u")

    assert late.closed == [(1008, "logged out")]
    assert other.closed == []


def test_nothing_is_kept_of_a_connection_that_is_gone():
    connections = Connections()
    a = Closable("a")
    connections.add(a)
    connections.bind("a", login="l", user="u")
    connections.remove(a)
    connections.remove(a)

    assert len(connections) == 0
    assert connections.from_address("1.1.1.1") == 0
    assert not connections._logins
    assert not connections._users
    assert not connections._owners
    assert not connections._addresses


def test_room_is_checked_at_its_limits():
    connections = Connections(total=3, per_address=2)
    connections.check_room("1.1.1.1")
    connections.add(Closable("a"))
    connections.add(Closable("b"))
    with pytest.raises(Refusal) as refused:
        connections.check_room("1.1.1.1")
    assert (refused.value.code, refused.value.status) == ("too_many_connections", 429)

    connections.add(Closable("c", "2.2.2.2"))
    with pytest.raises(Refusal) as refused:
        connections.check_room("3.3.3.3")
    assert (refused.value.code, refused.value.status) == ("overloaded", 503)


async def test_everybody_is_closed_in_batches():
    connections = Connections()
    everybody = [Closable(str(number)) for number in range(450)]
    for channel in everybody:
        connections.add(channel)
    await connections.close_all(1012, "restart", batch=200)

    assert all(channel.closed == [(1012, "restart")] for channel in everybody)
