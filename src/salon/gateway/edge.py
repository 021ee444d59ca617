"""What all ways into the server share: one object, made once per process.

Every transport asks the same questions: is this page allowed, is there room, whose
address is it, who speaks on the connection. An upgrade to WebSocket never reaches the
ASGI app, so these answers cannot live in HTTP middleware; they live here.
"""

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from salon.clock import Clock
from salon.errors import Refusal
from salon.gateway.connections import Connections
from salon.gateway.origins import Origins, origin_of
from salon.gateway.outbox import Budget, Ticks
from salon.gateway.peers import Peers
from salon.gateway.timer import TimerWheel
from salon.messaging.channel import ChannelFactory

SUBPROTOCOLS = ("v12.stomp", "v11.stomp", "v10.stomp")
"""What is spoken over WebSocket, the best first (STOMP 1.2, section "Connecting")."""


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds."""

    message: int = 128 * 1024
    """A whole message from a client: a STOMP frame of 64 KiB, its headers, escapes."""

    head: int = 10 * 1024
    """A request's target and headers together."""

    headers: int = 100
    """Header lines of a request."""

    head_seconds: float = 10.0
    """From the first byte of a connection or request until its head is there."""

    heartbeat: float = 25.0
    """Between signs of life to a silent client: proxies cut after 30 to 60."""

    linger: float = 2.0
    """From our CLOSE until the connection is reset."""

    response: int = 128 * 1024
    """A streaming answer ends after so much: some clients keep all of it in memory."""

    send_buffer: int = 128 * 1024
    """SO_SNDBUF: what the kernel may hold for one reader, up to 4 MiB otherwise."""

    user_timeout: float = 30.0
    """TCP_USER_TIMEOUT: a peer that acknowledges nothing for so long is gone."""


@dataclass(frozen=True, slots=True)
class SockJsOptions:
    """What of SockJS is served.

    jsonp and iframe are for browsers without CORS: off, until somebody needs them.
    """

    websocket: bool = True
    """WebSocket below the prefix; clients are told in ``info``."""

    jsonp: bool = False
    """A script tag sends no ``Origin``; where it is on, ``Referer`` stands in."""

    iframe: str | None = None
    """Where the page for iframes loads the client from (a path or URL); None: off."""

    cookie_needed: bool = False
    """Set ``JSESSIONID``, for proxies that route by it."""

    disconnect_delay: float = 5.0
    """Seconds a session waits for its next receiver."""

    chunking_test: bool = False
    """Whether clients may test that a proxy lets chunks through (before 0.3)."""


@dataclass
class Edge:
    """The shared parts. Make it inside the running event loop.

    Attributes:
        channels: asked for the handler of each new connection.
        origins: whose pages may talk to this server.
        clock: for timers and sessions.
        connections: everybody who is connected.
        peers: which proxies are believed.
        limits: sizes and times.
        budget: what may wait for one reader.
        prefix: where WebSocket and SockJS are served; others by ``mount``.
        session_cookie: whose value owns a SockJS session.
        sockjs: what of SockJS is served.
        timers: a wheel to share with what speaks on the channels; None: a new one.
        draining: set while the server stops.
        services: more of them, with prefixes of their own (``mount``).
        wheel: the wheel of all deadlines.
        ticks: the ticks of the event loop.
    """

    channels: ChannelFactory
    origins: Origins
    clock: Clock
    connections: Connections = field(default_factory=Connections)
    peers: Peers = field(default_factory=Peers)
    limits: EdgeLimits = field(default_factory=EdgeLimits)
    budget: Budget = field(default_factory=Budget)
    prefix: str = "/ws"
    session_cookie: str = "salon_session"
    sockjs: SockJsOptions = field(default_factory=SockJsOptions)
    timers: TimerWheel | None = None
    draining: bool = False
    services: "list[Edge]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root = self
        loop = asyncio.get_running_loop()
        self.ticks = Ticks(loop)
        self.wheel = TimerWheel(self.clock) if self.timers is None else self.timers
        self.wheel.run_on(loop)

    def mount(
        self,
        prefix: str,
        *,
        channels: ChannelFactory | None = None,
        sockjs: SockJsOptions | None = None,
        limits: EdgeLimits | None = None,
    ) -> Self:
        """Serve a second service on the same port; call it before the app is made.

        Everything that is not given here is shared: origins, connections, timers.

        Args:
            prefix: as ``/echo``; the longest that fits a path gets it.
            channels: asked for the handler of its connections; None: the same.
            sockjs: what of SockJS it serves; None: the same.
            limits: for its ``heartbeat`` and ``response``; what guards the port before
                a path is known (``head``, ``message``) stays the port's.

        Raises:
            ValueError: ours; no prefix, or one that is taken.
        """
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise ValueError(f"{prefix!r} is no prefix: it looks like /echo")
        if prefix in {self.prefix, *(each.prefix for each in self.services)}:
            raise ValueError(f"{prefix} is served already")
        service = copy.copy(self)
        service.prefix = prefix
        service.services = []
        service.channels = channels or self.channels
        service.sockjs = sockjs or self.sockjs
        service.limits = limits or self.limits
        self.services.append(service)
        return service

    def at(self, path: str) -> "Edge | None":
        """The service whose prefix a path stands below, or None."""
        fitting = [
            service
            for service in (self, *self.services)
            if path == service.prefix or path.startswith(f"{service.prefix}/")
        ]
        return max(fitting, key=lambda each: len(each.prefix), default=None)

    def admit(self, headers: Mapping[str, str], remote: str) -> None:
        """Decide about a new connection; changes nothing.

        Raises:
            Refusal: theirs (``origin_refused``, ``too_many_connections``) or ours
                (``overloaded``, ``restarting``).
        """
        self.check_origin(headers)
        self.check_room(remote)

    def check_room(self, remote: str) -> None:
        """Decide whether one more connection of ``remote`` can be; changes nothing.

        Raises:
            Refusal: theirs (``too_many_connections``) or ours (``overloaded``,
                ``restarting``).
        """
        if self._root.draining:
            raise Refusal(
                "restarting", "The server is restarting.", retry_after=5, status=503
            )
        self.connections.check_room(remote)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse a request that another site's page has made.

        Raises:
            Refusal: theirs; ``origin_refused``.
        """
        origin = headers.get("origin")
        if not self.origins.permits(origin, headers.get("sec-fetch-site")):
            raise _origin_refused()

    def check_script(self, headers: Mapping[str, str]) -> None:
        """Refuse a script tag that stands in another site's page, or may.

        A script tag sends no ``Origin``, but the browser's cookies: only ``Referer``
        tells whose page it is, and where that is left out it may be anybody's.

        Raises:
            Refusal: theirs; ``origin_refused``.
        """
        if headers.get("origin", origin_of(headers.get("referer"))) not in self.origins:
            raise _origin_refused()


def _origin_refused() -> Refusal:
    return Refusal(
        "origin_refused",
        "This page may not talk to this server: its origin is not in the list "
        "of allowed origins.",
        status=403,
    )


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a ``Cookie`` header; the first of a name counts (RFC 6265)."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, separator, value = pair.strip().partition("=")
        if separator:
            cookies.setdefault(name, value.strip('"'))
    return cookies


def choose_subprotocol(offered: str) -> str | None:
    """The best of the subprotocols that a client offers, in our order."""
    names = {name.strip() for name in offered.split(",")}
    return next((name for name in SUBPROTOCOLS if name in names), None)
