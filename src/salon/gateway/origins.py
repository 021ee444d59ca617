"""Which web pages may talk to this server: an exact list of origins.

A browser sends the user's cookies with every WebSocket handshake and every POST,
whichever page asks for it; only the ``Origin`` header tells whose page that was.
An origin (RFC 6454) is scheme, host and port, compared whole: no suffixes, no
wildcards, no "same host as the Host header" (a rebinding attack controls both).

A request without ``Origin`` does not come from a page's script (native clients,
top-level navigation), and no page can ride on it: it is let through, unless
``Sec-Fetch-Site`` says that a browser sent it for another site.
"""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origins:
    """The list, in the form in which browsers write origins."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Take ``allowed``, each like ``https://chat.example.org``.

        Raises:
            ValueError: ours; an entry is no origin (the text says which and why).
        """
        self._allowed = frozenset(normalise(origin) for origin in allowed)

    def __contains__(self, origin: object) -> bool:
        return origin in self._allowed

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._allowed))

    def permits(self, origin: str | None, fetch_site: str | None = None) -> bool:
        """Whether a request with these two headers may be served.

        Args:
            origin: the ``Origin`` header as it came; None where it is absent.
            fetch_site: the ``Sec-Fetch-Site`` header, or None.
        """
        if origin is not None:
            return origin in self._allowed
        return fetch_site in (None, "same-origin", "none")


def normalise(origin: str) -> str:
    """``origin`` as a browser writes it: lower case, no default port, no path.

    Raises:
        ValueError: ours; it is not ``scheme://host[:port]``.
    """
    parts = urlsplit(origin.strip().rstrip("/"))
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{origin!r} is no origin: write scheme://host or with :port")
    if parts.path or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{origin!r} is no origin: it must end after the host or port")
    host = parts.hostname.encode("idna").decode() if ":" not in parts.hostname else ""
    host = host or f"[{parts.hostname}]"
    port = parts.port
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def origin_of(url: str | None) -> str | None:
    """The origin of a page's address (a ``Referer``); None where it has none."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        return normalise(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except ValueError:
        return None


def of_listener(host: str, port: int, scheme: str = "http") -> list[str]:
    """The origins by which a page reaches a server that listens on ``host:port``.

    A server on loopback is reached by both its names; one on all addresses
    (``0.0.0.0``, ``::``) at least by loopback: its other names must be configured.
    """
    names = ["127.0.0.1", "localhost"]
    if host not in {"127.0.0.1", "localhost", "::1", "0.0.0.0", "::", ""}:  # noqa: S104
        names = [host]
    elif host in {"::1", "::"}:
        names.append("::1")
    hosts = [f"[{name}]" if ":" in name else name for name in names]
    return [normalise(f"{scheme}://{name}:{port}") for name in hosts]
