"""Fetch between brokers, written and read by hand: kio reads and writes the same."""

from datetime import timedelta

from kio.serial import entity_reader

from salon.broker.errors import Code
from salon.broker.protocol.cold import encode
from salon.broker.protocol.versions import FETCH
from salon.broker.replication import wire
from salon.broker.replication.wire import Wanted
from tests.broker.wire import module


def test_a_request_says_what_a_follower_has():
    wanted = [
        Wanted(("t", 0), 3, 1 << 40, 2, 7, 1000),
        Wanted(("u", 5), -1, 0, -1, 0, 2000),
        Wanted(("t", 2), 3, 9, 3, 0, 1000),
    ]
    body = wire.encode_request(2, 500, 1, 1 << 20, wanted)
    schema = module(FETCH, wire.VERSION, "request")
    read, _ = entity_reader(schema.FetchRequest)(body, 0)

    assert (read.replica_id, read.max_wait, read.min_bytes, read.max_bytes) == (
        2,
        timedelta(milliseconds=500),
        1,
        1 << 20,
    )
    found = {
        (topic.topic, p.partition): (
            p.current_leader_epoch,
            p.fetch_offset,
            p.last_fetched_epoch,
            p.log_start_offset,
            p.partition_max_bytes,
        )
        for topic in read.topics
        for p in topic.partitions
    }
    assert found == {each.key: tuple(each[1:]) for each in wanted}


def test_an_answer_is_read_with_what_was_aborted_and_where_logs_part():
    m = module(FETCH, wire.VERSION, "response")

    def one(index: int, **fields: object) -> object:
        return m.PartitionData(
            partition_index=index,
            **{
                "error_code": Code.NONE,
                "high_watermark": 5,
                "last_stable_offset": 4,
                "log_start_offset": 1,
                "aborted_transactions": None,
                "records": None,
                **fields,
            },
        )

    aborted = m.AbortedTransaction(producer_id=7, first_offset=2)
    parts = (
        one(0, records=b"abc", aborted_transactions=(aborted, aborted)),
        one(1, error_code=Code.FENCED_LEADER_EPOCH),
        one(2, diverging_epoch=m.EpochEndOffset(epoch=3, end_offset=9)),
    )
    entity = m.FetchResponse(
        throttle_time=timedelta(0),
        error_code=Code.NONE,
        session_id=0,
        responses=(m.FetchableTopicResponse(topic="t", partitions=parts),),
    )
    error, found = wire.decode_response(memoryview(encode(entity)))

    assert error == 0
    assert [
        (f.key, f.error, f.high_watermark, f.log_start, f.diverging, bytes(f.records))
        for f in found
    ] == [
        (("t", 0), 0, 5, 1, None, b"abc"),
        (("t", 1), 74, 5, 1, None, b""),
        (("t", 2), 0, 5, 1, (3, 9), b""),
    ]
