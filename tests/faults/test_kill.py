"""``kill -9`` in the middle of it: nothing acknowledged is lost, doubled or disordered.

Four people with two devices each talk in a group and in pairs, from clients that
retry. Each time a tenth of the messages is acknowledged, something is killed: the
whole server or its broker, in turn. Then the clients' own histories are judged by
``checker``. Kills follow progress, not time, so that they fall into the traffic on
every machine.
"""

import asyncio
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import engines
from tests.faults.checker import account, check
from tests.faults.client import Device, Recorder
from tests.program import Person, Program, another_person, first_person

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

PEOPLE = ("ann", "bob", "cy", "dee")
DEVICES_EACH = 2
SENDS = 2_000
KILLS = 10
AT_ONCE = 4
"""Messages of one device under way at a time: pipelined, as a busy client does."""

PATIENCE_S = 120.0
"""For sends and fresh ones. Only tells slow from never, on a crowded machine too."""


@dataclass
class Room:
    """People in their conversations, on a running program."""

    program: Program
    devices: list[Device]
    conversations: dict[str, tuple[str, ...]]
    history: Recorder

    def of(self, conv: str) -> list[Device]:
        users = self.conversations[conv]
        return [device for device in self.devices if device.user in users]

    def acked(self) -> int:
        return sum(line["type"] == "ok" for line in self.history.lines)


@asynccontextmanager
async def room_in(program: Program) -> AsyncIterator[Room]:
    people, logins = await asyncio.to_thread(_arrive, program)
    everybody = tuple(person.id for person in people)
    conversations = {people[0].group("All", *people[1:]): everybody}
    for one, other in itertools.combinations(people, 2):
        conversations[one.direct(other)] = (one.id, other.id)
    history = Recorder()
    devices = [
        Device(
            program.url,
            token,
            user=person.id,
            name=f"{person.name}-{number}",
            history=history,
            op_s=PATIENCE_S,
        )
        for person, tokens in zip(people, logins, strict=True)
        for number, token in enumerate(tokens)
    ]
    room = Room(program, devices, conversations, history)
    for conv in conversations:
        for device in room.of(conv):
            history.write(
                "entitled",
                device=device.name,
                user=device.user,
                conv=conv,
                after=0,
                before=None,
            )
    await asyncio.gather(*(device.start() for device in devices))
    try:
        yield room
    finally:
        await asyncio.gather(*(device.stop() for device in devices))
        for person in people:
            person.close()


def _arrive(program: Program) -> tuple[list[Person], list[list[str]]]:
    """Accounts for everybody, and a session token for each of their devices."""
    people = [first_person(program, PEOPLE[0], PEOPLE[0])]
    people += [another_person(program, people[0], name, name) for name in PEOPLE[1:]]
    logins = []
    for name, person in zip(PEOPLE, people, strict=True):
        more = [_login(person, name) for _ in range(DEVICES_EACH - 1)]
        logins.append([person.token, *more])
    return people, logins


def _login(person: Person, handle: str) -> str:
    import httpx

    body = {"handle": handle, "password": f"{handle} has a long password"}
    with httpx.Client(base_url=person.url, headers={"Origin": person.url}) as client:
        client.post("/api/v1/login", json=body).raise_for_status()
        return client.cookies["salon_session"]


async def talk(room: Room, device: Device, count: int, seed: int) -> None:
    """``count`` messages to random conversations, ``AT_ONCE`` under way at a time."""
    chance = random.Random(seed)
    mine = [conv for conv in room.conversations if device in room.of(conv)]
    turns = asyncio.Semaphore(AT_ONCE)
    ends = []
    for number in range(count):
        await turns.acquire()
        conv = chance.choice(mine)
        end = device.post(conv, f"{device.name} says {number} · {chance.random()}")
        end.add_done_callback(lambda _: turns.release())
        ends.append(end)
        if number % 10 == 9:
            await device.read(conv, device.last[conv])
    await asyncio.gather(*ends)


