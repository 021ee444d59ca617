"""Which APIs and versions are served: the one table behind ApiVersions.

The ranges are those of Kafka 4.x for what is here, because kafka-python and aiokafka
infer "the broker's version" from them. ``flexible`` is the first version with compact
types and tagged fields (KIP-482); it also decides the headers: request header v2, and
response header v1 except for ApiVersions, whose response header stays v0 so that a
client that knows nothing yet can read it (KIP-511).
"""

from typing import NamedTuple

PRODUCE = 0
FETCH = 1
LIST_OFFSETS = 2
METADATA = 3
LEADER_AND_ISR = 4
STOP_REPLICA = 5
UPDATE_METADATA = 6
OFFSET_COMMIT = 8
OFFSET_FETCH = 9
FIND_COORDINATOR = 10
JOIN_GROUP = 11
HEARTBEAT = 12
LEAVE_GROUP = 13
SYNC_GROUP = 14
DESCRIBE_GROUPS = 15
LIST_GROUPS = 16
SASL_HANDSHAKE = 17
API_VERSIONS = 18
CREATE_TOPICS = 19
DELETE_TOPICS = 20
DELETE_RECORDS = 21
INIT_PRODUCER_ID = 22
OFFSET_FOR_LEADER_EPOCH = 23
ADD_PARTITIONS_TO_TXN = 24
ADD_OFFSETS_TO_TXN = 25
END_TXN = 26
WRITE_TXN_MARKERS = 27
TXN_OFFSET_COMMIT = 28
DESCRIBE_CONFIGS = 32
ALTER_CONFIGS = 33
DESCRIBE_LOG_DIRS = 35
SASL_AUTHENTICATE = 36
CREATE_PARTITIONS = 37
DELETE_GROUPS = 42
ELECT_LEADERS = 43
INCREMENTAL_ALTER_CONFIGS = 44
LIST_PARTITION_REASSIGNMENTS = 46
OFFSET_DELETE = 47
ALTER_PARTITION = 56
DESCRIBE_CLUSTER = 60
BROKER_REGISTRATION = 62
BROKER_HEARTBEAT = 63
ALLOCATE_PRODUCER_IDS = 67
DESCRIBE_PRODUCERS = 61
DESCRIBE_TRANSACTIONS = 65
LIST_TRANSACTIONS = 66


class Api(NamedTuple):
    """One API: its name in metrics, the versions served, the first flexible one."""

    name: str
    lowest: int
    highest: int
    flexible: int


APIS: dict[int, Api] = {
    PRODUCE: Api("Produce", 3, 12, 9),
    FETCH: Api("Fetch", 4, 18, 12),
    LIST_OFFSETS: Api("ListOffsets", 1, 11, 6),
    METADATA: Api("Metadata", 0, 13, 9),
    OFFSET_COMMIT: Api("OffsetCommit", 2, 9, 8),
    OFFSET_FETCH: Api("OffsetFetch", 1, 9, 6),
    FIND_COORDINATOR: Api("FindCoordinator", 0, 6, 3),
    JOIN_GROUP: Api("JoinGroup", 0, 9, 6),
    HEARTBEAT: Api("Heartbeat", 0, 4, 4),
    LEAVE_GROUP: Api("LeaveGroup", 0, 5, 4),
    SYNC_GROUP: Api("SyncGroup", 0, 5, 4),
    DESCRIBE_GROUPS: Api("DescribeGroups", 0, 6, 5),
    LIST_GROUPS: Api("ListGroups", 0, 5, 3),
    SASL_HANDSHAKE: Api("SaslHandshake", 0, 1, 99),
    API_VERSIONS: Api("ApiVersions", 0, 4, 3),
    CREATE_TOPICS: Api("CreateTopics", 2, 7, 5),
    DELETE_TOPICS: Api("DeleteTopics", 1, 6, 4),
    DELETE_RECORDS: Api("DeleteRecords", 0, 2, 2),
    INIT_PRODUCER_ID: Api("InitProducerId", 0, 5, 2),
    OFFSET_FOR_LEADER_EPOCH: Api("OffsetForLeaderEpoch", 2, 4, 4),
    ADD_PARTITIONS_TO_TXN: Api("AddPartitionsToTxn", 0, 4, 3),
    ADD_OFFSETS_TO_TXN: Api("AddOffsetsToTxn", 0, 4, 3),
    END_TXN: Api("EndTxn", 0, 4, 3),
    TXN_OFFSET_COMMIT: Api("TxnOffsetCommit", 0, 4, 3),
    DESCRIBE_CONFIGS: Api("DescribeConfigs", 1, 4, 4),
    ALTER_CONFIGS: Api("AlterConfigs", 0, 2, 2),
    DESCRIBE_LOG_DIRS: Api("DescribeLogDirs", 1, 4, 2),
    SASL_AUTHENTICATE: Api("SaslAuthenticate", 0, 2, 2),
    CREATE_PARTITIONS: Api("CreatePartitions", 0, 3, 2),
    DELETE_GROUPS: Api("DeleteGroups", 0, 2, 2),
    ELECT_LEADERS: Api("ElectLeaders", 0, 2, 2),
    INCREMENTAL_ALTER_CONFIGS: Api("IncrementalAlterConfigs", 0, 1, 1),
    LIST_PARTITION_REASSIGNMENTS: Api("ListPartitionReassignments", 0, 0, 0),
    OFFSET_DELETE: Api("OffsetDelete", 0, 0, 99),
    DESCRIBE_CLUSTER: Api("DescribeCluster", 0, 2, 0),
    DESCRIBE_PRODUCERS: Api("DescribeProducers", 0, 0, 0),
    DESCRIBE_TRANSACTIONS: Api("DescribeTransactions", 0, 0, 0),
    LIST_TRANSACTIONS: Api("ListTransactions", 0, 1, 0),
}

