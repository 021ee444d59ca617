"""Produce (0): append record batches, and answer when ``acks`` says so."""

from functools import partial

from salon.broker.channel import Request
from salon.broker.errors import Code
from salon.broker.handlers.context import Context
from salon.broker.protocol import produce, versions
from salon.broker.protocol.produce import PartitionResponse, ProduceRequest
from salon.broker.replicas import Appended
from salon.broker.topics import INTERNAL

KEY = versions.PRODUCE

_ALL = -1
_ZSTD_FROM = 7  # KIP-110


def handle(context: Context, request: Request) -> None:
    """Append, then answer: now (acks=1), when safe (acks=all), or never (acks=0)."""
    header = request.header
    asked = produce.decode(request.frame, header.body, header.api_version)
    appended = _append(context, asked, header.api_version)

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
    context: Context, asked: ProduceRequest, version: int
) -> list[list[tuple[int, Appended]]]:
    """Append everything, topic by topic, partition by partition."""
    refusal = _refusal(asked)
    name_of_producer = asked.transactional_id
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
                verify = None
                if name_of_producer is not None:
                    check = context.transactions.check_produce
                    verify = partial(check, name_of_producer, key=key)
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
