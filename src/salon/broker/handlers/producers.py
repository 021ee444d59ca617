"""InitProducerId (22): a number for an idempotent producer (KIP-98)."""

import asyncio

from salon.broker.channel import Request
from salon.broker.errors import Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context


async def init_producer_id(context: Context, request: Request) -> None:
    """A producer id that was never given out, with epoch 0."""
    asked = answers.decode(request)
    code, producer_id, epoch = Code.NONE, -1, -1
    if asked.transactional_id is not None:
        code = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED  # no transactions here
    else:
        # Now and then a block of ids is reserved on disk first.
        loop = asyncio.get_running_loop()
        producer_id = await loop.run_in_executor(None, context.topics.new_producer_id)
        epoch = 0
    request.failed = code is not Code.NONE
    answers.respond(
        request,
        error_code=code,
        producer_id=producer_id,
        producer_epoch=epoch,
    )
