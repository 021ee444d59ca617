"""The broker: its parts, put together, started and stopped.

``Broker.open`` runs one on the current loop (tests, studies); ``salon broker`` runs one
as a process. The order of a start is Kafka's: lock the folder, open the logs, bind the
port, and only then serve. The order of a stop: accept nothing, finish what is being
handled, flush, checkpoint, note that it was clean.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

from salon.broker import cluster, prometheus
from salon.broker.admin import Admin
from salon.broker.channel import Request
from salon.broker.cluster import Cluster, ClusterAdmin
from salon.broker.config import BrokerConfig
from salon.broker.errors import StorageError
from salon.broker.groups.coordinator import GroupCoordinator
from salon.broker.groups.offsets import Offsets
from salon.broker.handlers.context import Context
from salon.broker.handlers.table import Apis
from salon.broker.http_endpoint import Answer, HttpEndpoint, as_json
from salon.broker.log.folder import DataFolder
from salon.broker.log.manager import LogManager
from salon.broker.loop_timer import LoopTimer
from salon.broker.metrics import Metrics
from salon.broker.nodes import Nodes, OneBroker
from salon.broker.partition import Partition
from salon.broker.protocol import cold
from salon.broker.purgatory import Purgatory
from salon.broker.replicas import ReplicaManager
from salon.broker.replication.manager import Replication
from salon.broker.replication.partition import ReplicatedPartition
from salon.broker.socket_server import SocketServer
from salon.broker.status import pipeline
from salon.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topics
from salon.broker.transactions.coordinator import TransactionCoordinator
from salon.broker.transactions.markers import MarkerWriter, TransactionMarkers
from salon.broker.transactions.state_log import TransactionLog
from salon.broker.transactions.verification import Verifier
from salon.clock import Clock, SystemClock

log = logging.getLogger(__name__)

STATUS_ADDRESS = "status-address"
"""File in the data folder: where ``/status`` is."""
_WARM_AFTER_S = 0.1
"""kio's schemas are loaded when the first clients have had their Metadata."""
_WARM_PAUSE_S = 0.005
_CLOSE_GRACE_S = 1.0


