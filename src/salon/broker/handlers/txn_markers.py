"""WriteTxnMarkers (27): the decisions of another broker's transaction coordinator.

Only on ``inter.broker.listener.name``: a client could end other people's transactions.
"""

from typing import Any

from salon.broker.channel import Request
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.log.transactions import Marker
from salon.broker.protocol.cold import make
from salon.broker.transactions.markers import Codes, Marked
from salon.broker.transactions.messages import by_topic


def write_txn_markers(context: Context, request: Request) -> None:
    """Append markers; answered when they are as safe as acks=all."""
    if request.connection.closed:
        # who has hung up may have sent it again since, and gone on: a marker that comes
        # this late could end the transaction that followed
        request.close_connection()
        return
    asked = answers.decode(request)
    wanted = [
        Marked(
            Marker(
                each.producer_id,
                each.producer_epoch,
                each.transaction_result,
                each.coordinator_epoch,
            ),
            tuple(
                (t.name, index) for t in each.topics for index in t.partition_indexes
            ),
        )
        for each in asked.markers
    ]

    def done(results: list[Codes]) -> None:
        request.failed = any(code for codes in results for code in codes.values())
        markers = [
            _result(request, each.marker.producer_id, codes)
            for each, codes in zip(wanted, results, strict=True)
        ]
        answers.respond(request, markers=markers)

    context.markers.write(wanted, done)


def _result(request: Request, producer_id: int, codes: Codes) -> Any:
    schema = answers.schema(request)

    def partition(topic: str, index: int) -> Any:
        return make(
            schema.WritableTxnMarkerPartitionResult,
            partition_index=index,
            error_code=codes[topic, index],
        )

    topics = [
        make(
            schema.WritableTxnMarkerTopicResult,
            name=name,
            partitions=[partition(name, index) for index in indexes],
        )
        for name, indexes in by_topic(codes).items()
    ]
    return make(schema.WritableTxnMarkerResult, producer_id=producer_id, topics=topics)