BETWEEN_BROKERS: dict[int, Api] = {
    LEADER_AND_ISR: Api("LeaderAndIsr", 6, 6, 4),
    STOP_REPLICA: Api("StopReplica", 3, 3, 2),
    UPDATE_METADATA: Api("UpdateMetadata", 7, 7, 6),
    WRITE_TXN_MARKERS: Api("WriteTxnMarkers", 1, 1, 1),
    ALTER_PARTITION: Api("AlterPartition", 2, 2, 0),
    BROKER_REGISTRATION: Api("BrokerRegistration", 0, 0, 0),
    BROKER_HEARTBEAT: Api("BrokerHeartbeat", 0, 0, 0),
    ALLOCATE_PRODUCER_IDS: Api("AllocateProducerIds", 0, 0, 0),
}
"""Between the brokers of a cluster, on their own listeners, nowhere else.
kio has no schemas of the first three; they are made by hand (``replication.messages``)."""

KNOWN = APIS | BETWEEN_BROKERS
ALL = frozenset(APIS)
INTER_BROKER = frozenset({WRITE_TXN_MARKERS})
"""Served on ``inter.broker.listener.name``, beside what clients may ask."""
CLUSTER = frozenset(BETWEEN_BROKERS) - INTER_BROKER
"""Between controller and brokers: on the control listener."""
ASKS_OTHERS = frozenset(
    {
        PRODUCE,
        FIND_COORDINATOR,
        INIT_PRODUCER_ID,
        ADD_PARTITIONS_TO_TXN,
        ADD_OFFSETS_TO_TXN,
        END_TXN,
        TXN_OFFSET_COMMIT,
    }
)
"""May wait for other brokers of a cluster, which then ask this one for something."""

CONTROL = frozenset(
    {
        METADATA,
        SASL_HANDSHAKE,
        API_VERSIONS,
        CREATE_TOPICS,
        DELETE_TOPICS,
        CREATE_PARTITIONS,
        DESCRIBE_CONFIGS,
        ALTER_CONFIGS,
        INCREMENTAL_ALTER_CONFIGS,
        ELECT_LEADERS,
        SASL_AUTHENTICATE,
        DESCRIBE_CLUSTER,
        DESCRIBE_LOG_DIRS,
        DESCRIBE_PRODUCERS,
        DESCRIBE_TRANSACTIONS,
        LIST_PARTITION_REASSIGNMENTS,
        LIST_TRANSACTIONS,
        FIND_COORDINATOR,
        LIST_GROUPS,
        DESCRIBE_GROUPS,
        DELETE_GROUPS,
    }
)
"""What the control listener serves: short calls of admins, and questions about health.
Data would make it as slow as the listener that it is there to be faster than."""

ADVERTISED_LOWEST = {PRODUCE: 0}
"""Advertised lower than served: librdkafka before 2.11.1 turns compression off when
Produce v0 is missing, though it never sends it (KAFKA-18659)."""
ADVERTISED_HIGHEST = {ADD_PARTITIONS_TO_TXN: 3}
"""Advertised lower than served: the next version is for brokers."""
