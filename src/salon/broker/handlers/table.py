"""From API key to what is done: the dispatch is the documentation.

(``KafkaApis.handle``.) A handler answers through ``request.respond`` once, at once or
later; one that has to wait for the disk is a coroutine.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from salon.broker.channel import Request
from salon.broker.handlers import (
    alter,
    api_versions,
    cluster,
    commits,
    coordinators,
    describe,
    elections,
    fetch,
    groups,
    inspect,
    offsets,
    produce,
    producers,
    sasl,
    topics,
    transactions,
    txn_markers,
)
from salon.broker.handlers.context import Context
from salon.broker.handlers.metadata import Metadata
from salon.broker.protocol import versions

Handler = Callable[[Context, Request], Coroutine[Any, Any, None] | None]

HANDLERS: dict[int, Handler] = {
    versions.PRODUCE: produce.handle,
    versions.FETCH: fetch.handle,
    versions.LIST_OFFSETS: offsets.list_offsets,
    versions.OFFSET_COMMIT: commits.offset_commit,
    versions.OFFSET_FETCH: commits.offset_fetch,
    versions.FIND_COORDINATOR: coordinators.find_coordinator,
    versions.JOIN_GROUP: groups.join_group,
    versions.HEARTBEAT: groups.heartbeat,
    versions.LEAVE_GROUP: groups.leave_group,
    versions.SYNC_GROUP: groups.sync_group,
    versions.DESCRIBE_GROUPS: groups.describe_groups,
    versions.LIST_GROUPS: groups.list_groups,
    versions.SASL_HANDSHAKE: sasl.not_now,
    versions.SASL_AUTHENTICATE: sasl.not_now,
    versions.API_VERSIONS: api_versions.handle,
    versions.CREATE_TOPICS: topics.create_topics,
    versions.DELETE_TOPICS: topics.delete_topics,
    versions.INIT_PRODUCER_ID: producers.init_producer_id,
    versions.OFFSET_FOR_LEADER_EPOCH: offsets.offset_for_leader_epoch,
    versions.ADD_PARTITIONS_TO_TXN: transactions.add_partitions,
    versions.ADD_OFFSETS_TO_TXN: transactions.add_offsets,
    versions.END_TXN: transactions.end,
    versions.WRITE_TXN_MARKERS: txn_markers.write_txn_markers,
    versions.TXN_OFFSET_COMMIT: transactions.txn_offset_commit,
    versions.DESCRIBE_CONFIGS: describe.describe_configs,
    versions.CREATE_PARTITIONS: topics.create_partitions,
    versions.DELETE_GROUPS: groups.delete_groups,
    versions.ALTER_CONFIGS: alter.alter_configs,
    versions.ELECT_LEADERS: elections.elect_leaders,
    versions.INCREMENTAL_ALTER_CONFIGS: alter.incremental_alter_configs,
    versions.DELETE_RECORDS: topics.delete_records,
    versions.OFFSET_DELETE: commits.offset_delete,
    versions.LEADER_AND_ISR: cluster.leader_and_isr,
    versions.STOP_REPLICA: cluster.stop_replica,
    versions.UPDATE_METADATA: cluster.update_metadata,
    versions.ALTER_PARTITION: cluster.alter_partition,
    versions.BROKER_REGISTRATION: cluster.broker_registration,
    versions.BROKER_HEARTBEAT: cluster.broker_heartbeat,
    versions.ALLOCATE_PRODUCER_IDS: cluster.allocate_producer_ids,
    versions.DESCRIBE_CLUSTER: describe.describe_cluster,
    versions.DESCRIBE_LOG_DIRS: inspect.describe_log_dirs,
    versions.LIST_PARTITION_REASSIGNMENTS: inspect.list_partition_reassignments,
    versions.DESCRIBE_PRODUCERS: inspect.describe_producers,
    versions.DESCRIBE_TRANSACTIONS: inspect.describe_transactions,
    versions.LIST_TRANSACTIONS: inspect.list_transactions,
}


class Apis:
    """Sends each request to its handler.

    Args:
        context: the broker's parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._metadata = Metadata(context)

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        if request.header.api_key == versions.METADATA:
            return self._metadata.handle(request)
        members = self._context.cluster
        if members is not None and members.forwards(request):
            return members.membership.forward(request)
        return HANDLERS[request.header.api_key](self._context, request)
