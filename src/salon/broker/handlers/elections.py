"""ElectLeaders (43): after deaths, let the first replicas lead again."""

from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make

_PREFERRED, _UNCLEAN = 0, 1


async def elect_leaders(context: Context, request: Request) -> None:
    """The preferred replicas, or, where nobody leads, any that live."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    kind = getattr(asked, "election_type", _PREFERRED)
    error, found = Code.NONE, {}
    try:
        if kind not in (_PREFERRED, _UNCLEAN):
            raise ApiError(Code.INVALID_REQUEST)
        wanted = None
        if asked.topic_partitions is not None:
            wanted = [
                (t.topic, i) for t in asked.topic_partitions for i in t.partitions
            ]
        found = await context.admin.elect(wanted, unclean=kind == _UNCLEAN)
    except ApiError as refused:
        error = refused.code
    request.failed = error is not Code.NONE
    topics: dict[str, list[Any]] = {}
    for (topic, index), code in found.items():
        result = make(
            schema.PartitionResult,
            partition_id=index,
            error_code=code,
            error_message=code.name if code else None,
        )
        topics.setdefault(topic, []).append(result)
    answers.respond(
        request,
        error_code=error,
        replica_election_results=[
            make(
                schema.ReplicaElectionResult,
                topic=topic,
                partition_result=results,
            )
            for topic, results in topics.items()
        ],
    )
