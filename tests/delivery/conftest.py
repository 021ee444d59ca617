"""A store, a log in memory and an owner over them: everything but sockets."""

import asyncio
from dataclasses import dataclass, field

import pytest
from sqlalchemy import insert

from salon.chat.service import Chat
from salon.clock import ManualClock
from salon.delivery.fanout import Fanout
from salon.delivery.owner import Owner
from salon.delivery.receipts import Receipts
from salon.eventlog import topics
from salon.eventlog.memory import MemoryLog
from salon.ids import UserId
from salon.routes.memory import MemoryRoutes
from salon.store.database import Database
from salon.store.history import SqlHistory
from salon.store.ledger import SqlLedgers
from salon.store.migrate import migrate
from salon.store.schema import users

ANN, BOB, CAT, DAN = (UserId(n) for n in (1, 2, 3, 4))


@dataclass
class Told:
    """A template that keeps what each user was told."""

    of: dict = field(default_factory=dict)

    def send_to_users(
        self, user_ids, destination, body, *, droppable=False, coalesce=None
    ):
        for user in user_ids:
            self.of.setdefault(user, []).append((destination, body))
        return len(user_ids)


@dataclass
class Salon:
    """One server without its sockets."""

    database: Database
    log: MemoryLog
    owner: Owner
    chat: Chat
    told: Told
    fanout: Fanout
    ledgers: SqlLedgers
    receipts: Receipts
    history: SqlHistory
    clock: ManualClock
    task: asyncio.Task | None = None

    def start(self):
        self.task = asyncio.create_task(
            self.log.own(topics.COMMANDS.name, topics.OWNERS, "n1", self.owner)
        )

    async def stop(self):
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


def people(connection):
    connection.execute(
        insert(users),
        [
            {
                "id": user,
                "handle": name.lower(),
                "handle_key": name.lower(),
                "name": name,
                "role": "member",
                "created": 0,
                "disabled": False,
            }
            for user, name in ((ANN, "Ann"), (BOB, "Bob"), (CAT, "Cat"), (DAN, "Dan"))
        ],
    )


def assemble(database, log):
    clock = ManualClock()
    told = Told()
    receipts = Receipts(
        log, topics.COMMANDS.name, asyncio.get_running_loop().call_later
    )
    fanout = Fanout("n1", told, receipts, MemoryRoutes("n1"), log)
    ledgers = SqlLedgers(database)
    history = SqlHistory(database)
    owner = Owner(ledgers, fanout.deliver)
    chat = Chat("n1", receipts, history, fanout, clock)
    return Salon(
        database, log, owner, chat, told, fanout, ledgers, receipts, history, clock
    )


@pytest.fixture
async def salon(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'salon.db'}")
    await database.write(migrate)
    await database.write(people)
    log = MemoryLog()
    await log.ensure([topics.COMMANDS, topics.node("n1")])
    made = assemble(database, log)
    made.start()
    yield made
    await made.stop()
    await database.close()
