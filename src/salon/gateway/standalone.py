"""An application of controllers on a server of its own, with nothing of the messenger.

What a Spring developer gets from ``@EnableWebSocketMessageBroker``: write controllers
and grants, and they are served over WebSocket, SockJS and, where a second socket is
given, plain TCP. ``examples/`` are such applications, and so is ``salon classic``::

    class App(Standalone):
        controllers = (Chat(),)
        grants = (may_send("/app/**", "guest"), may_subscribe("/topic/**", "guest"))

    async with App(listen("127.0.0.1", 8080)) as app:
        app.template.send("/topic/news", b"from outside of any controller")
        await app.stopped()

Everybody is a guest with a name of their own (CONNECT ``login:Ann``) unless the
application brings an authenticator.
"""

import asyncio
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import ClassVar, Self, cast

from fastapi import APIRouter

from salon.clock import SystemClock
from salon.eventlog import topics
from salon.eventlog.ports import EventLog
from salon.gateway.auth import SessionAuthenticator
from salon.gateway.bridge import BridgeServices, BridgeSettings, bridges
from salon.gateway.connections import RESTART
from salon.gateway.edge import Edge, SockJsOptions
from salon.gateway.guests import Guests
from salon.gateway.http import create_app
from salon.gateway.origins import Origins, of_listener
from salon.gateway.ports import Accounts
from salon.gateway.server import Server
from salon.gateway.tcp import TcpServer
from salon.messaging.dispatch import Dispatcher
from salon.messaging.events import SessionEvents
from salon.messaging.grants import Grant, Grants
from salon.messaging.invocation import Interceptor
from salon.messaging.nodes import Nodes
from salon.messaging.principal import Authenticator, HeaderAuthenticator
from salon.messaging.queues import QueueLimits, Queues
from salon.messaging.registry import MultiServerUserRegistry
from salon.messaging.retention import Retain, Retention
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry


class NoAccounts:
    """Neither accounts nor logins: everybody is a guest."""

    async def find(self, _: str) -> None:
        return None


class Standalone:
    """One application on one event loop; enter it to serve, leave it to stop.

    A subclass says what it is made of; what needs the template or the registries is
    made in ``prepare``.

    Args:
        listening: a socket that listens, for HTTP, WebSocket and SockJS.
        stomp: another, for STOMP over plain TCP.
        origins: of pages elsewhere that may connect; its own always may.
        log: shared with other servers of the application: ``user_registry`` knows
            their users, too, and ``RemoteTemplate`` sends to all of them. Its life is
            the caller's.
        node: this server's name there; made up where none is given.

    Attributes:
        template: sends to topics, queues and users.
        users: who is connected.
        user_registry: who is connected, on all servers.
        subscriptions: who listens to what.
        events: append listeners to hear of sessions.
    """

    controllers: Sequence[object] = ()
    grants: Sequence[Grant] = ()
    advice: Sequence[object] = ()
    interceptors: Sequence[Interceptor] = ()
    routers: Sequence[APIRouter] = ()
    retained: ClassVar[Sequence[Retain]] = ()
    queue_limits: ClassVar[QueueLimits] = QueueLimits()
    settings: ClassVar[BridgeSettings] = BridgeSettings()
    separator: ClassVar[str] = "/"
    name: ClassVar[str] = "Salon"
    prefix: ClassVar[str] = "/ws"
    sockjs: ClassVar[SockJsOptions] = SockJsOptions()
    endpoints: ClassVar[Mapping[str, SockJsOptions]] = {}
    """More places of the same application: prefix → what of SockJS is served there
    (Spring's ``addEndpoint(…).withSockJS()``)."""
    literal_users: ClassVar[bool] = False
    """Whether ``/user/…`` is a topic as well (SubscriptionRegistry)."""

    def __init__(
        self,
        listening: socket.socket,
        *,
        stomp: socket.socket | None = None,
        origins: Iterable[str] = (),
        log: EventLog | None = None,
        node: str = "",
    ) -> None:
        self._listening = listening
        self._log = log
        self._stomp = stomp
        self._origins = tuple(origins)
        self._clock = SystemClock()
        self.users = UserRegistry()
        self.subscriptions = SubscriptionRegistry(literal_users=self.literal_users)
        self.events = SessionEvents()
        start = secrets.token_hex(4)
        self.user_registry = MultiServerUserRegistry(
            node or f"n{start}", start, self.users, self._clock
        )
        self.user_registry.listen(self.events)
        self.template = MessagingTemplate(
            self.subscriptions,
            self.users,
            node=secrets.token_hex(2),
            queues=Queues(self.queue_limits),
            retention=Retention(*self.retained),
        )
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._tcp: TcpServer | None = None
        self._following: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Make what needs the template; called once, before anybody connects."""

    def authenticator(self) -> Authenticator | HeaderAuthenticator:
        """Who connects: by default a guest, named by ``login``."""
        nobody = NoAccounts()
        accounts = cast("Accounts", nobody)  # Guests only looks names up
        guests = Guests(accounts, self._clock, self.users.is_live)
        return SessionAuthenticator(nobody, guests)

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    @property
    def url(self) -> str:
        """Where its pages are."""
        host = self._listening.getsockname()[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def stomp_port(self) -> int | None:
        """Of plain TCP, where it is offered."""
        return None if self._stomp is None else int(self._stomp.getsockname()[1])

    async def __aenter__(self) -> Self:
        self.prepare()
        host, port = self._listening.getsockname()[:2]
        dispatcher = Dispatcher(
            self.controllers,
            self.subscriptions,
            self.template,
            Grants(self.grants),
            interceptors=self.interceptors,
            advice=self.advice,
            separator=self.separator,
        )
        services = BridgeServices(
            self.authenticator(),
            dispatcher,
            self.users,
            self.template,
            asyncio.get_running_loop(),
            self._clock,
            self.events,
            self.settings,
            self.name,
        )
        edge = Edge(
            channels=bridges(services),
            origins=Origins([*of_listener(host, port), *self._origins]),
            clock=self._clock,
            prefix=self.prefix,
            sockjs=self.sockjs,
        )
        for prefix, options in self.endpoints.items():
            edge.mount(prefix, sockjs=options)
        await self._follow()
        app = create_app(edge, self.routers)
        self._edge = edge
        self._server = Server(app, edge, self._listening, drain=2.0)
        ready = asyncio.Event()
        self._serving = asyncio.create_task(self._server.serve(ready.set))
        if self._stomp is not None:
            self._tcp = TcpServer(edge, self._stomp)
            await self._tcp.start()
        await ready.wait()
        return self

    async def _follow(self) -> None:
        """Hear of the other servers, and tell them; returns when nothing is missed."""
        if self._log is None:
            return
        await self._log.ensure([topics.NODES])
        nodes = Nodes(self._log, self.template, self.user_registry)
        hearing = asyncio.Event()
        self._following = asyncio.create_task(nodes.keep(hearing.set))
        await hearing.wait()

    async def stopped(self) -> None:
        """Wait until it is stopped (from elsewhere)."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tcp is not None:
            self._tcp.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._edge.connections.close_all(RESTART, "the server restarts")
        if self._server is not None and self._serving is not None:
            await self._server.stop()
            await self._serving
