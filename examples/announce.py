"""Speak to everybody in a room of ``examples/chat.py``, from a process of its own.

    python -m examples.announce 127.0.0.1:9092 blue "We close at ten."

What a cron job or a bot does: no connection to any of the servers, only to their log.
"""

import asyncio
import sys

from salon.eventlog.kafka import KafkaLog
from salon.messaging.remote import RemoteTemplate


async def main(kafka: str, room: str, text: str) -> None:
    log = KafkaLog(kafka, "announce")
    try:
        await RemoteTemplate(log).convert_and_send(
            f"/topic/rooms/{room}",
            {"sender": "house", "text": text},
            headers={"priority": "9"},
        )
    finally:
        await log.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
