"""Pictures over a real store, an owner, a log in memory and a folder of files."""

import asyncio
import io
import itertools
import json
from dataclasses import dataclass, field

import httpx
import pytest
from PIL import Image

from salon.clock import ManualClock
from salon.errors import Refusal
from salon.eventlog import topics
from salon.eventlog.memory import MemoryLog
from salon.gateway.edge import Edge
from salon.gateway.http import create_app
from salon.gateway.origins import Origins
from salon.ids import UserId
from salon.media.files import FileMedia
from salon.messaging.principal import Principal
from salon.pictures import worker_api
from salon.pictures.endpoints import router as pictures_router
from salon.pictures.jobs import wish
from salon.pictures.leases import Leases
from salon.pictures.progress import Board
from salon.pictures.results import Results, Said
from salon.pictures.service import Pictures
from salon.store.database import Database
from salon.store.migrate import migrate
from salon.store.pictures import SqlPictures
from tests.delivery.conftest import Salon, assemble, people

TOKEN = "worker-token"


@dataclass
class World:
    """A server with pictures, without its sockets."""

    salon: Salon
    clock: ManualClock
    jobs: SqlPictures
    media: FileMedia
    board: Board
    leases: Leases
    results: Results
    pictures: Pictures
    keys: itertools.count = field(default_factory=itertools.count)

    async def ask(self, user, conversation, prompt="red heart", key=None, **more):
        """Request a picture; (job id, its event) when it is in the queue."""
        asked = await self.pictures.request(
            user, conversation, key or f"k{next(self.keys)}", wish(prompt, **more)
        )
        return asked.job, (await asked.applied).event

    async def cancel(self, user, job):
        return (await (await self.pictures.cancel(user, job))).event

    async def finish(self, job, **more):
        await self.results.finish(job.id, job.attempt, png(), Said("test", 5, **more))

    async def settle(self):
        """A sweep, and the ends that it began."""
        await self.leases.sweep()
        while self.leases._ending:
            await asyncio.gather(*self.leases._ending.values())
            await asyncio.sleep(0)

    async def body(self, user, conversation, seq):
        """The stored body of an event."""
        page, _ = await self.salon.chat.page(
            user, conversation, after=seq - 1, before=seq + 1, limit=1
        )
        return page[0].body

    async def ends(self, user, conversation):
        """All ends in the stream: (job, state)."""
        page, _ = await self.salon.chat.page(
            user, conversation, after=0, before=None, limit=200
        )
        return [
            (int(event.body["job"]), event.body["state"])
            for event in page
            if event.type == "picture.updated"
        ]

    def heard(self, user):
        """Progress that the devices of ``user`` were told."""
        return [
            json.loads(body)
            for destination, body in self.salon.told.of.get(str(user), [])
            if destination == "/queue/ephemeral"
        ]

    def again(self, clock=None):
        """The same tables under a server that has just started."""
        return built(self.salon, self.media, clock or self.clock)

    def routers(self):
        async def current(request):
            user = request.headers.get("x-user")
            if user is None:
                raise Refusal("unauthorised", "Log in.", status=401)
            role = "guest" if user == "guest" else "user"
            return Principal(user, user, frozenset({role}), "1")

        return [
            pictures_router(self.pictures, current),
            worker_api.router(self.leases, self.results, TOKEN),
        ]

    def app(self):
        edge = Edge(
            channels=lambda: None, origins=Origins(["http://test"]), clock=self.clock
        )
        return create_app(
            edge, self.routers(), body_limits={"/api/v1/worker": 12 << 20}
        )

    def http(self, **headers):
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app()),
            base_url="http://test",
            headers=headers,
        )

    def worker(self, token=TOKEN):
        return self.http(authorization=f"Bearer {token}")

    def person(self, user: UserId):
        return self.http(**{"x-user": str(user)})


def built(salon, media, clock):
    jobs = SqlPictures(salon.database)
    board = Board(salon.history, salon.fanout)
    leases = Leases("n1", jobs, salon.receipts, board, clock)
    results = Results("n1", leases, jobs, media, salon.receipts, clock)
    pictures = Pictures("n1", salon.receipts, jobs, clock)
    salon.fanout.watchers.append(leases.applied)
    return World(salon, clock, jobs, media, board, leases, results, pictures)


def png(size=(8, 8), colour="red") -> bytes:
    data = io.BytesIO()
    Image.new("RGBA", size, colour).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
async def world(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'salon.db'}")
    await database.write(migrate)
    await database.write(people)
    log = MemoryLog()
    await log.ensure([topics.COMMANDS, topics.node("n1")])
    salon = assemble(database, log)
    salon.start()
    made = built(salon, FileMedia(tmp_path / "files"), salon.clock)
    await made.leases.sweep()
    yield made
    made.leases.close()
    await salon.stop()
    await database.close()
