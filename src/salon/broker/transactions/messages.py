"""What brokers say to each other about transactions.

WriteTxnMarkers (27): a coordinator's decision, for the leaders of partitions.
AddPartitionsToTxn (24) v4: a leader asks the coordinator whether a partition is part of a
transaction, before it takes the first records of it (KIP-890).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from salon.broker.errors import Code
from salon.broker.log.transactions import Marker
from salon.broker.partition import Key
from salon.broker.protocol import cold, versions
from salon.broker.replication.peer import Peer

MARKERS_VERSION = 1
VERIFY_VERSION = 4


def by_topic(keys: Iterable[Key]) -> dict[str, tuple[int, ...]]:
    """Partition numbers of each topic."""
    topics: dict[str, tuple[int, ...]] = {}
    for topic, index in keys:
        topics[topic] = (*topics.get(topic, ()), index)
    return topics


async def write_markers(
    peer: Peer, wanted: Sequence[tuple[Marker, Sequence[Key]]]
) -> list[dict[Key, Code]]:
    """Have another broker write markers; what became of each.

    Raises:
        PeerAway: ours; it does not answer, and may have written them.
        ProtocolError: theirs; it answers something else.
    """
    schema = cold.module(versions.WRITE_TXN_MARKERS, MARKERS_VERSION, "request")

    def one(marker: Marker, keys: Sequence[Key]) -> Any:
        return cold.make(
            schema.WritableTxnMarker,
            producer_id=marker.producer_id,
            producer_epoch=marker.epoch,
            transaction_result=marker.commit,
            coordinator_epoch=marker.coordinator_epoch,
            topics=[
                cold.make(
                    schema.WritableTxnMarkerTopic, name=name, partition_indexes=indexes
                )
                for name, indexes in by_topic(keys).items()
            ],
        )

    asked = cold.make(schema.WriteTxnMarkersRequest, markers=[one(*w) for w in wanted])
    answer = await peer.ask(
        versions.WRITE_TXN_MARKERS, MARKERS_VERSION, cold.encode(asked)
    )
    told = cold.decode_answer(versions.WRITE_TXN_MARKERS, MARKERS_VERSION, answer)
    by_producer: dict[int, dict[Key, Code]] = {}
    for each in told.markers:
        codes = by_producer.setdefault(each.producer_id, {})
        for topic in each.topics:
            for p in topic.partitions:
                codes[topic.name, p.partition_index] = _code(p.error_code)
    return [
        {k: c for k, c in by_producer.get(m.producer_id, {}).items() if k in keys}
        for m, keys in wanted
    ]


async def verify(
    peer: Peer, transactional_id: str, producer: tuple[int, int], keys: Iterable[Key]
) -> Mapping[Key, Code]:
    """Ask a coordinator whether partitions are part of a producer's transaction.

    Raises:
        PeerAway: ours; it does not answer.
        ProtocolError: theirs; it answers something else.
    """
    key = versions.ADD_PARTITIONS_TO_TXN
    schema = cold.module(key, VERIFY_VERSION, "request")
    wanted = cold.make(
        schema.AddPartitionsToTxnTransaction,
        transactional_id=transactional_id,
        producer_id=producer[0],
        producer_epoch=producer[1],
        verify_only=True,
        topics=[
            cold.make(schema.AddPartitionsToTxnTopic, name=name, partitions=indexes)
            for name, indexes in by_topic(keys).items()
        ],
    )
    asked = cold.make(schema.AddPartitionsToTxnRequest, transactions=[wanted])
    answer = await peer.ask(key, VERIFY_VERSION, cold.encode(asked))
    told = cold.decode_answer(key, VERIFY_VERSION, answer)
    return {
        (topic.name, p.partition_index): _code(p.partition_error_code)
        for each in told.results_by_transaction
        for topic in each.topic_results
        for p in topic.results_by_partition
    }


def _code(number: int) -> Code:
    try:
        return Code(number)
    except ValueError:
        return Code.UNKNOWN_SERVER_ERROR
