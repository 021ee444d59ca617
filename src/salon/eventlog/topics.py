"""The topics of Salon and what they are for."""

from salon.eventlog.ports import Topic

COMMANDS = Topic("commands", partitions=8)
"""What people ask for, keyed by conversation; kept for ever: it is the record."""

OWNERS = "salon-owners"
"""The consumer group whose assignment says who owns which partition."""


NODES = Topic("nodes", partitions=1, retention_ms=60_000)
"""What every server hears: messages from other processes, and who is connected where.
A minute is enough: who was away longer asks again."""


def node(name: str) -> Topic:
    """One server's own topic: what its connections are to be told.

    A minute is enough: what a server missed while it was down, its devices fetch.
    """
    return Topic(f"node.{name}", partitions=1, retention_ms=60_000)
