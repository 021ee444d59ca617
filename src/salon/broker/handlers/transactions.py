"""AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26), TxnOffsetCommit (28)."""

from collections.abc import Mapping
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers, commits, internal_topics
from salon.broker.handlers.context import Context
from salon.broker.partition import Key
from salon.broker.protocol.cold import make
from salon.broker.topics import OFFSETS_TOPIC
from salon.broker.transactions.messages import VERIFY_VERSION, by_topic

_FENCED_FROM = 2  # older clients know INVALID_PRODUCER_EPOCH only


async def add_partitions(context: Context, request: Request) -> None:
    """Make partitions part of a transaction: all of them or none."""
    asked = answers.decode(request)
    if request.header.api_version >= VERIFY_VERSION:
        await _for_brokers(context, request, asked)
        return
    named = "v3_and_below_topics" if hasattr(asked, "v3_and_below_topics") else "topics"
    wanted = [(t.name, i) for t in getattr(asked, named) for i in t.partitions]
    codes = await _add(context, request, _who(asked), wanted)
    request.failed = any(codes.values())
    results = _results(request, codes)
    answers.respond(request, results_by_topic_v3_and_below=results, results=results)


async def _add(
    context: Context, request: Request, who: tuple[str, int, int], wanted: list[Key]
) -> dict[Key, Code]:
    unknown = {key for key in wanted if context.nodes.leader_id(*key) is None}
    code = Code.OPERATION_NOT_ATTEMPTED if unknown else Code.NONE
    if not unknown:
        try:
            await context.transactions.add(*who, wanted)
        except ApiError as error:
            code = _code(error, request)
    missing = Code.UNKNOWN_TOPIC_OR_PARTITION
    return {key: missing if key in unknown else code for key in wanted}


async def _for_brokers(context: Context, request: Request, asked: Any) -> None:
    """Version 4: several producers; or a leader wants to know, and nothing is added."""
    if request.listener != context.config.inter_broker_listener:
        request.failed = True
        refused = Code.CLUSTER_AUTHORIZATION_FAILED
        answers.respond(request, error_code=refused, results_by_transaction=())
        return
    schema = answers.schema(request)
    results = []
    for each in asked.transactions:
        wanted = [(t.name, index) for t in each.topics for index in t.partitions]
        name, *producer = each.transactional_id, each.producer_id, each.producer_epoch
        if each.verify_only:
            codes = context.verifier.verify_here(name, tuple(producer), wanted)
        else:
            codes = await _add(context, request, (name, *producer), wanted)
        results.append(
            make(
                schema.AddPartitionsToTxnResult,
                transactional_id=name,
                topic_results=_results(request, codes),
            )
        )
    answers.respond(request, error_code=Code.NONE, results_by_transaction=results)


def _results(request: Request, codes: Mapping[Key, Code]) -> list[Any]:
    schema = answers.schema(request)

    def one(topic: str, index: int) -> Any:
        return make(
            schema.AddPartitionsToTxnPartitionResult,
            partition_index=index,
            partition_error_code=codes[topic, index],
        )

    return [
        make(
            schema.AddPartitionsToTxnTopicResult,
            name=name,
            results_by_partition=[one(name, index) for index in indexes],
        )
        for name, indexes in by_topic(codes).items()
    ]


async def add_offsets(context: Context, request: Request) -> None:
    """Make a group's offsets part of a transaction; nobody may have asked for the group."""
    asked = answers.decode(request)
    code = Code.NONE
    try:
        await internal_topics.ensure(context, OFFSETS_TOPIC)
        await context.transactions.add(
            *_who(asked), [_offsets_key(context, asked.group_id)]
        )
    except ApiError as error:
        code = _code(error, request)
        if code is Code.LEADER_NOT_AVAILABLE:  # the topic is being made
            code = Code.COORDINATOR_NOT_AVAILABLE
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


async def txn_offset_commit(context: Context, request: Request) -> None:
    """Keep offsets that hold when the transaction is committed."""
    asked = answers.decode(request)
    key = _offsets_key(context, asked.group_id)
    producer = asked.producer_id, asked.producer_epoch
    partition = context.replicas.partitions.get(key)
    guards = {}
    if partition is not None and partition.leads:
        name = asked.transactional_id
        guards = await context.verifier.ask(name, producer, [partition])

    def check() -> None:
        context.groups.check_group(asked.group_id)
        if partition is None or key not in guards:
            raise ApiError(Code.NOT_COORDINATOR)
        if guards[key].code is Code.NOT_ENOUGH_REPLICAS:
            raise ApiError(Code.COORDINATOR_NOT_AVAILABLE)
        if getattr(asked, "generation_id", -1) >= 0 or getattr(asked, "member_id", ""):
            context.groups.check_commit(
                asked.group_id,
                asked.generation_id,
                asked.member_id,
                asked.group_instance_id,
            )

    def keep(accepted: commits.Offsets, answer: commits.Answer) -> None:
        assert partition is not None
        context.groups.offsets.commit_in_transaction(
            asked.group_id,
            producer,
            accepted,
            lambda batch: guards[key].check(partition, batch),
            answer,
        )

    commits.commit(context, request, asked, check, keep)


def _offsets_key(context: Context, group: str) -> Key:
    """The partition that a group's offsets in a transaction go to."""
    return (OFFSETS_TOPIC, context.groups.offsets.partition_for(group))


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
