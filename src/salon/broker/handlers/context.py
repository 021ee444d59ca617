"""What the handlers share: the parts of one broker."""

from dataclasses import dataclass

from salon.broker.admin import Admin
from salon.broker.cluster import Cluster
from salon.broker.config import BrokerConfig
from salon.broker.groups.coordinator import GroupCoordinator
from salon.broker.metrics import Metrics
from salon.broker.nodes import Nodes
from salon.broker.replicas import ReplicaManager
from salon.broker.topics import Topics
from salon.broker.transactions.coordinator import TransactionCoordinator
from salon.broker.transactions.markers import MarkerWriter
from salon.broker.transactions.verification import Verifier


@dataclass
class Context:
    """Parts of the broker; ``cluster`` is None where it is alone."""

    config: BrokerConfig
    cluster_id: str
    topics: Topics
    admin: Admin
    replicas: ReplicaManager
    groups: GroupCoordinator
    transactions: TransactionCoordinator
    verifier: Verifier
    markers: MarkerWriter
    metrics: Metrics
    nodes: Nodes
    cluster: Cluster | None = None
