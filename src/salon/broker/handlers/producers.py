"""InitProducerId (22): a number for an idempotent or a transactional producer (KIP-98)."""

import asyncio

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers, internal_topics
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import milliseconds
from salon.broker.topics import TRANSACTIONS_TOPIC

_FENCED_FROM = 4  # older clients know INVALID_PRODUCER_EPOCH only


async def _new_producer_id(context: Context) -> int:
    """Now and then a block of ids is reserved first, on disk or by the controller."""
    if context.cluster is not None:
        return await context.cluster.new_producer_id()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, context.topics.new_producer_id)


async def init_producer_id(context: Context, request: Request) -> None:
    """Without a transactional id a new producer id; with one, whoever had it is fenced."""
    asked = answers.decode(request)
    code, producer_id, epoch = Code.NONE, -1, -1
    try:
        if asked.transactional_id is None:
            producer_id, epoch = await _new_producer_id(context), 0
        else:
            await internal_topics.ensure(context, TRANSACTIONS_TOPIC)
            producer_id, epoch = await context.transactions.init(
                asked.transactional_id,
                milliseconds(asked.transaction_timeout),
                getattr(asked, "producer_id", -1),
                getattr(asked, "producer_epoch", -1),
            )
    except ApiError as error:
        code = error.code
        if code is Code.LEADER_NOT_AVAILABLE:  # the topic is being made
            code = Code.COORDINATOR_NOT_AVAILABLE
        if code is Code.PRODUCER_FENCED and request.header.api_version < _FENCED_FROM:
            code = Code.INVALID_PRODUCER_EPOCH
    request.failed = code is not Code.NONE
    answers.respond(
        request,
        error_code=code,
        producer_id=producer_id,
        producer_epoch=epoch,
    )
