"""The request queue: bounded, in order, and honest about being full."""

import struct
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.broker.channel import Request, RequestChannel, Response, ResponseKind
from salon.broker.metrics import Histogram, Metrics
from salon.broker.protocol import header
from salon.broker.protocol.versions import METADATA


@dataclass
class Processor:
    """Keeps the responses it is given."""

    responses: list[Response] = field(default_factory=list)

    def enqueue_response(self, response: Response) -> None:
        self.responses.append(response)


@dataclass
class Client:
    id: str = "client"
    host: str = "127.0.0.1"


def request(correlation: int = 1, owner: Any = None) -> Request:
    frame = memoryview(bytearray(struct.pack(">hhih", METADATA, 1, correlation, -1)))
    return Request(owner or Processor(), Client(), header.parse(frame), frame)


def test_the_queue_takes_its_capacity_and_no_more():
    channel = RequestChannel(3, lambda: None)

    assert [channel.put(request()) for _ in range(5)] == [True] * 3 + [False] * 2
    assert len(channel) == 3


def test_requests_come_out_in_the_order_they_went_in():
    channel = RequestChannel(10, lambda: None)
    sent = [request(i) for i in range(5)]
    for each in sent:
        channel.put(each)

    assert [channel.get() for _ in range(6)] == [*sent, None]


def test_who_waits_for_space_is_told_once_per_place():
    channel = RequestChannel(1, lambda: None)
    told: list[str] = []
    channel.put(request())
    channel.when_space(lambda: told.append("first"))
    channel.when_space(lambda: told.append("second"))
    channel.get()

    assert told == ["first"]


def test_a_request_is_answered_once():
    processor = Processor()
    asked = request(owner=processor)
    asked.respond(b"body")

    with pytest.raises(AssertionError, match="twice"):
        asked.respond_nothing()
    assert [r.kind for r in processor.responses] == [ResponseKind.SEND]
    assert b"".join(processor.responses[0].parts) == struct.pack(">ii", 8, 1) + b"body"


def test_the_times_of_a_request_add_up():
    """Total = queue + local + remote + response queue + send, as in Kafka."""
    metrics = Metrics()
    asked = request()
    asked.start_ns = 0
    asked.dequeued_ns = 1_000_000
    asked.local_done_ns = 3_000_000
    asked.response_made_ns = 10_000_000
    asked.response_dequeued_ns = 11_000_000
    asked.record(metrics, 13_000_000)
    m = metrics.request("Metadata")

    parts = m.times[1:]
    assert [h.total for h in parts] == [1, 2, 7, 1, 2]
    assert m.total_time.total == sum(h.total for h in parts)
    snapshot = metrics.snapshot()
    assert snapshot["RequestsPerSec,request=Metadata,version=1"] == 1
    assert snapshot["RemoteTimeMs,request=Metadata,Count"] == 1


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=50))
def test_a_quantile_is_at_most_twice_what_it_stands_for(times: list[int]):
    histogram = Histogram()
    for ns in times:
        histogram.update(ns)
    half = sorted(times)[(len(times) - 1) // 2] / 1e6
    found = histogram.quantile(0.5)

    assert histogram.count == len(times)
    assert histogram.total == sum(times) / 1e6
    assert half <= found <= max(2 * half, 0.033) or found == max(times) / 1e6
