"""What the controller tells: clients' knowledge to all, roles to the replicas.

(``ControllerBrokerRequestBatch``.) UpdateMetadata goes out before LeaderAndIsr: a follower
needs to know where its leader is. Every broker has a channel, where one request is out at
a time and in order.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from salon.broker.config import BrokerConfig
from salon.broker.controller.channel import ControllerChannel
from salon.broker.controller.state import ClusterState, TopicState
from salon.broker.partition import Key
from salon.broker.protocol import versions
from salon.broker.replication import messages
from salon.broker.replication.messages import Endpoints, From
from salon.broker.replication.partition import DURING_DELETE

log = logging.getLogger(__name__)

_SETTLE_S = 5.0
"""How long an admin's request waits for all brokers to have heard of it."""


@dataclass
class Life:
    """A broker that lives."""

    epoch: int
    endpoints: Endpoints
    heard: float
    channel: ControllerChannel


class Announcer:
    """Speaks for the controller.

    Args:
        config: of the broker that hosts it.
        state: what has been decided.
        lives: the brokers that live.
    """

    def __init__(
        self, config: BrokerConfig, state: ClusterState, lives: Mapping[int, Life]
    ) -> None:
        self._config = config
        self._state = state
        self._lives = lives

    async def settled(self) -> None:
        """Wait until every broker that lives has done what it was told."""
        waits = [life.channel.settled() for life in self._lives.values()]
        try:
            async with asyncio.timeout(_SETTLE_S):
                await asyncio.gather(*waits)
        except TimeoutError:
            log.warning("a broker takes its time to hear of a change")

    def announce(self, name: str, first: int) -> None:
        """A topic is new, from partition ``first`` on."""
        self.tell_all_about([name])
        count = len(self._state.topics[name].partitions)
        self.command([(name, index) for index in range(first, count)], new=True)

    def tell_all_about(self, names: Iterable[str]) -> None:
        """UpdateMetadata to all brokers: who lives, and where topics are led."""
        topics = [
            messages.TopicMetadata(
                topic.name, topic.id, topic.settings, dict(enumerate(topic.partitions))
            )
            for name in names
            if (topic := self._state.topics.get(name)) is not None
        ]
        for life in self._lives.values():
            self._update(life, topics)

    def _update(self, life: Life, topics: list[messages.TopicMetadata]) -> None:
        brokers = {broker: each.endpoints for broker, each in self._lives.items()}
        said = messages.UpdateMetadata(self._sender(life), topics, brokers)
        life.channel.send(
            versions.UPDATE_METADATA,
            messages.UPDATE_METADATA_VERSION,
            messages.encode_update_metadata(said),
        )

    def command(
        self,
        keys: Iterable[Key],
        *,
        only: int | None = None,
        but: int | None = None,
        new: bool = False,
    ) -> None:
        """LeaderAndIsr to the replicas of ``keys``."""
        keys = list(keys)
        inter = self._config.inter_broker_listener
        live = {b: life.endpoints[inter] for b, life in self._lives.items()}
        for broker, life in self._lives.items():
            if only not in (None, broker) or but == broker:
                continue
            replicas = [
                messages.Replica(
                    key, self._state.topics[key[0]].id, self._state.at(key), new
                )
                for key in keys
                if broker in self._state.at(key).replicas
            ]
            if replicas:
                said = messages.LeaderAndIsr(self._sender(life), replicas, live)
                life.channel.send(
                    versions.LEADER_AND_ISR,
                    messages.LEADER_AND_ISR_VERSION,
                    messages.encode_leader_and_isr(said),
                )

    def gone(self, topic: TopicState) -> None:
        """A topic is no more: its replicas stop and delete."""
        gone = {
            index: p._replace(leader=DURING_DELETE)
            for index, p in enumerate(topic.partitions)
        }
        told = messages.TopicMetadata(topic.name, topic.id, topic.settings, gone)
        for broker, life in self._lives.items():
            self._stop(broker, life, topic)
            self._update(life, [told])

    def _stop(self, broker: int, life: Life, topic: TopicState) -> None:
        doomed = [
            messages.Stopped((topic.name, index), DURING_DELETE, delete=True)
            for index, p in enumerate(topic.partitions)
            if broker in p.replicas
        ]
        if doomed:
            said = messages.StopReplica(self._sender(life), doomed)
            life.channel.send(
                versions.STOP_REPLICA,
                messages.STOP_REPLICA_VERSION,
                messages.encode_stop_replica(said),
            )

    def _sender(self, life: Life) -> From:
        return From(self._config.broker_id, self._state.controller_epoch, life.epoch)
