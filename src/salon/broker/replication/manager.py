"""What a broker does as one of several: it obeys the controller.

(The cluster's half of ``ReplicaManager`` and ``MetadataCache``.) LeaderAndIsr makes a
partition lead or follow, StopReplica ends it, UpdateMetadata says what clients are told.
All changes of roles are made here, one after another; a leader epoch that is not higher
than the known one changes nothing, so requests may be repeated.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code, StorageError
from salon.broker.log import checkpoints
from salon.broker.log.manager import LogManager
from salon.broker.log.partition_log import PartitionLog
from salon.broker.metrics import Metrics
from salon.broker.partition import Key
from salon.broker.replicas import ReplicaManager
from salon.broker.replication.fetcher import ReplicaFetcher
from salon.broker.replication.in_sync import InSync
from salon.broker.replication.membership import Membership
from salon.broker.replication.messages import (
    Endpoints,
    LeaderAndIsr,
    Replica,
    StopReplica,
    TopicMetadata,
    UpdateMetadata,
)
from salon.broker.replication.partition import (
    DURING_DELETE,
    PartitionState,
    ReplicatedPartition,
)
from salon.broker.topics import Topic, Topics

log = logging.getLogger(__name__)

HIGH_WATERMARKS = "replication-offset-checkpoint"

_T = TypeVar("_T")
RoleChanged = Callable[[ReplicatedPartition], None]


class Replication:
    """The partitions of this broker, and what it knows of the others.

    Args:
        config: of this broker.
        topics: its registry; filled by the controller's word.
        logs: files of its partitions.
        replicas: its partitions.
        executor: where the disk is waited for.
        metrics: of the broker.
        role_changed: called for each partition that now leads or follows.
        topic_gone: called with the name of a topic that was removed.
    """

    def __init__(
        self,
        config: BrokerConfig,
        topics: Topics,
        logs: LogManager,
        replicas: ReplicaManager,
        executor: Executor,
        metrics: Metrics,
        role_changed: RoleChanged,
        topic_gone: Callable[[str], None],
    ) -> None:
        self.config = config
        self._topics = topics
        self._logs = logs
        self._replicas = replicas
        self._executor = executor
        self._role_changed = role_changed
        self._topic_gone = topic_gone
        self._loop = asyncio.get_running_loop()
        self._changing = asyncio.Lock()
        self._news = asyncio.Event()
        self._fetchers: dict[int, ReplicaFetcher] = {}
        self._high_watermarks = checkpoints.read_offsets(
            config.folder / HIGH_WATERMARKS
        )
        self._controller_epoch = -1
        self._complete_for = -1
        self._tasks: set[asyncio.Task[None]] = set()
        self.brokers: Mapping[int, Endpoints] = {}
        self.partitions: dict[Key, PartitionState] = {}
        self.membership: Membership | None = None
        self.in_sync = InSync(
            config, self, replicas.high_watermark_moved, self._start, metrics
        )
        for seconds, job in (
            (config.replica_lag_time_max_ms / 2000, self.in_sync.shrink),
            (
                config.replica_high_watermark_checkpoint_interval_ms / 1000,
                self._checkpoint,
            ),
        ):
            self._start(self._every(seconds, job))

    @property
    def me(self) -> int:
        return self.config.broker_id

    # --- opening ---

    def open(self, topic: Topic, index: int) -> ReplicatedPartition:
        """Have a replica, without a role until the controller gives it one."""
        opened = self._logs.open(topic.name, topic.id, index, topic.config)
        return self._add(topic, index, opened)

    def open_known(self) -> None:
        """The replicas that have a folder here."""
        for topic in self._topics.all():
            for index in range(topic.partitions):
                folder = self.config.folder / f"{topic.name}-{index}"
                if (folder / checkpoints.PARTITION_METADATA).exists():
                    self.open(topic, index)

    def _add(
        self, topic: Topic, index: int, opened: PartitionLog
    ) -> ReplicatedPartition:
        kind = partial(
            ReplicatedPartition,
            me=self.me,
            lag_ms=self.config.replica_lag_time_max_ms,
            now_ms=self._now_ms,
            high_watermark=self._high_watermarks.get((topic.name, index), 0),
        )
        added = self._replicas.add(topic, index, opened, kind)
        assert isinstance(added, ReplicatedPartition)
        return added

    def _now_ms(self) -> float:
        return self._loop.time() * 1000

    def get(self, key: Key) -> ReplicatedPartition | None:
        found = self._replicas.partitions.get(key)
        return found if isinstance(found, ReplicatedPartition) else None

    def all(self) -> dict[Key, ReplicatedPartition]:
        """The replicas on this broker."""
        return {
            key: each
            for key, each in self._replicas.partitions.items()
            if isinstance(each, ReplicatedPartition)
        }

    # --- what the controller says ---

    def _check_sender(self, controller_epoch: int, broker_epoch: int) -> None:
        """Whether it is our controller that speaks, and to us.

        Raises:
            ApiError: theirs; STALE_CONTROLLER_EPOCH or STALE_BROKER_EPOCH.
        """
        if controller_epoch < self._controller_epoch:
            raise ApiError(Code.STALE_CONTROLLER_EPOCH)
        self._controller_epoch = controller_epoch
        known = self.membership.epoch if self.membership is not None else -1
        if broker_epoch < known:
            raise ApiError(Code.STALE_BROKER_EPOCH)

    async def update_metadata(self, said: UpdateMetadata) -> None:
        """Take what clients are told.

        Raises:
            ApiError: theirs; not our controller, or not for this life.
        """
        self._check_sender(said.sender.controller_epoch, said.sender.broker_epoch)
        async with self._changing:
            self.brokers = said.brokers
            for topic in said.topics:
                await self._learn(topic)
            if said.sender.broker_epoch > self._complete_for:
                # The first word to this life names all topics there are.
                self._complete_for = said.sender.broker_epoch
                named = {topic.name for topic in said.topics}
                for known in self._topics.all():
                    if known.name not in named:
                        await self._unlearn(known)
            self._topics.epoch += 1
            self._news.set()
            self._news.clear()

    async def heard_of(self, topic: str, patience_s: float) -> None:
        """Wait until the controller has told of a topic, or for ``patience_s``."""
        try:
            async with asyncio.timeout(patience_s):
                while self._topics.get(topic) is None:
                    await self._news.wait()
        except TimeoutError:
            log.warning("nothing was heard of %s", topic)

    async def _learn(self, told: TopicMetadata) -> None:
        known = self._topics.get(told.name)
        if any(p.leader == DURING_DELETE for p in told.partitions.values()):
            if known is not None and known.id == told.id:
                await self._unlearn(known)
            return
        if known is not None and known.id != told.id:
            await self._unlearn(known)  # removed and made again while we were away
            known = None
        for index, state in told.partitions.items():
            self.partitions[told.name, index] = state
            partition = self.get((told.name, index))
            if partition is not None:
                self.in_sync.take(partition, state)
        settings, count = dict(told.settings), len(told.partitions)
        if (
            known is not None
            and known.partitions == count
            and known.settings == settings
        ):
            return
        topic = self._topics.describe(told.name, count, settings, told.id)
        await self._in_executor(partial(self._topics.register, topic))
        for each in self.all().values():
            if each.topic.name == topic.name:
                await self._replicas.configure(each.key, topic)

    async def _unlearn(self, topic: Topic) -> None:
        for index in range(topic.partitions):
            self.partitions.pop((topic.name, index), None)
        await self._drop([k for k in self._replicas.partitions if k[0] == topic.name])
        await self._in_executor(partial(self._topics.remove, topic))
        self._topic_gone(topic.name)

    async def leader_and_isr(self, said: LeaderAndIsr) -> dict[Key, Code]:
        """Lead and follow; an error code for each partition.

        Raises:
            ApiError: theirs; not our controller, or not for this life.
        """
        self._check_sender(said.sender.controller_epoch, said.sender.broker_epoch)
        async with self._changing:
            return {each.key: await self._become(each) for each in said.replicas}

    async def _become(self, told: Replica) -> Code:
        topic = self._topics.get(told.key[0])
        if topic is None:
            return Code.UNKNOWN_TOPIC_OR_PARTITION
        if topic.id != told.topic_id:
            return Code.INCONSISTENT_TOPIC_ID
        try:
            partition = self.get(told.key)
            if partition is None:
                opened = await self._in_executor(
                    partial(
                        self._logs.open,
                        *told.key[:1],
                        topic.id,
                        told.key[1],
                        topic.config,
                    )
                )
                partition = self._add(topic, told.key[1], opened)
            if told.state.leader_epoch <= partition.leader_epoch:
                return Code.STALE_CONTROLLER_EPOCH
            if partition.log.failure is not None:
                return Code.KAFKA_STORAGE_ERROR
            self._take_role(partition, told.state)
        except (StorageError, OSError) as error:
            log.error("%s-%d: %s", *told.key, error)
            return Code.KAFKA_STORAGE_ERROR
        return Code.NONE

    def _take_role(self, partition: ReplicatedPartition, state: PartitionState) -> None:
        key = partition.key
        self._stop_fetching(key)
        if state.leader == self.me:
            partition.lead(state)
            log.info("%s-%d: leader, epoch %d", *key, state.leader_epoch)
        else:
            partition.follow(state)
            if state.leader >= 0:
                self._fetcher(state.leader).add(partition)
            log.info(
                "%s-%d: follower of %d, epoch %d",
                *key,
                state.leader,
                state.leader_epoch,
            )
        self._replicas.high_watermark_moved(key)  # what waited is told
        self._role_changed(partition)

    def _fetcher(self, leader: int) -> ReplicaFetcher:
        found = self._fetchers.get(leader)
        if found is None:
            found = self._fetchers[leader] = ReplicaFetcher(
                self.config,
                partial(self.address, leader),
                self._replicas.high_watermark_moved,
            )
        return found

    def address(self, broker: int) -> tuple[str, int] | None:
        """Where another broker answers brokers; None while nobody knows."""
        endpoints = self.brokers.get(broker, {})
        return endpoints.get(self.config.inter_broker_listener)

    def _stop_fetching(self, key: Key) -> None:
        for fetcher in self._fetchers.values():
            fetcher.remove(key)

    async def stop_replica(self, said: StopReplica) -> dict[Key, Code]:
        """Stop, and delete where it is said.

        Raises:
            ApiError: theirs; not our controller, or not for this life.
        """
        self._check_sender(said.sender.controller_epoch, said.sender.broker_epoch)
        async with self._changing:
            codes = {}
            for each in said.replicas:
                partition = self.get(each.key)
                codes[each.key] = Code.NONE
                if partition is None:
                    continue
                if 0 <= each.leader_epoch < partition.leader_epoch:
                    codes[each.key] = Code.FENCED_LEADER_EPOCH
                elif each.delete:
                    await self._drop([each.key])
                else:
                    self._stop_fetching(each.key)
                    partition.follow(partition.state._replace(leader=-1))
                    self._replicas.high_watermark_moved(each.key)
                    self._role_changed(partition)
            return codes

    async def _drop(self, keys: list[Key]) -> None:
        """Remove replicas with their logs."""
        for key in keys:
            self._stop_fetching(key)
            self._high_watermarks.pop(key, None)
            partition = self.get(key)
            if partition is not None:
                partition.leads = False
                self._role_changed(partition)
                await self._replicas.remove(key)
        if keys:
            await self._in_executor(partial(self._logs.delete, keys))

    # --- upkeep ---

    async def _checkpoint(self) -> None:
        for each in self.all().values():
            self._high_watermarks[each.key] = each.high_watermark.offset
        known = {k: v for k, v in self._high_watermarks.items() if self.get(k)}
        path = self.config.folder / HIGH_WATERMARKS
        await self._in_executor(partial(checkpoints.write_offsets, path, known))

    async def _every(self, seconds: float, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await job()
            except OSError as error:
                log.error("upkeep of replicas: %s", error)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_executor(self, call: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._executor, call)

    async def close(self) -> None:
        """Copy and propose no more."""
        for fetcher in self._fetchers.values():
            await fetcher.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._checkpoint()
