"""FindCoordinator (10): where a group or a transactional id lives."""

from collections.abc import Coroutine
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers, internal_topics
from salon.broker.handlers.context import Context
from salon.broker.nodes import Asked
from salon.broker.protocol.cold import make
from salon.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC

_GROUP = 0
_TRANSACTION = 1
_KEPT_IN = {_GROUP: OFFSETS_TOPIC, _TRANSACTION: TRANSACTIONS_TOPIC}


def find_coordinator(
    context: Context, request: Request
) -> Coroutine[Any, Any, None] | None:
    """The broker that leads the partition which keeps a group or an id.

    Makes the topic that keeps them when first asked.
    """
    asked = answers.decode(request)
    kind = getattr(asked, "key_type", _GROUP)
    if kind not in _KEPT_IN:
        _found(context, request, asked, Code.INVALID_REQUEST)  # share groups
    elif context.topics.get(_KEPT_IN[kind]) is None:
        return _find_coordinator_later(context, request, asked, kind)
    else:
        _found(context, request, asked, Code.NONE)
    return None


async def _find_coordinator_later(
    context: Context, request: Request, asked: Any, kind: int
) -> None:
    code = Code.NONE
    try:
        await internal_topics.ensure(context, _KEPT_IN[kind])
    except ApiError as error:
        code = error.code
        if code is Code.LEADER_NOT_AVAILABLE:  # try again, in this API's word
            code = Code.COORDINATOR_NOT_AVAILABLE
    _found(context, request, asked, code)


def _found(context: Context, request: Request, asked: Any, code: Code) -> None:
    kind = getattr(asked, "key_type", _GROUP)
    if request.header.api_version < 4:
        answers.respond(request, **_where(context, request, asked.key, kind, code))
        return
    schema = answers.schema(request)
    coordinators = [
        make(schema.Coordinator, key=key, **_where(context, request, key, kind, code))
        for key in asked.coordinator_keys
    ]
    answers.respond(request, coordinators=coordinators)


def _where(
    context: Context, request: Request, key: str, kind: int, code: Code
) -> dict[str, Any]:
    """The broker that leads the partition in which ``key`` is kept."""
    leader = None
    if code is Code.NONE:
        index = (
            context.groups.offsets.partition_for(key)
            if kind == _GROUP
            else context.transactions.partition_for(key)
        )
        asked = Asked(request.listener, request.told)
        leader = context.nodes.leader_of(_KEPT_IN[kind], index, asked)
        if leader is None:
            code = Code.COORDINATOR_NOT_AVAILABLE
    return {
        "node_id": leader.node_id if leader else -1,
        "host": leader.host if leader else "",
        "port": leader.port if leader else -1,
        "error_code": code,
        "error_message": None if leader else code.name,
    }
