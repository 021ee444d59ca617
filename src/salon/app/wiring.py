"""The parts, put together: the only module that chooses implementations.

Read ``assemble`` from top to bottom: what stands lower uses what stands higher.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import structlog
from fastapi import Request

from salon.app.children import Child
from salon.app.folder import LOG_ADDRESS, listen
from salon.app.settings import Settings
from salon.app.space import Space
from salon.chat.api import router as chat_router
from salon.chat.conversations import TEXT_MAX
from salon.chat.endpoints import ChatController
from salon.chat.ports import Outcome
from salon.chat.service import Chat
from salon.classic.application import Classic
from salon.classic.endpoints import router as classic_router
from salon.clock import SystemClock
from salon.delivery.fanout import Fanout
from salon.delivery.inbox import Inbox
from salon.delivery.owner import Owner
from salon.delivery.receipts import Receipts
from salon.errors import Refusal, StartupError, Unavailable
from salon.eventlog import topics
from salon.eventlog.kafka import KafkaLog
from salon.gateway import accounts, origins
from salon.gateway.auth import Logins, SessionAuthenticator
from salon.gateway.bridge import BridgeServices, bridges
from salon.gateway.connections import Connections
from salon.gateway.edge import Edge
from salon.gateway.guests import Guests
from salon.gateway.http import create_app
from salon.gateway.limits import RateLimit
from salon.gateway.peers import Peers
from salon.gateway.server import Server
from salon.gateway.tcp import TcpServer
from salon.gateway.timer import TimerWheel
from salon.imaging.backends import choose
from salon.imaging.card import ModelUnusable
from salon.imaging.request import MAX_PROMPT
from salon.media.files import FileMedia
from salon.messaging.dispatch import Dispatcher
from salon.messaging.events import SessionEvents
from salon.messaging.grants import Grants, may_send, may_subscribe
from salon.messaging.message import Message
from salon.messaging.nodes import Nodes
from salon.messaging.principal import Principal
from salon.messaging.registry import MultiServerUserRegistry
from salon.messaging.sessions import Session
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry
from salon.pictures import worker_api
from salon.pictures.endpoints import PictureController
from salon.pictures.endpoints import router as pictures_router
from salon.pictures.leases import Leases
from salon.pictures.progress import Board
from salon.pictures.results import Results
from salon.pictures.service import Pictures
from salon.store.accounts import SqlAccounts
from salon.store.database import Database
from salon.store.history import SqlHistory
from salon.store.ledger import SqlLedgers
from salon.store.migrate import migrate
from salon.store.pictures import SqlPictures

log = structlog.get_logger("salon.wiring")

CLASSIC_LIB = Path(__file__).parent.parent / "webapp" / "classic-lib"
"""What the guest pages load; copied there by the page's build."""

WEBAPP = Path(__file__).parent.parent / "webapp"
"""The built page; ``make web`` and the wheel's build hook put it there."""

MEMBERS = ("user", "admin")

GRANTS = (
    may_send("/app/chat.send", *MEMBERS),
    may_send("/app/chat.read", *MEMBERS),
    may_send("/app/chat.typing", *MEMBERS),
    may_send("/app/pictures.imagine", *MEMBERS),
    may_send("/app/pictures.cancel", *MEMBERS),
    may_subscribe("/user/queue/events", *MEMBERS),
    may_subscribe("/user/queue/ephemeral", *MEMBERS),
    may_subscribe("/user/queue/errors", *MEMBERS, "guest"),
)


