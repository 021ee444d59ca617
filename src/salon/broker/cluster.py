"""A broker among others: the parts that only a cluster has, put together.

For study and tests: several brokers on one machine, one of which hosts the controller.
They copy each other's partitions, so that the death of one loses nothing; they share one
disk and one power cord, so Apache Kafka is the engine beyond one machine.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from salon.broker.admin import Admin
from salon.broker.channel import Request
from salon.broker.config import BrokerConfig
from salon.broker.controller import controller as controllers
from salon.broker.controller.controller import Controller
from salon.broker.errors import ApiError, Code
from salon.broker.metrics import Metrics
from salon.broker.nodes import NOWHERE, Asked
from salon.broker.partition import Key
from salon.broker.protocol import cold, versions
from salon.broker.protocol.metadata import BrokerEndpoint, PartitionMetadata
from salon.broker.replication.manager import Replication
from salon.broker.replication.membership import Membership
from salon.broker.replication.messages import Endpoints
from salon.broker.replication.partition import NO_LEADER
from salon.broker.replication.peer import PeerAway
from salon.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topic, Topics

FORWARDED = frozenset(
    {
        versions.CREATE_TOPICS,
        versions.DELETE_TOPICS,
        versions.CREATE_PARTITIONS,
        versions.ALTER_CONFIGS,
        versions.INCREMENTAL_ALTER_CONFIGS,
        versions.ELECT_LEADERS,
    }
)
"""What only the controller can do."""
_HEARD_S = 5.0
"""How long a topic that was made may take to be known here."""
_CREATE_VERSION = 7


class Cluster:
    """This broker's side of the cluster; its controller, if it is here.

    Args:
        config: of this broker, with a controller.
        topics: its registry.
        executor: where the disk is waited for.
        metrics: of this broker.
        replication: its partitions, and what it knows of the others.
    """

    def __init__(
        self,
        config: BrokerConfig,
        topics: Topics,
        executor: Executor,
        metrics: Metrics,
        replication: Replication,
    ) -> None:
        assert config.controller is not None
        self._config = config
        self._topics = topics
        self._executor = executor
        self.controller_id, host, port = config.controller
        self._controller_address = (host, port)
        self.controller: Controller | None = None
        self._producer_ids = range(0)
        self._allocating = asyncio.Lock()
        self.replication = replication
        metrics.gauge("ActiveControllerCount", lambda: int(self.controller is not None))
        metrics.gauge(
            "OfflinePartitionsCount",
            lambda: self.controller.offline_partitions if self.controller else 0,
        )

    def start(self, cluster_id: str, endpoints: Endpoints) -> None:
        """Join, now that the ports are bound.

        Args:
            cluster_id: as this broker's folder has it.
            endpoints: of this broker, by listener.
        """
        if self.controller_id == self._config.broker_id:
            control = self._config.control_plane_listener_name.upper()
            self._controller_address = endpoints[control]
            self.controller = Controller(self._config, self._topics, self._executor)
        self.membership = Membership(
            self._config, cluster_id, lambda: self._controller_address, endpoints
        )
        self.replication.membership = self.membership
        self.membership.start()

    async def leave(self) -> None:
        """Hand over what is led here; the others know of it when this returns."""
        await self.membership.leave()
        if self.controller is not None:
            await self.controller.settled()

    async def close(self) -> None:
        await self.replication.close()
        if self.controller is not None:
            await self.controller.close()

    async def new_producer_id(self) -> int:
        """A producer id that no broker of the cluster has given out.

        Raises:
            ApiError: ours; the controller does not answer.
        """
        async with self._allocating:
            if not self._producer_ids:
                try:
                    self._producer_ids = await self.membership.producer_ids()
                except PeerAway as away:
                    raise ApiError(Code.COORDINATOR_NOT_AVAILABLE) from away
            first, self._producer_ids = self._producer_ids[0], self._producer_ids[1:]
            return first

    def forwards(self, request: Request) -> bool:
        """Whether the controller, which is elsewhere, has to answer."""
        return self.controller is None and request.header.api_key in FORWARDED

    # --- Nodes ---

    def brokers(self, asked: Asked) -> list[BrokerEndpoint]:
        known = self.replication.brokers
        if not known:  # the controller has not spoken yet
            return [BrokerEndpoint(self._config.broker_id, *asked.told)]
        return [
            BrokerEndpoint(broker, *endpoints[asked.listener])
            for broker, endpoints in known.items()
            if asked.listener in endpoints
        ]

    def partition(self, topic: Topic, index: int) -> PartitionMetadata:
        known = self.replication.partitions.get((topic.name, index))
        if known is None:
            return PartitionMetadata(
                Code.LEADER_NOT_AVAILABLE, index, NO_LEADER, -1, (), ()
            )
        alive = self.replication.brokers
        leads = known.leader in alive
        return PartitionMetadata(
            Code.NONE if leads else Code.LEADER_NOT_AVAILABLE,
            index,
            known.leader if leads else NO_LEADER,
            known.leader_epoch,
            known.replicas,
            known.isr,
            tuple(r for r in known.replicas if r not in alive),
        )

    def leader_of(self, topic: str, index: int, asked: Asked) -> BrokerEndpoint | None:
        known = self.replication.partitions.get((topic, index))
        if known is None:
            return None
        by_id = {each.node_id: each for each in self.brokers(asked)}
        return by_id.get(known.leader)

    def leader_id(self, topic: str, index: int) -> int | None:
        known = self.replication.partitions.get((topic, index))
        if known is None:
            return None
        return known.leader if known.leader in self.replication.brokers else NOWHERE


class ClusterAdmin(Admin):
    """Topics are made by the controller; this broker asks it, or is it."""

    cluster: Cluster

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
        made = await self._controller.create(
            name,
            partitions,
            replication_factor,
            settings or {},
            assignment,
            validate_only=validate_only,
        )
        return self._topics.describe(name, partitions, made.settings, made.id)

    async def ensure(
        self, name: str, partitions: int, settings: Mapping[str, str] | None = None
    ) -> Topic:
        if self._topics.get(name) is None:
            await self._ask_for(name, partitions, settings or {})
        known = self._topics.get(name)
        if known is None:
            raise ApiError(Code.LEADER_NOT_AVAILABLE, f"{name!r} is being made")
        return known

    async def _ask_for(
        self, name: str, partitions: int, settings: Mapping[str, str]
    ) -> None:
        """Have a topic made, and wait until it is known here.

        Raises:
            ApiError: theirs; its name. Ours; the controller does not answer.
        """
        schema = cold.module(versions.CREATE_TOPICS, _CREATE_VERSION, "request")
        topic = cold.make(
            schema.CreatableTopic,
            name=name,
            num_partitions=partitions,
            replication_factor=self._factor(name),
            assignments=(),
            configs=[
                cold.make(schema.CreatableTopicConfig, name=n, value=value)
                for n, value in settings.items()
            ],
        )
        body = cold.encode(
            cold.make(
                schema.CreateTopicsRequest,
                topics=[topic],
                timeout=cold.ZERO,
                validate_only=False,
            )
        )
        key = versions.CREATE_TOPICS
        try:
            answer = await self.cluster.membership.ask_admin(key, _CREATE_VERSION, body)
        except PeerAway as away:
            raise ApiError(Code.LEADER_NOT_AVAILABLE) from away
        code = cold.decode_answer(key, _CREATE_VERSION, answer).topics[0].error_code
        if code == Code.INVALID_REPLICATION_FACTOR:
            raise ApiError(Code.LEADER_NOT_AVAILABLE)  # one has just died: ask again
        if code not in (Code.NONE, Code.TOPIC_ALREADY_EXISTS):
            raise ApiError(Code(code))
        await self.cluster.replication.heard_of(name, _HEARD_S)

    def _factor(self, name: str) -> int:
        """As it is set, however few live now.

        With fewer copies than ``min.insync.replicas`` it would take no records for ever.
        """
        config = self.cluster.replication.config
        if name == OFFSETS_TOPIC:
            return config.offsets_topic_replication_factor
        if name == TRANSACTIONS_TOPIC:
            return config.transaction_state_log_replication_factor
        return config.default_replication_factor

    async def add_partitions(
        self, name: str, count: int, *, validate_only: bool = False
    ) -> None:
        await self._controller.add_partitions(name, count, validate_only=validate_only)

    async def configure(
        self,
        name: str,
        change: Callable[[Mapping[str, str]], Mapping[str, str]],
        *,
        validate_only: bool = False,
    ) -> None:
        await self._controller.configure(name, change, validate_only=validate_only)

    async def delete(self, name: str) -> None:
        topic = self._existing(name)
        if topic.internal:
            raise ApiError(Code.INVALID_TOPIC_EXCEPTION, f"topic {name!r} is internal")
        await self._controller.delete(name)

    async def elect(
        self, keys: Sequence[Key] | None, *, unclean: bool
    ) -> dict[Key, Code]:
        return await self._controller.elect_leaders(keys, unclean=unclean)

    @property
    def _controller(self) -> Controller:
        """The controller, which is here: admins' requests are forwarded to it.

        Raises:
            ApiError: theirs; NOT_CONTROLLER.
        """
        if self.cluster.controller is None:
            raise ApiError(Code.NOT_CONTROLLER)
        return self.cluster.controller


def describe(cluster: Cluster) -> dict[str, Any]:
    """For ``/status``: what each partition here is, and the controller if it is here."""
    replication = cluster.replication
    controller = cluster.controller
    return {
        "broker": replication.me,
        "brokers": sorted(replication.brokers),
        "controller": cluster.controller_id,
        "state": None if controller is None else controllers.describe(controller),
        "partitions": {
            f"{topic}-{index}": {
                "leads": each.leads,
                "leader": each.state.leader,
                "epoch": each.leader_epoch,
                "isr": sorted(each.state.isr),
                "replicas": list(each.state.replicas),
                "end": each.log.end.offset,
                "high_watermark": each.high_watermark.offset,
            }
            for (topic, index), each in sorted(replication.all().items())
        },
    }
