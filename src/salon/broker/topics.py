"""Which topics there are: names, ids, partitions, settings.

Kafka keeps this in a metadata quorum; one machine keeps it in one JSON file that is
replaced atomically, ``cluster-metadata.json``. ``epoch`` counts changes, so that
encoded Metadata answers can be cached until something changes.

Changes come from several threads at once (a topic is made while a producer asks for its
id, and each waits for the disk): they take turns.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from salon.broker.config import TopicConfig
from salon.broker.errors import ApiError, Code, SettingError
from salon.broker.log.checkpoints import uuid_text, uuid_value, write_atomically

OFFSETS_TOPIC = "__consumer_offsets"
TRANSACTIONS_TOPIC = "__transaction_state"
INTERNAL = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC})
MAX_PARTITIONS = 1000
"""Partitions of one topic: each costs four files and an open descriptor or two."""

_FILE = "cluster-metadata.json"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PRODUCER_IDS = 1000
"""Producer ids reserved by one write (Kafka's ``ProducerIdsBlock``)."""


@dataclass(frozen=True)
class Topic:
    """One topic. ``settings`` are its own, ``config`` is all that holds for it."""

    name: str
    id: UUID
    partitions: int
    settings: Mapping[str, str]
    config: TopicConfig

    @property
    def internal(self) -> bool:
        return self.name in INTERNAL


def check_name(name: str) -> None:
    """Kafka's rules for topic names.

    Raises:
        ApiError: theirs; INVALID_TOPIC_EXCEPTION.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ApiError(
            Code.INVALID_TOPIC_EXCEPTION,
            f"{name!r} is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -",
        )


class Topics:
    """The registry, as it is on disk.

    Args:
        folder: the data folder.
        defaults: settings of topics that have none.

    Raises:
        SettingError: theirs; the file is there and cannot be understood.
    """

    def __init__(self, folder: Path, defaults: TopicConfig) -> None:
        self._path = folder / _FILE
        self._defaults = defaults
        self._topics: dict[str, Topic] = {}
        self._by_id: dict[UUID, Topic] = {}
        self._next_producer_id = 0
        self._reserved_producer_ids = 0
        self.epoch = 0
        self._changing = threading.Lock()
        if self._path.exists():
            try:
                self._load(json.loads(self._path.read_bytes()))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise SettingError(
                    f"{self._path} cannot be understood: {error!r}; put a copy of it "
                    "there from a backup, topics are known by it alone"
                ) from error

    def _load(self, data: Any) -> None:
        self._next_producer_id = data["next_producer_id"]
        self._reserved_producer_ids = self._next_producer_id
        for name, entry in data["topics"].items():
            self._add(
                self.describe(
                    name, entry["partitions"], entry["configs"], uuid_value(entry["id"])
                )
            )

    def describe(
        self,
        name: str,
        partitions: int,
        settings: Mapping[str, str],
        topic_id: UUID | None = None,
    ) -> Topic:
        """A topic that is not registered yet, with everything checked.

        Raises:
            ApiError: theirs; its name, partitions or settings.
        """
        check_name(name)
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise ApiError(
                Code.INVALID_PARTITIONS,
                f"{partitions} partitions; 1 to {MAX_PARTITIONS} are possible",
            )
        try:
            config = self._defaults.with_overrides(settings)
        except SettingError as error:
            raise ApiError(Code.INVALID_CONFIG, str(error)) from error
        return Topic(name, topic_id or uuid4(), partitions, dict(settings), config)

    def register(self, topic: Topic) -> None:
        """Add or replace ``topic``, durably."""
        with self._changing:
            self._add(topic)
            self._save()

    def _add(self, topic: Topic) -> None:
        self._topics[topic.name] = topic
        self._by_id[topic.id] = topic
        self.epoch += 1

    def remove(self, topic: Topic) -> None:
        """Forget ``topic``, durably."""
        with self._changing:
            del self._topics[topic.name]
            del self._by_id[topic.id]
            self.epoch += 1
            self._save()

    def get(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def by_id(self, topic_id: UUID) -> Topic | None:
        return self._by_id.get(topic_id)

    def all(self) -> list[Topic]:
        return list(self._topics.values())

    def new_producer_id(self) -> int:
        """A producer id that was never given out before, crashes included."""
        with self._changing:
            producer_id = self._next_producer_id
            if producer_id == self._reserved_producer_ids:
                self._reserved_producer_ids += _PRODUCER_IDS
                try:
                    self._save()
                except BaseException:
                    self._reserved_producer_ids = producer_id
                    raise
            self._next_producer_id += 1
            return producer_id

    def _save(self) -> None:
        topics = {
            topic.name: {
                "id": uuid_text(topic.id),
                "partitions": topic.partitions,
                "configs": dict(topic.settings),
            }
            for topic in self._topics.values()
        }
        data = {"next_producer_id": self._reserved_producer_ids, "topics": topics}
        write_atomically(self._path, json.dumps(data, indent=1).encode())
