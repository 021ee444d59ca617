"""Fetch (1): read, or wait until there is something to read."""

from salon.broker.channel import Request
from salon.broker.delayed import FetchQuery
from salon.broker.errors import Code
from salon.broker.handlers import fetch_follower
from salon.broker.handlers.context import Context
from salon.broker.protocol import fetch, versions
from salon.broker.protocol.fetch import FetchRequest, PartitionData

KEY = versions.FETCH
_READ_COMMITTED = 1


def handle(context: Context, request: Request) -> None:
    """Answer at once if enough is there, something is wrong, or nobody waits."""
    header = request.header
    request.metric_name = "FetchConsumer"
    asked = fetch.decode(request.frame, header.body, header.api_version)
    cluster = context.cluster
    if cluster is not None and request.listener == context.config.inter_broker_listener:
        fetch_follower.handle(context, cluster.replication, request, asked)
        return
    queries = _queries(context, asked)
    committed = asked.isolation_level == _READ_COMMITTED
    max_bytes = min(asked.max_bytes, context.config.fetch_max_bytes)

    def send(answers: list[PartitionData]) -> None:
        request.failed = any(a.error for a in answers)
        parts, size = fetch.encode(fetch.grouped(asked, answers), header.api_version)
        request.respond(*parts, size=size)

    answers, size, urgent = context.replicas.read(
        queries, max_bytes, committed=committed
    )
    if urgent or not queries or asked.max_wait_ms <= 0 or size >= asked.min_bytes:
        send(answers)
        return

    def read_again() -> None:
        # Looked up again: a topic may have gone while the fetch waited.
        queries = _queries(context, asked)
        send(context.replicas.read(queries, max_bytes, committed=committed)[0])

    context.replicas.wait_for_data(
        queries, asked.min_bytes, asked.max_wait_ms, read_again, committed=committed
    )


def _queries(context: Context, asked: FetchRequest) -> list[FetchQuery]:
    """Every partition asked for, in order, with what is known about it."""
    queries = []
    for named, partitions in asked.topics:
        if isinstance(named, str):
            topic, unknown = context.topics.get(named), Code.UNKNOWN_TOPIC_OR_PARTITION
        else:
            topic, unknown = context.topics.by_id(named), Code.UNKNOWN_TOPIC_ID
        for wanted in partitions:
            if topic is None:
                queries.append(FetchQuery(wanted, None, unknown))
                continue
            partition = context.replicas.partitions.get((topic.name, wanted.partition))
            queries.append(
                FetchQuery(wanted, partition, Code.UNKNOWN_TOPIC_OR_PARTITION)
            )
    return queries
