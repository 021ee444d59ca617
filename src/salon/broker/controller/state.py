"""What the controller knows for good: one file, replaced before anything is told.

Who is alive is not in it: that is known only by hearing from them, so a controller that
starts anew waits for its brokers to register.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from salon.broker.log.checkpoints import uuid_text, uuid_value, write_atomically
from salon.broker.replication.partition import PartitionState

FILE = "controller-state.json"


@dataclass
class TopicState:
    """One topic."""

    name: str
    id: UUID
    settings: dict[str, str]
    partitions: list[PartitionState]


@dataclass
class ClusterState:
    """Everything that outlives a controller.

    Attributes:
        controller_epoch: raised by each start of a controller.
        broker_epoch: the last one given to a registration.
        next_producer_id: the first that was not handed out in a block.
    """

    controller_epoch: int = 0
    broker_epoch: int = 0
    next_producer_id: int = 0
    topics: dict[str, TopicState] = field(default_factory=dict)

    def by_id(self, topic_id: UUID) -> TopicState | None:
        return next((t for t in self.topics.values() if t.id == topic_id), None)

    def at(self, key: tuple[str, int]) -> PartitionState:
        """What holds for a partition; its topic is known."""
        return self.topics[key[0]].partitions[key[1]]

    @classmethod
    def load(cls, folder: Path) -> "ClusterState":
        """The state in ``folder``; empty when there was no controller here."""
        path = folder / FILE
        if not path.exists():
            return cls()
        data = json.loads(path.read_bytes())
        topics = {
            name: TopicState(
                name,
                uuid_value(entry["id"]),
                entry["configs"],
                [
                    PartitionState(
                        p["leader"],
                        p["leader_epoch"],
                        tuple(p["isr"]),
                        p["partition_epoch"],
                        tuple(p["replicas"]),
                    )
                    for p in entry["partitions"]
                ],
            )
            for name, entry in data["topics"].items()
        }
        return cls(
            data["controller_epoch"],
            data["broker_epoch"],
            data["next_producer_id"],
            topics,
        )

    def encode(self) -> bytes:
        topics = {
            name: {
                "id": uuid_text(topic.id),
                "configs": topic.settings,
                "partitions": [state._asdict() for state in topic.partitions],
            }
            for name, topic in self.topics.items()
        }
        return json.dumps(
            {
                "controller_epoch": self.controller_epoch,
                "broker_epoch": self.broker_epoch,
                "next_producer_id": self.next_producer_id,
                "topics": topics,
            },
            indent=1,
        ).encode()


def save(folder: Path, encoded: bytes) -> None:
    """Durably; blocks on the disk."""
    write_atomically(folder / FILE, encoded)
