"""The guest chat on a real socket, with nothing of the messenger."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import salon
from salon.classic.application import Classic
from salon.classic.endpoints import router
from salon.clock import SystemClock
from salon.gateway.auth import SessionAuthenticator
from salon.gateway.bridge import BridgeServices, bridges
from salon.gateway.edge import Edge
from salon.gateway.guests import Guests
from salon.gateway.http import create_app
from salon.gateway.origins import Origins
from salon.gateway.server import Server, listen
from salon.messaging.dispatch import Dispatcher
from salon.messaging.events import SessionEvents
from salon.messaging.grants import Grants
from salon.messaging.subscriptions import SubscriptionRegistry
from salon.messaging.template import MessagingTemplate
from salon.messaging.users import UserRegistry

LIBRARIES = Path(salon.__file__).parent / "webapp" / "classic-lib"


class NoAccounts:
    """Neither accounts nor logins: everybody is a guest."""

    async def find(self, _):
        return None


@asynccontextmanager
async def classic(port=0, lib_dir=LIBRARIES):
    """A server; gives its port."""
    clock = SystemClock()
    users, registry, events = UserRegistry(), SubscriptionRegistry(), SessionEvents()
    template = MessagingTemplate(registry, users)
    application = Classic(template, users)
    application.listen(events)
    services = BridgeServices(
        SessionAuthenticator(NoAccounts(), Guests(NoAccounts(), clock, users.is_live)),
        Dispatcher(
            application.controllers, registry, template, Grants(application.grants)
        ),
        users,
        template,
        asyncio.get_running_loop(),
        clock,
        events,
    )
    sock = listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    edge = Edge(channels=bridges(services), origins=Origins([url]), clock=clock)
    app = create_app(edge, [router(application, lib_dir)])
    server = Server(app, edge, sock, drain=1.0)
    ready = asyncio.Event()
    task = asyncio.create_task(server.serve(ready.set))
    await ready.wait()
    try:
        yield server.port
    finally:
        await server.stop()
        await task
