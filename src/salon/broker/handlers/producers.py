"""InitProducerId (22): a number for an idempotent or a transactional producer (KIP-98)."""

import asyncio

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.handlers.groups import ensure_transactions_topic
from salon.broker.protocol.cold import milliseconds

_FENCED_FROM = 4  # older clients know INVALID_PRODUCER_EPOCH only


async def init_producer_id(context: Context, request: Request) -> None:
    """Without a transactional id a new producer id; with one, whoever had it is fenced."""
    asked = answers.decode(request)
    code, producer_id, epoch = Code.NONE, -1, -1
    try:
        if asked.transactional_id is None:
            # Now and then a block of ids is reserved on disk first.
            loop = asyncio.get_running_loop()
            new = context.topics.new_producer_id
            producer_id, epoch = await loop.run_in_executor(None, new), 0
        else:
            await ensure_transactions_topic(context)
            producer_id, epoch = await context.transactions.init(
                asked.transactional_id,
                milliseconds(asked.transaction_timeout),
                getattr(asked, "producer_id", -1),
                getattr(asked, "producer_epoch", -1),
            )
    except ApiError as error:
        code = error.code
        if code is Code.PRODUCER_FENCED and request.header.api_version < _FENCED_FROM:
            code = Code.INVALID_PRODUCER_EPOCH
    request.failed = code is not Code.NONE
    answers.respond(
        request,
        error_code=code,
        producer_id=producer_id,
        producer_epoch=epoch,
    )