class Broker:
    """One broker. Make it with ``start`` or ``open``.

    Args:
        config: its settings.
        clock: wall time, for records that the broker writes and for retention.
    """

    def __init__(self, config: BrokerConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.metrics = Metrics()
        self._clock = clock or SystemClock()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: BrokerConfig, clock: Clock | None = None
    ) -> AsyncIterator[Self]:
        """A running broker on this loop, stopped cleanly at the end."""
        broker = cls(config, clock)
        await broker.start()
        try:
            yield broker
        finally:
            await broker.close()

    async def start(self) -> None:
        """Recover the logs, open the port, serve.

        Raises:
            StartupError: theirs; the folder or the address cannot be had.
        """
        config = self.config
        loop = asyncio.get_running_loop()
        self._folder = DataFolder(config.folder, config.broker_id, config.cluster_id)
        try:
            self._assemble(loop)
            self._listen()
            await self._serve_pages()
        except BaseException:
            self._folder.unlock()
            raise
        every = config.log_flush_offset_checkpoint_interval_ms / 1000
        self._tasks = [
            loop.create_task(self._repeat(every, self._checkpoint)),
            loop.create_task(
                self._repeat(
                    config.log_retention_check_interval_ms / 1000, self._retain
                )
            ),
            loop.create_task(self._warm()),
        ]

    def _assemble(self, loop: asyncio.AbstractEventLoop) -> None:
        config, metrics = self.config, self.metrics
        self._executor = ThreadPoolExecutor(config.num_io_threads, "salon-broker-io")
        self._timer = LoopTimer(loop)
        now_ms = self._timer.now_ms
        self.purgatories = {
            name: Purgatory(name, self._timer, now_ms)
            for name in ("Produce", "Fetch", "Rebalance")
        }
        for name, purgatory in self.purgatories.items():
            tag = f"delayedOperation={name}"
            metrics.gauge(f"PurgatorySize,{tag}", partial(getattr, purgatory, "size"))
            metrics.gauge(
                f"NumDelayedOperations,{tag}", partial(getattr, purgatory, "delayed")
            )
        self.replicas = ReplicaManager(
            self.purgatories["Produce"],
            self.purgatories["Fetch"],
            self._executor,
            metrics,
        )
        self.topics = Topics(config.folder, config.topic_defaults)
        self.cluster: Cluster | None = None
        self._open_logs()
        offsets_topic = self.topics.get(OFFSETS_TOPIC)
        offsets = Offsets(
            self.replicas,
            offsets_topic.partitions
            if offsets_topic is not None
            else config.offsets_topic_num_partitions,
            self._clock,
        )
        self.groups = GroupCoordinator(
            config,
            offsets,
            self.purgatories["Rebalance"],
            self._timer,
            now_ms,
            self._clock,
        )
        self.groups.offsets.alone = self.cluster is None
        self.groups.load()
        self._assemble_transactions(offsets)

    def _assemble_transactions(self, offsets: Offsets) -> None:
        config, nodes, address = self.config, self._nodes, self._address
        self._markers = MarkerWriter(self.replicas, offsets, self._clock)
        self.transactions = TransactionCoordinator(
            config,
            TransactionLog(config, self.topics, self.replicas, self._clock),
            TransactionMarkers(config.broker_id, nodes, self._markers, address),
            self._timer,
            self._timer.now_ms,
            self._clock,
            self._new_producer_id,
        )
        self._verifier = Verifier(config.broker_id, nodes, self.transactions, address)

    @property
    def _nodes(self) -> Nodes:
        return self.cluster or OneBroker(self.config.broker_id, self.replicas)

    def _address(self, broker: int) -> tuple[str, int] | None:
        return (
            None if self.cluster is None else self.cluster.replication.address(broker)
        )

    async def _new_producer_id(self) -> int:
        if self.cluster is not None:
            return await self.cluster.new_producer_id()
        loop = asyncio.get_running_loop()
        new = self.topics.new_producer_id
        return await loop.run_in_executor(self._executor, new)

    def _open_logs(self) -> None:
        config = self.config
        clean = self._folder.take_clean_mark()
        self._logs = LogManager(
            config.folder, clean=clean, cache_bytes=config.log_read_cache_bytes
        )
        if config.controller is not None:
            replication = Replication(
                config,
                self.topics,
                self._logs,
                self.replicas,
                self._executor,
                self.metrics,
                self._role_changed,
                self._topic_gone,
            )
            replication.open_known()
            self.cluster = Cluster(
                config, self.topics, self._executor, self.metrics, replication
            )
            return
        for topic in self.topics.all():
            for index in range(topic.partitions):
                opened = self._logs.open(topic.name, topic.id, index, topic.config)
                self.replicas.add(topic, index, opened)

    def _listen(self) -> None:
        parts = self.topics, self._logs, self.replicas, self._executor
        self.admin = Admin(*parts, self.config.broker_id)
        if self.cluster is not None:
            self.admin = ClusterAdmin(*parts, self.config.broker_id)
            self.admin.cluster = self.cluster
        self._apis = Apis(
            Context(
                self.config,
                self._folder.cluster_id,
                self.topics,
                self.admin,
                self.replicas,
                self.groups,
                self.transactions,
                self._verifier,
                self._markers,
                self.metrics,
                self._nodes,
                self.cluster,
            )
        )
        self.network = SocketServer(self.config, self._handle, self.metrics)
        self.host, self.port = self.network.main.host, self.network.main.port
        if self.cluster is None:
            kept = [i for t, i in self.replicas.partitions if t == TRANSACTIONS_TOPIC]
            self.transactions.recover(kept)
        self.network.start()
        if self.cluster is not None:
            told = self.network.told
            self.cluster.start(self._folder.cluster_id, told)

    def _role_changed(self, partition: ReplicatedPartition) -> None:
        """Coordinators live where the partition is led that keeps what they know."""
        coordinators: dict[str, GroupCoordinator | TransactionCoordinator] = {
            OFFSETS_TOPIC: self.groups,
            TRANSACTIONS_TOPIC: self.transactions,
        }
        coordinator = coordinators.get(partition.topic.name)
        if coordinator is not None and partition.leads:
            coordinator.take_over(partition.index)
        elif coordinator is not None:
            coordinator.resign(partition.index)

    def _topic_gone(self, name: str) -> None:
        self.groups.offsets.forget_topic(name)

    async def _serve_pages(self) -> None:
        """/metrics, /health and /status, and a file that says where."""
        self.http = HttpEndpoint(
            {"/metrics": self._metrics_page, "/health": self._health_page}
            | {"/status": lambda: as_json(self.status())}
        )
        address = self.config.metrics_address
        if address is not None:
            await self.http.start(*address)
            text = f"{self.http.host}:{self.http.port}\n"
            (self.config.folder / STATUS_ADDRESS).write_text(text)

    def status(self) -> dict[str, Any]:
        """The pipeline at this moment, and the cluster if there is one."""
        now = pipeline(self.network, self.purgatories, self.replicas, self.metrics)
        if self.cluster is not None:
            now["cluster"] = cluster.describe(self.cluster)
        return now

    def _metrics_page(self) -> Answer:
        return 200, "text/plain; version=0.0.4", prometheus.text(self.metrics)

    def _health_page(self) -> Answer:
        """Well, or which partitions take no more records."""
        offline = self.status()["offline"]
        return as_json(
            {"healthy": not offline, "offline": offline}, 503 if offline else 200
        )

    @property
    def cluster_id(self) -> str:
        """As clients are told, and as it is in the data folder."""
        return self._folder.cluster_id

    @property
    def ports(self) -> dict[str, int]:
        """Bound port of every listener, by name."""
        return {name: each.port for name, each in self.network.acceptors.items()}

    def _handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        return self._apis.handle(request)

    # --- upkeep ---

    async def _repeat(self, seconds: float, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await job()
            except Exception:
                log.exception("upkeep failed; it is tried again")

    async def _checkpoint(self) -> None:
        """Flush everything, then note how far it is flushed."""
        await self.replicas.flush_all()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._logs.checkpoint)

    async def _retain(self) -> None:
        now = self._clock.now_ms()
        for partition in list(self.replicas.partitions.values()):
            partition.log.producers.expire(now - self.config.producer_id_expiration_ms)
            if partition.topic.name != OFFSETS_TOPIC:
                try:
                    await self._keep_up(partition, now)
                except StorageError as error:
                    log.error("upkeep: %s", error)
        self.groups.compact()
        await self.transactions.expire()

    async def _keep_up(self, partition: Partition, now_ms: int) -> None:
        """Close, delete and compact segments as the topic's settings say."""
        kept = partition.log
        kept.roll_if_old(now_ms)
        if "delete" in kept.config.cleanup_policy:
            kept.delete_old(now_ms)
        if "compact" in kept.config.cleanup_policy:
            await self.replicas.clean(partition, now_ms)

    async def _warm(self) -> None:
        await asyncio.sleep(_WARM_AFTER_S)
        for _ in cold.warm_steps():
            await asyncio.sleep(_WARM_PAUSE_S)

    # --- ending ---

    async def close(self) -> None:
        """Stop cleanly; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await self.http.close()
        if self.cluster is not None:
            await self.cluster.leave()
        await self.network.stop_handling()
        if self.cluster is not None:
            await self.cluster.close()
        await self.transactions.close()
        self._verifier.close()
        await self.replicas.flush_all()
        await asyncio.sleep(0)  # acknowledgements that the last flush made possible
        for purgatory in self.purgatories.values():
            purgatory.close()
        self._timer.close()
        await self.network.close(_CLOSE_GRACE_S)
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._close_files)
        self._executor.shutdown()

    def _close_files(self) -> None:
        sound = self._logs.all_sound
        self._logs.checkpoint()
        self._logs.close()
        if sound:
            self._folder.mark_clean()
        self._folder.unlock()
