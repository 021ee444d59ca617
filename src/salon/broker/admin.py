"""Making and removing topics, one change after another.

Files first, registry second: a crash between the two leaves folders that the same
request, sent again, takes over. Removal is the other way round.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from salon.broker.errors import ApiError, Code
from salon.broker.log.manager import LogManager
from salon.broker.log.partition_log import PartitionLog
from salon.broker.partition import Key
from salon.broker.replicas import ReplicaManager
from salon.broker.topics import Topic, Topics


class Admin:
    """Changes the set of topics.

    Args:
        topics: the registry.
        logs: their files.
        replicas: their partitions.
        executor: where the disk is waited for.
        broker_id: of this broker.
    """

    def __init__(
        self,
        topics: Topics,
        logs: LogManager,
        replicas: ReplicaManager,
        executor: Executor,
        broker_id: int,
    ) -> None:
        self._broker_id = broker_id
        self._topics = topics
        self._logs = logs
        self._replicas = replicas
        self._executor = executor
        self._changing = asyncio.Lock()

    async def create(
        self,
        name: str,
        partitions: int,
        settings: Mapping[str, str] | None = None,
        *,
        replication_factor: int = 1,
        assignment: Sequence[Sequence[int]] = (),
        validate_only: bool = False,
    ) -> Topic:
        """Make a topic.

        Args:
            name: of it.
            partitions: how many.
            settings: its own.
            replication_factor: brokers that have each partition.
            assignment: which ones, the preferred leader first; empty: as it comes.
            validate_only: only say whether it could be made.

        Raises:
            ApiError: theirs; it exists, or something about it is impossible.
        """
        self._check_replicas(replication_factor, assignment)
        async with self._changing:
            if self._topics.get(name) is not None:
                raise ApiError(Code.TOPIC_ALREADY_EXISTS, f"topic {name!r} exists")
            topic = self._topics.describe(name, partitions, settings or {})
            if not validate_only:
                await self._lead(topic, 0)
            return topic

    def _check_replicas(self, factor: int, assignment: Sequence[Sequence[int]]) -> None:
        me = [self._broker_id]
        if any(list(replicas) != me for replicas in assignment):
            raise ApiError(
                Code.INVALID_REPLICA_ASSIGNMENT, f"there is one broker, {me[0]}"
            )
        if factor != 1:
            raise ApiError(
                Code.INVALID_REPLICATION_FACTOR,
                f"replication factor {factor}; there is one broker",
            )

    async def ensure(
        self, name: str, partitions: int, settings: Mapping[str, str] | None = None
    ) -> Topic:
        """The topic of that name, made if it is not there.

        Raises:
            ApiError: theirs; its name is impossible.
        """
        known = self._topics.get(name)
        if known is not None:
            return known
        try:
            return await self.create(name, partitions, settings)
        except ApiError as error:
            known = self._topics.get(name)
            if error.code is Code.TOPIC_ALREADY_EXISTS and known is not None:
                return known
            raise

    async def add_partitions(
        self, name: str, count: int, *, validate_only: bool = False
    ) -> None:
        """Grow a topic to ``count`` partitions.

        Raises:
            ApiError: theirs; unknown topic, or fewer than there are.
        """
        async with self._changing:
            topic = self._existing(name)
            if count <= topic.partitions:
                raise ApiError(
                    Code.INVALID_PARTITIONS,
                    f"topic {name!r} has {topic.partitions} partitions already",
                )
            grown = self._topics.describe(name, count, topic.settings, topic.id)
            if not validate_only:
                await self._lead(grown, topic.partitions)

    async def configure(
        self,
        name: str,
        change: Callable[[Mapping[str, str]], Mapping[str, str]],
        *,
        validate_only: bool = False,
    ) -> None:
        """Give a topic the settings that ``change`` makes of its own.

        Raises:
            ApiError: theirs; unknown or internal topic, unknown or impossible setting.
        """
        async with self._changing:
            topic = self._existing(name)
            if topic.internal:
                raise ApiError(
                    Code.INVALID_TOPIC_EXCEPTION, f"topic {name!r} is internal"
                )
            changed = self._topics.describe(
                name, topic.partitions, change(topic.settings), topic.id
            )
            if validate_only:
                return
            await self._in_executor(self._topics.register, changed)
            for index in range(topic.partitions):
                await self._replicas.configure((name, index), changed)

    async def elect(
        self, keys: Sequence[Key] | None, *, unclean: bool
    ) -> dict[Key, Code]:
        """Have partitions led by the first replica of their assignment (KIP-460).

        Args:
            keys: the partitions; None: all.
            unclean: instead, have those that nobody leads led by any replica that lives.

        Returns:
            What became of each; of all, only those that were changed or cannot be.
        """
        here = self._replicas.partitions
        missing = Code.UNKNOWN_TOPIC_OR_PARTITION
        return {
            key: Code.ELECTION_NOT_NEEDED if key in here else missing
            for key in keys or ()
        }

    async def delete_records(self, key: tuple[str, int], offset: int) -> int:
        """Take away what lies before ``offset``; -1 is the high watermark.

        Returns:
            The first offset that is left.

        Raises:
            ApiError: theirs; unknown partition, internal topic, or an offset that is
                beyond the high watermark.
        """
        async with self._changing:
            partition = self._replicas.partitions.get(key)
            if partition is None:
                raise ApiError(Code.UNKNOWN_TOPIC_OR_PARTITION)
            partition.check_epoch(-1)  # only the leader can
            if partition.topic.internal:
                raise ApiError(Code.INVALID_TOPIC_EXCEPTION)
            end = partition.high_watermark.offset
            if not -1 <= offset <= end:
                raise ApiError(Code.OFFSET_OUT_OF_RANGE)
            partition.log.delete_records(end if offset == -1 else offset)
            await self._in_executor(self._logs.checkpoint)
            return partition.log.start_offset

    async def delete(self, name: str) -> None:
        """Remove a topic and its records.

        Raises:
            ApiError: theirs; unknown, or internal.
        """
        async with self._changing:
            topic = self._existing(name)
            if topic.internal:
                raise ApiError(
                    Code.INVALID_TOPIC_EXCEPTION, f"topic {name!r} is internal"
                )
            await self._in_executor(self._topics.remove, topic)
            keys = [(name, index) for index in range(topic.partitions)]
            for key in keys:
                await self._replicas.remove(key)
            await self._in_executor(self._logs.delete, keys)

    def _existing(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            raise ApiError(Code.UNKNOWN_TOPIC_OR_PARTITION, f"no topic {name!r}")
        return topic

    async def _lead(self, topic: Topic, first: int) -> None:
        """Make the partitions from ``first`` on, then register and lead them."""
        indexes = range(first, topic.partitions)

        def make() -> list[PartitionLog]:
            return [
                self._logs.open(topic.name, topic.id, index, topic.config)
                for index in indexes
            ]

        try:
            logs = await self._in_executor(make)
            for index, log in zip(indexes, logs, strict=True):
                self._replicas.add(topic, index, log)
            await self._in_executor(self._topics.register, topic)
        except OSError as error:
            raise ApiError(
                Code.KAFKA_STORAGE_ERROR, f"topic {topic.name!r}: {error.strerror}"
            ) from error

    async def _in_executor(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, call, *args
        )
