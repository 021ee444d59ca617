"""A small application with one of everything, for clients to talk to."""

import asyncio
from contextlib import asynccontextmanager

from salon.errors import Refusal
from salon.gateway.server import listen
from salon.gateway.standalone import Standalone
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to, subscribe_mapping
from salon.messaging.message import ReceiptHeaders
from salon.messaging.principal import Principal
from salon.messaging.retention import retain


class Controller:
    @message_mapping("/echo")
    @send_to("/topic/echo")
    async def echo(self, payload: bytes, receipt: ReceiptHeaders) -> bytes:
        receipt["size"] = str(len(payload))
        return payload

    @message_mapping("/refuse")
    async def refuse(self) -> None:
        raise Refusal("no", "Never.")

    @message_mapping("/slow")
    async def slow(self) -> None:
        await asyncio.Event().wait()

    @subscribe_mapping("/state")
    async def state(self) -> dict[str, int]:
        return {"n": 1}


class Place(Standalone):
    controllers = (Controller(),)
    grants = (
        may_send("/app/*", "guest"),
        may_send("/queue/*", "guest"),
        may_send("/topic/*", "guest"),
        may_subscribe("/app/state", "guest"),
        may_subscribe("/queue/*", "guest"),
        may_subscribe("/topic/*", "guest"),
        may_subscribe("/user/queue/errors", "guest"),
    )
    retained = (retain("/topic/news", messages=3),)

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def tcp(self):
        return f"tcp://127.0.0.1:{self.stomp_port}"


class Passwords:
    """For clients that always have one: the login counts unless it is ``wrong``."""

    async def authenticate(self, handshake, login, passcode):
        if login is None or passcode == "wrong":
            raise Refusal("unauthorised", "Log in first.", status=401)
        return Principal(login, login, frozenset({"guest"}), login)


class PlaceWithPasswords(Place):
    def authenticator(self):
        return Passwords()


@asynccontextmanager
async def place(port=0, stomp_port=0, kind=Place, **options):
    app = kind(
        listen("127.0.0.1", port), stomp=listen("127.0.0.1", stomp_port), **options
    )
    async with app:
        yield app
