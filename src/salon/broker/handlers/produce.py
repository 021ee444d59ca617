"""Produce (0): append record batches, and answer when ``acks`` says so.

The first records of a transaction are taken when its coordinator has said that their
partition is part of it (``transactions.verification``). Where that is another broker, the
request waits for it; all others are handled at once.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from salon.broker.channel import Request
from salon.broker.delayed import Appended
from salon.broker.errors import Code
from salon.broker.handlers.context import Context
from salon.broker.log import batch as batches
from salon.broker.log.batch import HEADER_SIZE, Batch
from salon.broker.partition import Key, Partition
from salon.broker.protocol import produce, versions
from salon.broker.protocol.produce import PartitionResponse, ProduceRequest
from salon.broker.topics import INTERNAL
from salon.broker.transactions.verification import Guard

KEY = versions.PRODUCE

_ALL = -1
_ZSTD_FROM = 7  # KIP-110


def handle(context: Context, request: Request) -> Coroutine[Any, Any, None] | None:
    """Append, then answer: now (acks=1), when safe (acks=all), or never (acks=0)."""
    header = request.header
    asked = produce.decode(request.frame, header.body, header.api_version)
    guards: dict[tuple[Key, int], Guard] = {}
    name = asked.transactional_id
    if name is not None:
        beginning = _beginning(context, asked)
        for producer, partitions in beginning.items():
            told = context.verifier.ask_here(name, producer, partitions)
            if told is None:
                return _ask_first(context, request, asked, beginning)
            guards |= {(key, producer[0]): guard for key, guard in told.items()}
    _append_and_answer(context, request, asked, guards)
    return None


def _beginning(
    context: Context, asked: ProduceRequest
) -> dict[tuple[int, int], list[Partition]]:
    """Where a producer (its id and epoch) begins a transaction with these records."""
    found: dict[tuple[int, int], list[Partition]] = {}
    for name, partitions in asked.topics:
        for index, data in partitions:
            partition = context.replicas.partitions.get((name, index))
            if partition is None or data is None or len(data) < HEADER_SIZE:
                continue  # is refused anyway
            batch = batches.parse(data)
            producer = batch.producer_id, batch.producer_epoch
            begun = partition.log.producers.in_transaction(*producer)
            if batch.is_transactional and partition.leads and not begun:
                found.setdefault(producer, []).append(partition)
    return found


async def _ask_first(
    context: Context,
    request: Request,
    asked: ProduceRequest,
    beginning: dict[tuple[int, int], list[Partition]],
) -> None:
    assert asked.transactional_id is not None
    guards: dict[tuple[Key, int], Guard] = {}
    for producer, partitions in beginning.items():
        told = await context.verifier.ask(asked.transactional_id, producer, partitions)
        guards |= {(key, producer[0]): guard for key, guard in told.items()}
    _append_and_answer(context, request, asked, guards)


def _append_and_answer(
    context: Context,
    request: Request,
    asked: ProduceRequest,
    guards: Mapping[tuple[Key, int], Guard],
) -> None:
    header = request.header
    appended = _append(context, asked, header.api_version, guards)

    def answer() -> None:
        request.failed = any(a.error for each in appended for _, a in each)
        request.respond(_encode(asked, appended, header.api_version))

    flat = [a for each in appended for _, a in each]
    if asked.acks == 0:
        if any(a.error for a in flat):
            request.close_connection()
        else:
            request.respond_nothing()
    elif asked.acks == _ALL and any(a.error is Code.NONE for a in flat):
        context.replicas.wait_for_acks(flat, asked.timeout_ms, answer)
    else:
        answer()


def _append(
    context: Context,
    asked: ProduceRequest,
    version: int,
    guards: Mapping[tuple[Key, int], Guard],
) -> list[list[tuple[int, Appended]]]:
    """Append everything, topic by topic, partition by partition."""
    refusal = _refusal(asked)
    results = []
    for name, partitions in asked.topics:
        of_topic = []
        for index, data in partitions:
            if refusal is not None:
                appended = Appended(None).fail(*refusal)
            elif name in INTERNAL:
                appended = Appended(None).fail(
                    Code.INVALID_TOPIC_EXCEPTION, f"{name} is written by the broker"
                )
            else:
                key = (name, index)
                verify: Callable[[Batch], None] | None = None
                if asked.transactional_id is not None and (
                    partition := context.replicas.partitions.get(key)
                ):
                    verify = partial(_verify, guards, partition)
                appended = context.replicas.append(
                    key,
                    data,
                    acks=asked.acks,
                    zstd=version >= _ZSTD_FROM,
                    verify=verify,
                )
            of_topic.append((index, appended))
        results.append(of_topic)
    return results


_UNASKED = Guard(Code.INVALID_TXN_STATE, -1)


def _verify(
    guards: Mapping[tuple[Key, int], Guard], partition: Partition, batch: Batch
) -> None:
    guard = guards.get((partition.key, batch.producer_id), _UNASKED)
    guard.check(partition, batch)


def _refusal(asked: ProduceRequest) -> tuple[Code, str] | None:
    """Why nothing of the request may be appended."""
    if asked.acks not in (0, 1, _ALL):
        return Code.INVALID_REQUIRED_ACKS, f"acks={asked.acks}; 0, 1 and -1 are known"
    return None


def _encode(
    asked: ProduceRequest,
    appended: list[list[tuple[int, Appended]]],
    version: int,
) -> bytearray:
    topics: list[tuple[str, list[PartitionResponse]]] = [
        (name, [a.response(index) for index, a in of_topic])
        for (name, _), of_topic in zip(asked.topics, appended, strict=True)
    ]
    return produce.encode(topics, version)
