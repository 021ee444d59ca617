"""What admins look into: disks, producers, transactions, moves of partitions.

DescribeLogDirs (35), ListPartitionReassignments (46), DescribeProducers (61),
DescribeTransactions (65), ListTransactions (66).
"""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.partition import Partition
from salon.broker.protocol.cold import make
from salon.broker.transactions.records import State, Transaction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATES = {state.name.title().replace("_", ""): state for state in State}
"""Kafka's words for them: ``PrepareCommit``."""


def describe_log_dirs(context: Context, request: Request) -> None:
    """The data folder: how large each partition is, and what is left of the disk."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    wanted = None
    if asked.topics is not None:
        wanted = {(t.topic, index) for t in asked.topics for index in t.partitions}
    found: dict[str, list[Any]] = {}
    for (topic, index), partition in context.replicas.partitions.items():
        if wanted is None or (topic, index) in wanted:
            one = make(
                schema.DescribeLogDirsPartition,
                partition_index=index,
                partition_size=partition.log.size,
                offset_lag=0,
                is_future_key=False,
            )
            found.setdefault(topic, []).append(one)
    disk = shutil.disk_usage(context.config.folder)
    result = make(
        schema.DescribeLogDirsResult,
        error_code=Code.NONE,
        log_dir=str(context.config.folder.resolve()),
        topics=[
            make(schema.DescribeLogDirsTopic, name=topic, partitions=tuple(partitions))
            for topic, partitions in found.items()
        ],
        total_bytes=disk.total,
        usable_bytes=disk.free,
        is_cordoned=False,
    )
    answers.respond(request, error_code=Code.NONE, results=[result])


def list_partition_reassignments(context: Context, request: Request) -> None:
    """None: partitions stay where they were made. Console tools ask."""
    answers.decode(request)
    answers.respond(request, error_code=Code.NONE, error_message=None, topics=())


def describe_producers(context: Context, request: Request) -> None:
    """The idempotent producers that a partition remembers, and what they have open."""
    asked = answers.decode(request)
    schema = answers.schema(request)

    def one(topic: str, index: int) -> Any:
        partition = context.replicas.partitions.get((topic, index))
        known = partition is not None
        return make(
            schema.PartitionResponse,
            partition_index=index,
            error_code=Code.NONE if known else Code.UNKNOWN_TOPIC_OR_PARTITION,
            error_message=None,
            active_producers=_producers(schema, partition) if partition else (),
        )

    topics = [
        make(
            schema.TopicResponse,
            name=topic.name,
            partitions=[one(topic.name, index) for index in topic.partition_indexes],
        )
        for topic in asked.topics
    ]
    answers.respond(request, topics=topics)


def _producers(schema: Any, partition: Partition) -> list[Any]:
    return [
        make(
            schema.ProducerState,
            producer_id=each.producer_id,
            producer_epoch=each.epoch,
            last_sequence=each.last_sequence,
            last_timestamp=each.last_timestamp,
            coordinator_epoch=each.coordinator_epoch,
            current_txn_start_offset=each.first_offset,
        )
        for each in partition.log.producers.active()
    ]


def describe_transactions(context: Context, request: Request) -> None:
    """Where each transactional id stands, with the partitions of its transaction."""
    asked = answers.decode(request)
    schema = answers.schema(request)

    def one(name: str) -> Any:
        code = Code.NONE
        try:
            transaction = context.transactions.find(name)
        except ApiError as error:
            code = error.code
            transaction = Transaction(name, -1, -1, 0, started_ms=0)
        topics: dict[str, list[int]] = {}
        for topic, index in sorted(transaction.partitions):
            topics.setdefault(topic, []).append(index)
        return make(
            schema.TransactionState,
            error_code=code,
            transactional_id=name,
            transaction_state="" if code else _word(transaction.state),
            transaction_timeout=timedelta(milliseconds=transaction.timeout_ms),
            transaction_start_time=_EPOCH
            + timedelta(milliseconds=transaction.started_ms),
            producer_id=transaction.producer_id,
            producer_epoch=transaction.epoch,
            topics=[
                make(schema.TopicData, topic=topic, partitions=tuple(indexes))
                for topic, indexes in topics.items()
            ],
        )

    states = [one(name) for name in asked.transactional_ids]
    answers.respond(request, transaction_states=states)


def list_transactions(context: Context, request: Request) -> None:
    """All transactional ids, or those in some states, of some producers, open long."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    states = {_STATES[name] for name in asked.state_filters if name in _STATES}
    longer_ms = getattr(asked, "duration_filter", -1)
    now_ms = context.transactions.now_ms()

    def wanted(each: Transaction) -> bool:
        if asked.state_filters and each.state not in states:
            return False
        if asked.producer_id_filters and (
            each.producer_id not in asked.producer_id_filters
        ):
            return False
        running = each.state is State.ONGOING and now_ms - each.started_ms > longer_ms
        return longer_ms < 0 or running

    answers.respond(
        request,
        error_code=Code.NONE,
        unknown_state_filters=[s for s in asked.state_filters if s not in _STATES],
        transaction_states=[
            make(
                schema.TransactionState,
                transactional_id=each.id,
                producer_id=each.producer_id,
                transaction_state=_word(each.state),
            )
            for each in context.transactions.all()
            if wanted(each)
        ],
    )


def _word(state: State) -> str:
    return next(word for word, each in _STATES.items() if each is state)
