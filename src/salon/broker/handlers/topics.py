"""CreateTopics (19), DeleteTopics (20), DeleteRecords (21), CreatePartitions (37)."""

from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make

_DEFAULT = -1  # partitions or replication factor of the client: as the broker likes


async def create_topics(context: Context, request: Request) -> None:
    """Make topics, one after another."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    results = [
        await _create(context, wanted, schema, validate_only=asked.validate_only)
        for wanted in asked.topics
    ]
    answers.respond(request, topics=results)


async def _create(
    context: Context, wanted: Any, schema: Any, *, validate_only: bool
) -> Any:
    code, message, topic = Code.NONE, None, None
    try:
        partitions = _partition_count(context, wanted)
        settings = {c.name: c.value for c in wanted.configs if c.value is not None}
        topic = await context.admin.create(
            wanted.name,
            partitions,
            settings,
            replication_factor=_factor(context, wanted),
            assignment=_assignment(wanted),
            validate_only=validate_only,
        )
    except ApiError as error:
        code, message = error.code, error.message
    return make(
        schema.CreatableTopicResult,
        name=wanted.name,
        topic_id=topic.id if topic is not None and not validate_only else None,
        error_code=code,
        error_message=message,
        topic_config_error_code=0,
        num_partitions=topic.partitions if topic is not None else -1,
        replication_factor=_factor(context, wanted) if topic is not None else -1,
        configs=[
            make(
                schema.CreatableTopicConfigs,
                name=name,
                value=value,
                read_only=False,
                config_source=1,
                is_sensitive=False,
            )
            for name, value in topic.settings.items()
        ]
        if topic is not None and hasattr(schema, "CreatableTopicConfigs")
        else (),
    )


def _partition_count(context: Context, wanted: Any) -> int:
    """How many partitions a request asks for.

    Raises:
        ApiError: theirs; an assignment that leaves some out.
    """
    if wanted.assignments:
        indexes = sorted(a.partition_index for a in wanted.assignments)
        if indexes != list(range(len(indexes))):
            raise ApiError(
                Code.INVALID_REPLICA_ASSIGNMENT, "partitions are counted from 0"
            )
        return len(indexes)
    if wanted.num_partitions == _DEFAULT:
        return context.config.num_partitions
    return int(wanted.num_partitions)


def _assignment(wanted: Any) -> list[tuple[int, ...]]:
    """The brokers of each partition, where the request names them."""
    in_order = sorted(wanted.assignments, key=lambda each: each.partition_index)
    return [tuple(each.broker_ids) for each in in_order]


def _factor(context: Context, wanted: Any) -> int:
    """How many brokers are to have each partition."""
    if wanted.assignments:
        return len(_assignment(wanted)[0])
    if wanted.replication_factor == _DEFAULT:
        return context.config.default_replication_factor
    return int(wanted.replication_factor)


async def delete_topics(context: Context, request: Request) -> None:
    """Remove topics by name, or since v6 by id."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    if request.header.api_version >= 6:
        wanted = [(topic.name, topic.topic_id) for topic in asked.topics]
    else:
        wanted = [(name, None) for name in asked.topic_names]
    results = []
    for name, topic_id in wanted:
        code, message = Code.NONE, None
        found = context.topics.by_id(topic_id) if topic_id else None
        try:
            if topic_id and found is None:
                raise ApiError(Code.UNKNOWN_TOPIC_ID)
            target = found.name if found is not None else name
            await context.admin.delete(target)
            context.groups.offsets.forget_topic(target)
        except ApiError as error:
            code, message = error.code, error.message
        results.append(
            make(
                schema.DeletableTopicResult,
                name=found.name if found is not None else name,
                topic_id=topic_id,
                error_code=code,
                error_message=message,
            )
        )
    answers.respond(request, responses=results)


async def delete_records(context: Context, request: Request) -> None:
    """Take away the oldest records of partitions."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    results = []
    for topic in asked.topics:
        partitions = []
        for wanted in topic.partitions:
            code, start = Code.NONE, -1
            try:
                key = (topic.name, wanted.partition_index)
                start = await context.admin.delete_records(key, wanted.offset)
            except ApiError as error:
                code = error.code
            partitions.append(
                make(
                    schema.DeleteRecordsPartitionResult,
                    partition_index=wanted.partition_index,
                    low_watermark=start,
                    error_code=code,
                )
            )
        results.append(
            make(
                schema.DeleteRecordsTopicResult, name=topic.name, partitions=partitions
            )
        )
    answers.respond(request, topics=results)


async def create_partitions(context: Context, request: Request) -> None:
    """Grow topics."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    results = []
    for wanted in asked.topics:
        code, message = Code.NONE, None
        try:
            await context.admin.add_partitions(
                wanted.name, wanted.count, validate_only=asked.validate_only
            )
        except ApiError as error:
            code, message = error.code, error.message
        results.append(
            make(
                schema.CreatePartitionsTopicResult,
                name=wanted.name,
                error_code=code,
                error_message=message,
            )
        )
    answers.respond(request, results=results)
