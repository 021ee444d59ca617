"""Who is where, as clients are told: the one broker, or the cluster.

(``MetadataCache``.) Clients are told addresses of the listener that they used.
"""

from typing import NamedTuple, Protocol

from salon.broker.errors import Code
from salon.broker.protocol.metadata import BrokerEndpoint, PartitionMetadata
from salon.broker.replicas import ReplicaManager
from salon.broker.topics import Topic

NOWHERE = -1
"""Leader of a partition that no broker leads now."""


class Asked(NamedTuple):
    """Where a client asks: the listener, and this broker's address on it."""

    listener: str
    told: tuple[str, int]


class Nodes(Protocol):
    """The brokers, and what they lead."""

    @property
    def controller_id(self) -> int: ...

    def brokers(self, asked: Asked) -> list[BrokerEndpoint]:
        """All that live."""
        ...

    def partition(self, topic: Topic, index: int) -> PartitionMetadata:
        """Who leads it, and who has it."""
        ...

    def leader_of(self, topic: str, index: int, asked: Asked) -> BrokerEndpoint | None:
        """Where a partition is led: the coordinator's place. None: nowhere now."""
        ...

    def leader_id(self, topic: str, index: int) -> int | None:
        """Which broker leads a partition, or ``NOWHERE``; None: there is no such."""
        ...


class OneBroker:
    """This broker leads everything.

    Args:
        broker_id: its number.
        replicas: its partitions.
    """

    def __init__(self, broker_id: int, replicas: ReplicaManager) -> None:
        self._id = broker_id
        self._replicas = replicas

    @property
    def controller_id(self) -> int:
        return self._id

    def brokers(self, asked: Asked) -> list[BrokerEndpoint]:
        return [BrokerEndpoint(self._id, *asked.told)]

    def partition(self, topic: Topic, index: int) -> PartitionMetadata:
        epoch = self._replicas.partitions[topic.name, index].leader_epoch
        me = (self._id,)
        return PartitionMetadata(Code.NONE, index, self._id, epoch, me, me)

    def leader_of(self, topic: str, index: int, asked: Asked) -> BrokerEndpoint | None:
        return BrokerEndpoint(self._id, *asked.told)

    def leader_id(self, topic: str, index: int) -> int | None:
        return self._id if (topic, index) in self._replicas.partitions else None
