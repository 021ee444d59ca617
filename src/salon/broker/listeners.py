"""Listeners: which addresses are bound, under which names, with which protection.

``listeners`` is Kafka's: ``NAME://host:port`` separated by commas, or one bare
``host:port``. A name is a security protocol, or is given one by
``listener.security.protocol.map``. Whoever reaches a listener without SASL can read and
write everything, so such a listener is on loopback or it is refused.
"""

from ipaddress import ip_address
from typing import NamedTuple

from salon.broker.errors import SettingError

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class Listener(NamedTuple):
    """One address to bind."""

    name: str
    host: str
    port: int
    protocol: str

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL_")

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


def parse_listeners(text: str, protocol_map: str) -> tuple[Listener, ...]:
    """Every listener of ``listeners``.

    Raises:
        SettingError: theirs; no address, a name twice, or an unknown protocol.
    """
    protocols = {name: name for name in PROTOCOLS} | _parse_map(protocol_map)
    found: dict[str, Listener] = {}
    for part in text.split(","):
        name, host, port = parse_address("listeners", part.strip())
        if name not in protocols:
            raise SettingError(
                f"listeners has {name}; listener.security.protocol.map does not say "
                f"which of {', '.join(PROTOCOLS)} it is"
            )
        if name in found:
            raise SettingError(f"listeners has {name} twice")
        taken = [each.name for each in found.values() if each.port == port != 0]
        if taken:
            raise SettingError(f"listeners: {taken[0]} and {name} share port {port}")
        found[name] = Listener(name, host, port, protocols[name])
    return tuple(found.values())


def _parse_map(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, text.split(",")):
        name, _, protocol = part.strip().partition(":")
        if protocol not in PROTOCOLS:
            raise SettingError(
                f"listener.security.protocol.map has {part.strip()!r}; it looks like "
                f"CONTROL:PLAINTEXT, with one of {', '.join(PROTOCOLS)}"
            )
        found[name.upper()] = protocol
    return found


def parse_address(setting: str, text: str) -> tuple[str, str, int]:
    """``host:port`` or ``NAME://host:port`` as name, host and port.

    Raises:
        SettingError: theirs; not an address.
    """
    name, _, rest = text.rpartition("://")
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise SettingError(f"{setting} is {text!r}; it looks like 127.0.0.1:9092")
    return name.upper() or "PLAINTEXT", host.strip("[]") or "127.0.0.1", int(port)


def parse_advertised(text: str) -> dict[str, tuple[str, int]]:
    """``advertised.listeners`` by listener name; what is missing is as it is bound.

    Raises:
        SettingError: theirs; not an address.
    """
    found = {}
    for part in filter(None, text.split(",")):
        name, host, port = parse_address("advertised.listeners", part.strip())
        found[name] = (host, port)
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
