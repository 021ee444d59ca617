"""The broker's own topics, made when first needed, as Kafka makes them."""

from salon.broker.handlers.context import Context
from salon.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC

_COMPACTED = {"cleanup.policy": "compact", "retention.ms": "-1"}


async def ensure(context: Context, name: str) -> None:
    """Have a topic, one of the broker's own or any other.

    Raises:
        ApiError: theirs; its name. Ours; the disk refused, or too few brokers live.
    """
    config = context.config
    partitions, settings = config.num_partitions, {}
    if name == OFFSETS_TOPIC:
        partitions, settings = config.offsets_topic_num_partitions, _COMPACTED
    elif name == TRANSACTIONS_TOPIC:
        partitions, settings = config.transaction_state_log_num_partitions, _COMPACTED
        if context.cluster is not None:
            needed = str(config.transaction_state_log_min_isr)
            settings = settings | {"min.insync.replicas": needed}
    await context.admin.ensure(name, partitions, settings)
