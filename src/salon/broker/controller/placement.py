"""Which brokers have the copies of a new partition."""

from collections.abc import Sequence

from salon.broker.errors import ApiError, Code


def checked(
    assignment: Sequence[Sequence[int]], alive: Sequence[int]
) -> list[tuple[int, ...]]:
    """The replicas of each partition as an admin wants them.

    Raises:
        ApiError: theirs; none, one that does not live, or one twice.
    """
    for replicas in assignment:
        known = all(r in alive for r in replicas)
        if not replicas or not known or len(set(replicas)) != len(replicas):
            raise ApiError(
                Code.INVALID_REPLICA_ASSIGNMENT,
                f"{list(replicas)}: brokers that live are {list(alive)}",
            )
    return [tuple(each) for each in assignment]


def in_turn(
    count: int, factor: int, alive: Sequence[int], start: int
) -> list[tuple[int, ...]]:
    """``factor`` replicas of each of ``count`` partitions, so that all lead alike.

    Args:
        count: of partitions.
        factor: brokers that have each; the first is to lead it.
        alive: the brokers that live.
        start: how many partitions were dealt before.

    Raises:
        ApiError: theirs; INVALID_REPLICATION_FACTOR.
    """
    if not 1 <= factor <= len(alive):
        raise ApiError(
            Code.INVALID_REPLICATION_FACTOR,
            f"replication factor {factor}; {len(alive)} brokers live",
        )
    return [
        tuple(alive[(start + i + j) % len(alive)] for j in range(factor))
        for i in range(count)
    ]
