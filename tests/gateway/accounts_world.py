"""Accounts on a real SQLite file, asked over HTTP; shared by tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, Depends
from starlette.types import ASGIApp

from salon.clock import ManualClock
from salon.gateway.accounts import AccountService, router
from salon.gateway.auth import COOKIE, Logins
from salon.gateway.edge import Edge
from salon.gateway.http import create_app
from salon.gateway.origins import Origins
from salon.messaging.channel import ChannelHandler
from salon.messaging.principal import Principal
from salon.store.accounts import SqlAccounts
from salon.store.database import Database
from salon.store.schema import metadata

PASSWORD = "kettle moss tram 91"


@dataclass
class World:
    path: Path
    clock: ManualClock
    accounts: SqlAccounts
    logins: Logins
    service: AccountService
    app: ASGIApp
    revoked: list[str] = field(default_factory=list)

    def browser(self, ip: str = "192.0.2.1", scheme: str = "http") -> httpx.AsyncClient:
        """A client that keeps cookies."""
        transport = httpx.ASGITransport(self.app, client=(ip, 5000))
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://salon.test")

    async def ann(self) -> httpx.AsyncClient:
        """The first account, logged in."""
        client = self.browser()
        token = await self.service.offer_setup()
        answer = await client.post(
            "/api/v1/setup",
            json={"token": token, "handle": "ann", "name": "Ann", "password": PASSWORD},
        )
        assert answer.status_code == 201, answer.text
        return client

    async def invited(
        self, by: httpx.AsyncClient, handle: str, **changes: Any
    ) -> httpx.AsyncClient:
        """Another account, logged in, invited by ``by``."""
        invite = (await by.post("/api/v1/invites", json={})).json()
        client = self.browser(changes.pop("ip", "192.0.2.2"))
        body = {"token": invite["token"], "handle": handle, "name": handle.title()}
        answer = await client.post(
            "/api/v1/join", json={**body, "password": PASSWORD, **changes}
        )
        assert answer.status_code == 201, answer.text
        return client


@asynccontextmanager
async def world_in(folder: Path) -> AsyncIterator[World]:
    path = folder / "salon.db"
    database = Database(f"sqlite:///{path}")
    await database.write(metadata.create_all)
    clock = ManualClock()
    accounts = SqlAccounts(database)
    logins = Logins(accounts, clock)
    service = AccountService(accounts, logins, clock)
    probe = APIRouter()

    @probe.get("/api/v1/whoami")
    async def whoami(who: Principal = Depends(logins.current)) -> list[str]:  # noqa: B008, FAST002
        return [who.id, who.login, *sorted(who.roles)]

    edge = Edge(
        _no_channels, Origins(["http://salon.test", "https://salon.test"]), clock
    )
    app = create_app(edge, [router(service, version="1.2.3", guests=True), probe])
    world = World(path, clock, accounts, logins, service, app)
    logins.on_revoked = world.revoked.append
    try:
        yield world
    finally:
        await database.close()


def _no_channels() -> ChannelHandler:
    raise AssertionError("nobody connects here")


def token_of(client: httpx.AsyncClient) -> str:
    return client.cookies[COOKIE]