class Salon:
    """A server whose parts are made; ``start`` it, later ``stop`` it.

    Attributes:
        failed: resolves with the error that ended a part for good.
    """

    def __init__(self, settings: Settings, node: str, url: str) -> None:
        self.settings = settings
        self.node = node
        self.url = url
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.worker: Child | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._serving: asyncio.Task[None] | None = None
        self._server: Server | None = None
        self._tcp: TcpServer | None = None
        self._log: KafkaLog | None = None
        self._leases: Leases | None = None
        self._owned = asyncio.Event()
        clock = SystemClock()
        self.database = Database(settings.database_url)
        self.media = FileMedia(settings.data / "files")
        self.space = Space(settings.data, clock)
        self.history = SqlHistory(self.database)

        # who is connected, and what they may
        self.users = UserRegistry()
        self.user_registry = MultiServerUserRegistry(
            node, secrets.token_hex(4), self.users, clock
        )
        self.subscriptions = SubscriptionRegistry()
        self.template = MessagingTemplate(
            self.subscriptions, self.users, node=secrets.token_hex(2)
        )
        self.sessions = SessionEvents()
        self.user_registry.listen(self.sessions)
        self.sessions.connected.append(self._came)
        self.connections = Connections(
            total=settings.connections, per_address=settings.connections_per_ip
        )
        self.rate = RateLimit(
            clock, rate=settings.message_rate, burst=settings.message_burst
        )

        # who may come in
        sql_accounts = SqlAccounts(self.database)
        self.logins = Logins(sql_accounts, clock)
        self.logins.on_revoked = self._revoked
        self.accounts = accounts.AccountService(sql_accounts, self.logins, clock)
        guests = (
            Guests(sql_accounts, clock, self.users.is_live)
            if settings.guests_allowed
            else None
        )
        self.authenticator = SessionAuthenticator(self.logins, guests)
        self._clock = clock

    async def start(self, bootstrap: str, listening: socket.socket) -> str | None:
        """Start the parts over the log at ``bootstrap``; the setup token, if any.

        Raises:
            StartupError: theirs; newer data, another log.
            Unavailable: ours; the log cannot be reached.
        """
        settings, clock, node = self.settings, self._clock, self.node
        version = installed("salon")
        await self.database.write(migrate, durable=True)
        event_log = self._log = KafkaLog(bootstrap, f"salon-{node}")
        (settings.data / LOG_ADDRESS).write_text(f"{bootstrap}\n")
        inbox_topic = topics.node(node)
        await event_log.ensure([topics.COMMANDS, topics.NODES, inbox_topic])

        loop = asyncio.get_running_loop()
        receipts = Receipts(
            event_log, topics.COMMANDS.name, loop.call_later, self.space.check
        )
        fanout = Fanout(node, self.template, receipts, self.user_registry, event_log)
        owner = Owner(SqlLedgers(self.database), fanout.deliver)
        inbox = Inbox(node, event_log, self.template, receipts)
        nodes = Nodes(event_log, self.template, self.user_registry)
        chat = Chat(node, receipts, self.history, fanout, clock)

        jobs = SqlPictures(self.database)
        board = Board(self.history, fanout)
        leases = self._leases = Leases(node, jobs, receipts, board, clock)
        results = Results(node, leases, jobs, self.media, receipts, clock)
        pictures = Pictures(node, receipts, jobs, clock)
        fanout.watchers += [self._membership_changed, leases.applied]

        classic = None
        if settings.guests_allowed:
            classic = Classic(self.template, self.users)
            classic.listen(self.sessions)
        dispatcher = Dispatcher(
            [
                ChatController(chat),
                PictureController(pictures),
                *(classic.controllers if classic else ()),
            ],
            self.subscriptions,
            self.template,
            Grants([*GRANTS, *(classic.grants if classic else ())]),
            interceptors=[self._admit],
        )
        wheel = TimerWheel(clock)
        edge = Edge(
            channels=bridges(
                BridgeServices(
                    authenticator=self.authenticator,
                    dispatcher=dispatcher,
                    users=self.users,
                    template=self.template,
                    timer=wheel,
                    clock=clock,
                    events=self.sessions,
                    server=f"Salon/{version}",
                )
            ),
            origins=origins.Origins(self._origins(listening)),
            clock=clock,
            connections=self.connections,
            peers=Peers(p.strip() for p in settings.proxies.split(",") if p.strip()),
            timers=wheel,
        )
        app = create_app(
            edge,
            [
                accounts.router(
                    self.accounts,
                    version=version,
                    guests=settings.guests_allowed,
                    public_url=settings.public_url or None,
                    text_chars=TEXT_MAX,
                    prompt_chars=MAX_PROMPT,
                ),
                chat_router(chat, self.media, self._current, board.of),
                pictures_router(pictures, self._current),
                worker_api.router(leases, results, self._worker_token()),
                *([classic_router(classic, CLASSIC_LIB)] if classic else []),
            ],
            webapp=WEBAPP if (WEBAPP / "index.html").exists() else None,
            ready=lambda: self._problems(owner),
            body_limits={"/api/v1/worker": 12 << 20},
        )
        self._server = Server(app, edge, listening)
        if settings.stomp_port:
            self._tcp = TcpServer(edge, listen(settings.host, settings.stomp_port))

        self._owning(event_log, owner)
        inbox_ready, nodes_ready = asyncio.Event(), asyncio.Event()
        self._forever("inbox", lambda: inbox.run(inbox_ready.set))
        self._forever("nodes", lambda: nodes.run(nodes_ready.set))
        self._forever("fanout", fanout.run)
        self._forever("leases", leases.run)
        await self._first(
            asyncio.gather(self._owned.wait(), inbox_ready.wait(), nodes_ready.wait())
        )

        accepting = asyncio.Event()
        self._serving = asyncio.create_task(self._server.serve(accepting.set))
        self._serving.add_done_callback(self._part_ended)
        await self._first(accepting.wait())
        if self._tcp is not None:
            await self._tcp.start()
        if settings.pictures:
            self.worker = self._worker(listening)
            await self.worker.start()
        return await self.accounts.offer_setup()

    async def stop(self) -> None:
        """Drain and end, from the sockets down to the database."""
        if self._leases is not None:
            self._leases.close()  # workers elsewhere wait in long polls
        worker = self.worker
        ending = None if worker is None else asyncio.create_task(worker.stop())
        if self._tcp is not None:
            self._tcp.stop()
        if self._server is not None:
            await self._server.stop()
        if self._serving is not None:
            with contextlib.suppress(Exception):
                await self._serving
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if ending is not None:
            await ending
        if self._log is not None:
            await self._log.close()
        await self.database.close()

    # --- parts that run until the end

    def _owning(self, event_log: KafkaLog, owner: Owner) -> None:
        class First:
            """The owner, and a word when it has its first partition."""

            assigned_ = self._owned
            revoked = owner.revoked
            records = owner.records

            async def assigned(self, partition: int) -> int:
                offset = await owner.assigned(partition)
                self.assigned_.set()
                return offset

        self._forever(
            "owner",
            lambda: event_log.own(
                topics.COMMANDS.name, topics.OWNERS, self.node, First()
            ),
        )

    def _forever(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a part; when an engine fails it, wait a little and run it again."""

        async def keep() -> None:
            while True:
                try:
                    await run()
                except (Unavailable, OSError) as error:
                    log.warning("part.again", part=name, why=str(error))
                await asyncio.sleep(0.3)

        task = asyncio.create_task(keep(), name=name)
        task.add_done_callback(self._part_ended)
        self._tasks.append(task)

    def _part_ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self.failed.done():
            return
        error = task.exception()
        if error is not None:
            log.error("part.failed", part=task.get_name(), why=repr(error))
            self.failed.set_exception(error)
            self.failed.exception()  # said above; also raised by who waits for it

    async def _first(
        self, wanted: "Coroutine[Any, Any, Any] | asyncio.Future[Any]"
    ) -> None:
        """Wait for ``wanted``, or raise what a part failed with before it."""
        waiting = asyncio.ensure_future(wanted)
        await asyncio.wait({waiting, self.failed}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self.failed.result()

    # --- small decisions

    async def _current(self, request: Request) -> Principal:
        """Who asks over HTTP; what changes something counts as a message."""
        principal = await self.logins.current(request)
        if request.method not in ("GET", "HEAD"):
            self.rate.check(principal.id)
        return principal

    def _admit(self, message: Message) -> None:
        self.rate.check(message.principal.id)

    def _revoked(self, login: str) -> None:
        self.connections.close_login(login)

    def _membership_changed(self, outcome: Outcome) -> None:
        event = outcome.event
        if event is not None and event.type.startswith(("member.", "conversation.")):
            self.history.forget(event.conversation)

    def _came(self, session: Session) -> None:
        """Whose connection it is: for limits, and for the end of a login."""
        self.connections.bind(
            session.channel.id,
            login=session.principal.login,
            user=session.principal.id,
        )

    async def _problems(self, owner: Owner) -> Mapping[str, str]:
        found = {
            f"partition {partition}": reason
            for partition, reason in owner.parked.items()
        }
        try:
            self.space.check()
        except Refusal as error:
            found["disk"] = error.message
        try:
            await self.history.epoch()
        except Unavailable as error:
            found["database"] = str(error)
        return found

    def _origins(self, listening: socket.socket) -> list[str]:
        host, port = self.settings.host, listening.getsockname()[1]
        allowed = origins.of_listener(host, port)
        if self.settings.public_url:
            allowed.append(self.settings.public_url)
        allowed += [o for o in self.settings.origins.split(",") if o.strip()]
        return allowed

    def _worker_token(self) -> str:
        """The secret of this server's own workers, made once."""
        file = self._token_file()
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32) + "\n")
        return file.read_text().strip()

    def _token_file(self) -> Path:
        return self.settings.data / "worker.token"

    def _picture_model(self) -> list[str]:
        """Raises StartupError for a model that the worker could not load."""
        model = self.settings.picture_model
        if model is None:
            return []
        try:
            choose.check(choose.Choice(model))
        except ModelUnusable as error:
            raise StartupError(f"SALON_PICTURE_MODEL: {error}.") from error
        return ["--model", str(model.absolute())]

    def _worker(self, listening: socket.socket) -> Child:
        port = listening.getsockname()[1]
        model = self._picture_model()
        return Child(
            "worker",
            lambda: (
                "worker",
                "--server",
                f"http://127.0.0.1:{port}",
                "--token-file",
                str(self._token_file()),
                "--name",
                f"{self.node}-1",
                "--threads",
                str(self.settings.picture_threads),
                *model,
                "--parent-watch",
            ),
        )


async def assemble(settings: Settings, node: str, url: str) -> Salon:
    """A server of these settings, not yet started."""
    try:
        return Salon(settings, node, url)
    except ValueError as error:
        raise StartupError(f"A setting is wrong: {error}") from error
