"""OffsetCommit (8), OffsetFetch (9), OffsetDelete (47): how far a group has come."""

from collections.abc import Callable, Mapping
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.groups.records import Committed
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make
from salon.clock import SystemClock

Offsets = Mapping[tuple[str, int], Committed]
Answer = Callable[[Code], None]

_NONE = Committed(-1, -1, "", -1)
_BATCHED_FROM = 8  # OffsetFetch asks for several groups at once (KIP-709)


def offset_commit(context: Context, request: Request) -> None:
    """Keep offsets; answered when they are safe."""
    asked = answers.decode(request)

    def check() -> None:
        context.groups.check_commit(
            asked.group_id,
            asked.generation_id_or_member_epoch,
            asked.member_id,
            getattr(asked, "group_instance_id", None),
        )

    def keep(accepted: Offsets, answer: Answer) -> None:
        context.groups.offsets.commit(asked.group_id, accepted, answer)

    commit(context, request, asked, check, keep)


def commit(
    context: Context,
    request: Request,
    asked: Any,
    check: Callable[[], None],
    keep: Callable[[Offsets, Answer], None],
) -> None:
    """What OffsetCommit and TxnOffsetCommit share.

    Args:
        context: the broker's parts.
        request: to be answered.
        asked: its body.
        check: whether the member may; raises ``ApiError``.
        keep: writes what can be kept and then says how that went.
    """
    refused: dict[tuple[str, int], Code] = {}
    accepted: dict[tuple[str, int], Committed] = {}
    try:
        check()
        _sort(context, asked, accepted, refused)
    except ApiError as error:
        code = error.code
        refused = {
            (topic.name, p.partition_index): code
            for topic in asked.topics
            for p in topic.partitions
        }

    def answer(code: Code) -> None:
        results = dict.fromkeys(accepted, code) | refused
        _respond(request, asked, results)

    if accepted:
        keep(accepted, answer)
    else:
        answer(Code.NONE)


def _sort(
    context: Context,
    asked: Any,
    accepted: dict[tuple[str, int], Committed],
    refused: dict[tuple[str, int], Code],
) -> None:
    """What can be kept, and what cannot and why."""
    now = SystemClock().now_ms()
    limit = context.config.offset_metadata_max_bytes
    for topic in asked.topics:
        for p in topic.partitions:
            key = (topic.name, p.partition_index)
            if context.nodes.leader_id(*key) is None:
                refused[key] = Code.UNKNOWN_TOPIC_OR_PARTITION
                continue
            try:
                text = context.groups.offsets.check_metadata(
                    p.committed_metadata, limit
                )
            except ApiError as error:
                refused[key] = error.code
                continue
            epoch = getattr(p, "committed_leader_epoch", -1)
            accepted[key] = Committed(p.committed_offset, epoch, text, now)


def _respond(
    request: Request, asked: Any, results: Mapping[tuple[str, int], Code]
) -> None:
    schema = answers.schema(request)
    name = request.header.name
    request.failed = any(results.values())
    topics = [
        make(
            getattr(schema, f"{name}ResponseTopic"),
            name=topic.name,
            partitions=[
                make(
                    getattr(schema, f"{name}ResponsePartition"),
                    partition_index=p.partition_index,
                    error_code=results[topic.name, p.partition_index],
                )
                for p in topic.partitions
            ],
        )
        for topic in asked.topics
    ]
    answers.respond(request, topics=topics)


def offset_fetch(context: Context, request: Request) -> None:
    """What a group has committed; -1 where it has not."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    stable = getattr(asked, "require_stable", False)
    if request.header.api_version < _BATCHED_FROM:
        code = _coordinated(context, asked.group_id)
        topics = _committed(
            context,
            stable,
            asked.group_id,
            asked.topics if code is Code.NONE else (),
            schema.OffsetFetchResponseTopic,
            schema.OffsetFetchResponsePartition,
        )
        answers.respond(request, topics=topics, error_code=code)
        return
    groups = [
        make(
            schema.OffsetFetchResponseGroup,
            group_id=group.group_id,
            topics=_committed(
                context,
                stable,
                group.group_id,
                group.topics,
                schema.OffsetFetchResponseTopics,
                schema.OffsetFetchResponsePartitions,
            ),
            error_code=_coordinated(context, group.group_id),
        )
        for group in asked.groups
    ]
    answers.respond(request, groups=groups)


def _coordinated(context: Context, group_id: str) -> Code:
    """Whether this broker knows what a group has committed."""
    led = context.groups.offsets.leads(group_id)
    return Code.NONE if led else Code.NOT_COORDINATOR


def _committed(
    context: Context,
    stable: bool,
    group_id: str,
    topics: Any,
    topic_class: Any,
    partition_class: Any,
) -> list[Any]:
    """Entities for the partitions asked for; for all committed ones when None."""
    kept = context.groups.offsets.get(group_id)
    unstable = context.groups.offsets.unstable(group_id) if stable else set()
    if topics is None:
        wanted: dict[str, list[int]] = {}
        for topic, index in kept:
            wanted.setdefault(topic, []).append(index)
    else:
        wanted = {topic.name: list(topic.partition_indexes) for topic in topics}
    found = []
    for topic, indexes in wanted.items():
        partitions = []
        for index in indexes:
            code = Code.NONE
            committed = kept.get((topic, index)) or _NONE
            if (topic, index) in unstable:
                code, committed = Code.UNSTABLE_OFFSET_COMMIT, _NONE
            partitions.append(
                make(
                    partition_class,
                    partition_index=index,
                    committed_offset=committed.offset,
                    committed_leader_epoch=committed.leader_epoch,
                    metadata=committed.metadata,
                    error_code=code,
                )
            )
        found.append(make(topic_class, name=topic, partitions=partitions))
    return found


def offset_delete(context: Context, request: Request) -> None:
    """Forget offsets of topics that nobody in the group reads (KIP-496)."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    wanted = [
        (topic.name, p.partition_index)
        for topic in asked.topics
        for p in topic.partitions
    ]
    refused: dict[tuple[str, int], Code] = {}

    def answer(code: Code) -> None:
        topics = [
            make(
                schema.OffsetDeleteResponseTopic,
                name=topic.name,
                partitions=[
                    make(
                        schema.OffsetDeleteResponsePartition,
                        partition_index=p.partition_index,
                        error_code=refused.get((topic.name, p.partition_index), code),
                    )
                    for p in topic.partitions
                ],
            )
            for topic in asked.topics
        ]
        answers.respond(request, error_code=Code.NONE, topics=topics)

    try:
        read = context.groups.topics_read(asked.group_id)
    except ApiError as error:
        request.failed = True
        answers.respond(request, error_code=error.code, topics=())
        return
    refused.update(
        (tp, Code.GROUP_SUBSCRIBED_TO_TOPIC) for tp in wanted if tp[0] in read
    )
    gone = [tp for tp in wanted if tp not in refused]
    context.groups.offsets.forget_partitions(asked.group_id, gone, answer)
