"""AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26), TxnOffsetCommit (28)."""

from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers, commits
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make

_FENCED_FROM = 2  # older clients know INVALID_PRODUCER_EPOCH only


async def add_partitions(context: Context, request: Request) -> None:
    """Make partitions part of a transaction: all of them or none."""
    asked = answers.decode(request)
    named = "v3_and_below_topics" if hasattr(asked, "v3_and_below_topics") else "topics"
    topics = getattr(asked, named)
    wanted = [(t.name, index) for t in topics for index in t.partitions]
    unknown = [key for key in wanted if key not in context.replicas.partitions]
    code = Code.NONE
    if not unknown:
        try:
            await context.transactions.add(*_who(asked), wanted)
        except ApiError as error:
            code = _code(error, request)
    else:
        code = Code.OPERATION_NOT_ATTEMPTED
    request.failed = code is not Code.NONE
    schema = answers.schema(request)

    def one(topic: str, index: int) -> Any:
        missing = (topic, index) in unknown
        return make(
            schema.AddPartitionsToTxnPartitionResult,
            partition_index=index,
            partition_error_code=Code.UNKNOWN_TOPIC_OR_PARTITION if missing else code,
        )

    results = [
        make(
            schema.AddPartitionsToTxnTopicResult,
            name=t.name,
            results_by_partition=[one(t.name, index) for index in t.partitions],
        )
        for t in topics
    ]
    answers.respond(request, results_by_topic_v3_and_below=results, results=results)


async def add_offsets(context: Context, request: Request) -> None:
    """Make a group's offsets part of a transaction."""
    asked = answers.decode(request)
    code = Code.NONE
    try:
        key = context.transactions.offsets_key(asked.group_id)
        if key not in context.replicas.partitions:
            raise ApiError(Code.COORDINATOR_NOT_AVAILABLE)
        await context.transactions.add(*_who(asked), [key])
    except ApiError as error:
        code = _code(error, request)
    request.failed = code is not Code.NONE
    answers.respond(request, error_code=code)


async def end(context: Context, request: Request) -> None:
    """Commit or abort."""
    asked = answers.decode(request)
    code = Code.NONE
    try:
        await context.transactions.end(*_who(asked), commit=asked.committed)
    except ApiError as error:
        code = _code(error, request)
    request.failed = code is not Code.NONE
    answers.respond(request, error_code=code)


def txn_offset_commit(context: Context, request: Request) -> None:
    """Keep offsets that hold when the transaction is committed."""
    asked = answers.decode(request)

    def check() -> None:
        if getattr(asked, "generation_id", -1) >= 0 or getattr(asked, "member_id", ""):
            context.groups.check_commit(
                asked.group_id,
                asked.generation_id,
                asked.member_id,
                asked.group_instance_id,
            )

    def keep(accepted: commits.Offsets, answer: commits.Answer) -> None:
        context.groups.offsets.commit_in_transaction(
            asked.group_id,
            (asked.producer_id, asked.producer_epoch),
            accepted,
            lambda batch: context.transactions.check_produce(
                asked.transactional_id,
                batch,
                context.transactions.offsets_key(asked.group_id),
            ),
            answer,
        )

    commits.commit(context, request, asked, check, keep)


def _who(asked: Any) -> tuple[str, int, int]:
    """Transactional id, producer id and epoch, which one version names otherwise."""
    prefix = "v3_and_below_" if hasattr(asked, "v3_and_below_producer_id") else ""
    return (
        getattr(asked, f"{prefix}transactional_id"),
        getattr(asked, f"{prefix}producer_id"),
        getattr(asked, f"{prefix}producer_epoch"),
    )


def _code(error: ApiError, request: Request) -> Code:
    old = request.header.api_version < _FENCED_FROM
    if error.code is Code.PRODUCER_FENCED and old:
        return Code.INVALID_PRODUCER_EPOCH
    return error.code
