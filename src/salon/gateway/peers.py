"""Whose address a connection counts under, behind proxies or not.

``X-Forwarded-For`` is what the sender wrote, until the proxies that we run ourselves
append to it; so the address is the right-most one that no trusted proxy has
(OWASP ASVS 5.0, 15.3.4). Without a configured proxy the header means nothing.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network


class Peers:
    """Finds the address of the real peer."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """Trust the proxies in ``trusted``, addresses or networks (``10.0.0.0/8``).

        Raises:
            ValueError: ours; an entry is neither.
        """
        self._trusted: list[IPv4Network | IPv6Network] = [
            ip_network(entry) for entry in trusted
        ]

    def remote(self, peer: str, forwarded_for: str | None) -> str:
        """The address to count under, from the socket's peer and the header."""
        if not self._trusted or not forwarded_for or not self._trusts(peer):
            return peer
        remote = peer
        for hop in reversed(forwarded_for.split(",")):
            address = hop.strip()
            try:
                ip_address(address)
            except ValueError:
                return remote  # not written by a proxy of ours: believe no further
            remote = address
            if not self._trusts(address):
                break
        return remote

    def _trusts(self, address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)


def is_loopback(address: str) -> bool:
    """Whether ``address`` is this machine itself."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
