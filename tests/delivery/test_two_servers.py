"""Two servers on one log and one store: hops, answers, and who owns what."""

import asyncio
import json

import pytest

from salon.chat.service import Chat
from salon.delivery.fanout import Fanout
from salon.delivery.inbox import Inbox
from salon.delivery.owner import Owner
from salon.delivery.receipts import Receipts
from salon.errors import Refusal
from salon.eventlog import topics
from salon.eventlog.memory import MemoryLog
from salon.routes.memory import MemoryRoutes, Table
from salon.store.database import Database
from salon.store.history import SqlHistory
from salon.store.ledger import SqlLedgers
from salon.store.migrate import migrate
from tests.delivery.conftest import ANN, BOB, CAT, ManualClock, Told, people


class Server:
    """One of several; only ``owns`` says who applies commands."""

    def __init__(self, name, table, log, database):
        self.name = name
        self.routes = MemoryRoutes(name, table)
        self.told = Told()
        loop = asyncio.get_running_loop()
        self.receipts = Receipts(log, topics.COMMANDS.name, loop.call_later)
        self.fanout = Fanout(name, self.told, self.receipts, self.routes, log)
        self.inbox = Inbox(name, log, self.told, self.receipts)
        self.chat = Chat(
            name, self.receipts, SqlHistory(database), self.fanout, ManualClock()
        )
        self.owner = Owner(SqlLedgers(database), self.fanout.deliver)
        self.log = log

    async def start(self, *, owns):
        ready = asyncio.Event()
        parts = [self.inbox.run(ready.set), self.fanout.run()]
        if owns:
            parts.append(
                self.log.own(topics.COMMANDS.name, topics.OWNERS, self.name, self.owner)
            )
        self.tasks = [asyncio.create_task(part) for part in parts]
        await ready.wait()

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def servers(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'salon.db'}")
    await database.write(migrate)
    await database.write(people)
    log, table = MemoryLog(), Table()
    await log.ensure([topics.COMMANDS, topics.node("one"), topics.node("two")])
    one, two = (Server(name, table, log, database) for name in ("one", "two"))
    await one.start(owns=True)
    await two.start(owns=False)
    yield one, two
    await one.stop()
    await two.stop()
    await database.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_event_hops_once_to_the_server_that_holds_the_member(servers):
    one, two = servers
    two.routes.add(str(BOB), "phone")
    two.routes.add(str(CAT), "web")
    here = await one.chat.group(ANN, "Art", [BOB, CAT], "g")
    await until(lambda: len(two.told.of.get("2", ())) == 1)
    hops = sum(len(p) for p in one.log._topics["node.two"])

    created = json.loads(two.told.of["2"][0][1])
    assert (created["type"], created["conversation"]) == (
        "conversation.created",
        str(here),
    )
    assert two.told.of["3"] == two.told.of["2"]
    assert hops == 1  # one record for the server, not one for each user


async def test_the_sender_on_another_server_than_the_owner_gets_the_number(servers):
    _one, two = servers
    here = await two.chat.direct(ANN, BOB)
    applied = await (await two.chat.send(ANN, here, "k", "from afar"))
    again = await (await two.chat.send(ANN, here, "k", "from afar"))

    assert (applied.event.seq, applied.duplicate) == (2, False)
    assert (again.event, again.duplicate) == (applied.event, True)


async def test_a_refusal_travels_back_with_its_words(servers):
    _one, two = servers
    here = await two.chat.direct(ANN, BOB)

    with pytest.raises(Refusal) as refused:
        await (await two.chat.send(CAT, here, "k", "let me in"))

    assert (refused.value.code, refused.value.status, refused.value.field) == (
        "conversation_unknown",
        404,
        "conversation",
    )


async def test_members_without_a_connection_need_no_hop(servers):
    one, two = servers
    here = await one.chat.direct(ANN, BOB)
    await (await one.chat.send(ANN, here, "k", "nobody is there"))
    await asyncio.sleep(0.05)

    assert two.told.of == {}
    assert sum(len(p) for p in one.log._topics["node.two"]) == 0


async def test_typing_on_one_server_shows_on_the_other(servers):
    one, two = servers
    two.routes.add(str(BOB), "web")
    here = await one.chat.direct(ANN, BOB)
    await one.chat.typing(ANN, here)
    await until(lambda: any("typing" in str(b) for _, b in two.told.of.get("2", ())))

    destination, body = two.told.of["2"][-1]
    assert destination == "/queue/ephemeral"
    assert json.loads(body)["user"] == str(ANN)