async def kill_the_server(room: Room) -> None:
    def again() -> None:
        room.program.kill()
        room.program.start()  # at the same port

    await asyncio.to_thread(again)


async def kill_the_broker(room: Room) -> None:
    """The server's child; its supervisor starts another."""
    pid = broker_of(room.program)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: broker_of(room.program) not in {pid, 0})


def broker_of(program: Program) -> int:
    """The process id of the broker child as it is now; 0 while there is none."""
    assert program.process is not None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
            words = entry.joinpath("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == program.process.pid and b"broker" in words:
            return int(entry.name)
    return 0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something outside this process; the time only bounds a hang."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def nemesis(
    room: Room, faults: list[Callable[[Room], Awaitable[None]]], sends: int
) -> None:
    """One fault each time another part of the messages is acknowledged."""
    share = sends // (len(faults) + 1)
    for number, fault in enumerate(faults, 1):
        due = number * share
        await until(lambda: room.acked() >= due)  # noqa: B023 - awaited at once
        await fault(room)


async def heal_and_settle(room: Room) -> None:
    """After the last fault: a fresh message everywhere, then everybody is equal."""
    room.history.write("healed")
    await asyncio.gather(
        *(
            room.of(conv)[0].send(conv, f"fresh in {conv}", fresh=True)
            for conv in room.conversations
        )
    )
    highest = {
        conv: max(device.last[conv] for device in room.of(conv))
        for conv in room.conversations
    }
    await until(
        lambda: all(
            device.last[conv] >= highest[conv]
            for conv in room.conversations
            for device in room.of(conv)
        )
    )
    for device in room.devices:
        await device.from_scratch()


async def judge(room: Room, folder: Path) -> None:
    lines = room.history.lines
    room.history.save(folder / "history.jsonl")
    findings = check(lines, fresh_s=PATIENCE_S, op_s=PATIENCE_S)
    numbers = account(lines)
    lost = sum(device.reconnects for device in room.devices)
    print(f"{numbers}, {lost} connections lost, {len(findings)} findings")

    assert findings == [], "\n".join(map(str, findings[:20]))
    assert numbers["sent"] == (
        numbers["acked"] + numbers["refused"] + numbers["unknown"]
    )
    assert numbers["shown"] == (numbers["shown live"] + numbers["shown by catch-up"])


async def test_ten_kills_in_two_thousand_sends_lose_double_and_disorder_nothing(
    tmp_path: Path,
) -> None:
    program = Program(tmp_path / "data").start()
    try:
        async with room_in(program) as room:
            faults = [kill_the_server, kill_the_broker] * (KILLS // 2)
            share = SENDS // len(room.devices)
            async with asyncio.TaskGroup() as group:
                for number, device in enumerate(room.devices):
                    group.create_task(talk(room, device, share, number))
                group.create_task(nemesis(room, faults, SENDS))
            await heal_and_settle(room)
            await judge(room, tmp_path)

            assert room.acked() >= SENDS
            assert sum(device.reconnects for device in room.devices) > 0
    finally:
        program.end()


@pytest.mark.kafka
async def test_kills_of_the_server_and_of_apache_kafka_lose_nothing_either(
    tmp_path: Path,
) -> None:
    """The same port to the log, another engine behind it."""
    engines.require("kafka")

    async def kill_kafka(room: Room) -> None:
        def again() -> None:
            kafka.kill()
            kafka.start()  # same port, same data

        await asyncio.to_thread(again)

    with engines.KafkaServer() as kafka:
        environment = {"SALON_KAFKA": kafka.bootstrap}
        program = Program(tmp_path / "data", env=environment).start()
        try:
            async with room_in(program) as room:
                faults = [kill_the_server, kill_kafka]
                async with asyncio.TaskGroup() as group:
                    for number, device in enumerate(room.devices):
                        group.create_task(talk(room, device, 25, number))
                    group.create_task(nemesis(room, faults, 200))
                await heal_and_settle(room)
                await judge(room, tmp_path)
        finally:
            program.end()
