"""A chat with rooms, who is in them, and what was said lately.

    python -m examples.chat 8080
    python -m examples.chat 8081 127.0.0.1:9092      # one of several, over a Kafka

Clients SUBSCRIBE /topic/rooms/blue (with ``resume-from`` after they were away) and
/app/rooms/blue/people, and SEND {"text": "hello"} to /app/rooms/blue.

Over a Kafka (``salon broker`` is one), servers know each other's people, /app/rooms/blue/listeners
counts on all of them, and ``examples/announce.py`` speaks to everybody.
"""

import asyncio
import sys
from collections import defaultdict

import msgspec

from salon.errors import Refusal
from salon.eventlog.kafka import KafkaLog
from salon.gateway.server import listen
from salon.gateway.standalone import Standalone
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import (
    message_exception_handler,
    message_mapping,
    send_to,
    send_to_user,
    subscribe_mapping,
)
from salon.messaging.principal import Principal
from salon.messaging.registry import MultiServerUserRegistry
from salon.messaging.retention import retain
from salon.messaging.sessions import Session


class Say(msgspec.Struct):
    text: str


class Said(msgspec.Struct):
    sender: str
    text: str


class Shouted(Exception):
    pass


@message_mapping("/rooms")
class Rooms:
    def __init__(self, registry: MultiServerUserRegistry) -> None:
        self.registry = registry
        self.people: dict[str, set[str]] = defaultdict(set)

    @message_mapping("/{room}")
    @send_to("/topic/rooms/{room}")
    def say(self, room: str, payload: Say, who: Principal, session: Session) -> Said:
        if payload.text.isupper():
            raise Shouted
        if not payload.text:
            raise Refusal("empty", "Say something.", field="text")
        self.people[room].add(who.name)
        session.attributes.setdefault("rooms", set()).add(room)
        return Said(who.name, payload.text)

    @subscribe_mapping("/{room}/people")
    def who_is_here(self, room: str) -> list[str]:
        return sorted(self.people[room])

    @subscribe_mapping("/{room}/listeners")
    def how_many_listen(self, room: str) -> int:
        topic = f"/topic/rooms/{room}"
        found = self.registry.find_subscriptions(lambda one: one.destination == topic)
        return len(found)

    @message_exception_handler(Shouted)
    @send_to_user("/queue/hints", broadcast=False)
    def hint(self) -> str:
        return "Please do not shout."

    def left(self, session: Session) -> None:
        for room in session.attributes.get("rooms", ()):
            self.people[room].discard(session.principal.name)


class Chat(Standalone):
    grants = (
        may_send("/app/rooms/{room}", "guest"),
        may_subscribe("/app/rooms/{room}/people", "guest"),
        may_subscribe("/app/rooms/{room}/listeners", "guest"),
        may_subscribe("/topic/rooms/{room}", "guest"),
        may_subscribe("/user/queue/*", "guest"),
    )
    retained = (retain("/topic/rooms/*", messages=50),)

    def prepare(self) -> None:
        rooms = Rooms(self.user_registry)
        self.controllers = (rooms,)
        self.events.disconnected.append(rooms.left)


async def main(port: int, kafka: str | None = None) -> None:
    log = KafkaLog(kafka, f"chat-{port}") if kafka else None
    with listen("127.0.0.1", port) as listening:
        async with Chat(listening, log=log) as app:
            print(f"ws://127.0.0.1:{app.port}/ws", flush=True)
            await app.stopped()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:3]))
