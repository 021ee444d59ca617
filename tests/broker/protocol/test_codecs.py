"""The hand-made codecs against kio, for every version and both directions."""

import contextlib
import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.index import load_payload_module
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from salon.broker.errors import Code, ProtocolError
from salon.broker.protocol import api_versions, cold, fetch, metadata, produce
from salon.broker.protocol.versions import (
    ALL,
    API_VERSIONS,
    APIS,
    FETCH,
    METADATA,
    OFFSET_COMMIT,
    PRODUCE,
)

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=300)
int16 = st.integers(-(2**15), 2**15 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
millis = st.integers(0, 2**31 - 1)
uuids = st.uuids()
errors = st.sampled_from([Code.NONE, Code.CORRUPT_MESSAGE, Code.REQUEST_TIMED_OUT])


def versions(key: int) -> st.SearchStrategy[int]:
    return st.integers(APIS[key].lowest, APIS[key].highest)


def kio_module(key: int, version: int, kind: str) -> Any:
    return load_payload_module(key, version, EntityType[kind])


def kio_bytes(entity: Any) -> bytes:
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def kio_entity(cls: Any, data: bytes) -> Any:
    entity, size = entity_reader(cls)(bytes(data), 0)
    assert size == len(data), "bytes are left over"
    return entity


@given(
    version=versions(PRODUCE),
    transactional_id=st.none() | names,
    acks=int16,
    timeout=millis,
    topics=st.lists(
        st.tuples(
            names,
            st.lists(st.tuples(int32, st.none() | st.binary(max_size=300)), max_size=3),
        ),
        max_size=3,
    ),
)
def test_a_produce_request_is_read_as_kio_writes_it(
    version: int, transactional_id: Any, acks: int, timeout: int, topics: Any
):
    m = kio_module(PRODUCE, version, "request")
    entity = m.ProduceRequest(
        transactional_id=transactional_id,
        acks=acks,
        timeout=timedelta(milliseconds=timeout),
        topic_data=tuple(
            m.TopicProduceData(
                name=name,
                partition_data=tuple(
                    m.PartitionProduceData(index=index, records=records)
                    for index, records in partitions
                ),
            )
            for name, partitions in topics
        ),
    )
    decoded = produce.decode(memoryview(kio_bytes(entity)), 0, version)

    assert decoded == (transactional_id, acks, timeout, topics)


@given(
    version=versions(PRODUCE),
    topics=st.lists(
        st.tuples(
            names,
            st.lists(
                st.builds(
                    produce.PartitionResponse,
                    int32,
                    errors,
                    int64,
                    int64,
                    st.none() | names,
                ),
                max_size=3,
            ),
        ),
        max_size=3,
    ),
)
def test_a_produce_response_is_read_by_kio(version: int, topics: Any):
    m = kio_module(PRODUCE, version, "response")
    entity = kio_entity(m.ProduceResponse, produce.encode(topics, version))

    assert [t.name for t in entity.responses] == [name for name, _ in topics]
    for topic, (_, partitions) in zip(entity.responses, topics, strict=True):
        for got, sent in zip(topic.partition_responses, partitions, strict=True):
            assert (got.index, got.error_code) == (sent.partition, sent.error)
            assert got.base_offset == sent.base_offset
            assert got.log_append_time is None or version < 2
            if version >= 5:
                assert got.log_start_offset == sent.log_start_offset
            if version >= 8:
                assert (got.record_errors, got.error_message) == ((), sent.message)


@given(
    version=versions(FETCH),
    replica=int32,
    wait=millis,
    sizes=st.tuples(int32, int32),
    isolation=st.sampled_from([0, 1]),
    topics=st.lists(
        st.tuples(
            names,
            uuids,
            st.lists(st.tuples(int32, int32, int64, int32, int32), max_size=3),
        ),
        max_size=3,
    ),
    forgotten=st.lists(
        st.tuples(names, uuids, st.lists(int32, max_size=2)), max_size=2
    ),
)
def test_a_fetch_request_is_read_as_kio_writes_it(
    version: int,
    replica: int,
    wait: int,
    sizes: Any,
    isolation: int,
    topics: Any,
    forgotten: Any,
):
    m = kio_module(FETCH, version, "request")
    fields: dict[str, Any] = {
        "max_wait": timedelta(milliseconds=wait),
        "min_bytes": sizes[0],
        "max_bytes": sizes[1],
        "isolation_level": isolation,
        "session_id": 7,
        "session_epoch": -1,
        "rack_id": "rack",
        "topics": [
            cold.make(
                m.FetchTopic,
                topic=name,
                topic_id=topic_id,
                partitions=[
                    cold.make(
                        m.FetchPartition,
                        partition=p[0],
                        current_leader_epoch=p[1],
                        fetch_offset=p[2],
                        last_fetched_epoch=p[3],
                        log_start_offset=-1,
                        partition_max_bytes=p[4],
                    )
                    for p in partitions
                ],
            )
            for name, topic_id, partitions in topics
        ],
    }
    if version >= 7:
        fields["forgotten_topics_data"] = [
            cold.make(m.ForgottenTopic, topic=n, topic_id=i, partitions=p)
            for n, i, p in forgotten
        ]
    if version < 15:
        fields["replica_id"] = replica
    else:
        fields["replica_state"] = m.ReplicaState(replica_id=replica, replica_epoch=3)
    entity = cold.make(m.FetchRequest, **fields)
    decoded = fetch.decode(memoryview(kio_bytes(entity)), 0, version)

    assert decoded.replica_id == replica
    assert decoded.max_wait_ms == wait
    assert (decoded.min_bytes, decoded.max_bytes) == sizes
    assert decoded.isolation_level == isolation
    for (key, partitions), (name, topic_id, sent) in zip(
        decoded.topics, topics, strict=True
    ):
        assert key == (topic_id if version >= 13 else name)
        for got, p in zip(partitions, sent, strict=True):
            assert (got.partition, got.fetch_offset, got.max_bytes) == (
                p[0],
                p[2],
                p[4],
            )
            assert got.current_leader_epoch == (p[1] if version >= 9 else -1)
            assert got.last_fetched_epoch == (p[3] if version >= 12 else -1)


@given(
    version=versions(FETCH),
    error=errors,
    topics=st.lists(
        st.tuples(
            names,
            uuids,
            st.lists(
                st.tuples(
                    int32,
                    errors,
                    int64,
                    int64,
                    st.lists(st.binary(min_size=1), max_size=3),
                ),
                max_size=3,
            ),
        ),
        max_size=3,
    ),
)
def test_a_fetch_response_is_read_by_kio(version: int, error: Code, topics: Any):
    m = kio_module(FETCH, version, "response")
    answer = [
        (
            topic_id if version >= 13 else name,
            [
                fetch.PartitionData(p, e, hw, hw, s, tuple(r), sum(map(len, r)))
                for p, e, hw, s, r in partitions
            ],
        )
        for name, topic_id, partitions in topics
    ]
    parts, size = fetch.encode(answer, version, error=error)
    data = b"".join(parts)
    entity = kio_entity(m.FetchResponse, data)

    assert size == len(data)
    if version >= 7:
        assert (entity.error_code, entity.session_id) == (error, 0)
    for topic, (name, topic_id, partitions) in zip(
        entity.responses, topics, strict=True
    ):
        if version >= 13:
            assert (topic.topic_id or UUID(int=0)) == topic_id
        else:
            assert topic.topic == name
        for got, (p, e, hw, start, records) in zip(
            topic.partitions, partitions, strict=True
        ):
            assert (got.partition_index, got.error_code) == (p, e)
            assert (got.high_watermark, got.last_stable_offset) == (hw, hw)
            assert (got.records or b"") == b"".join(records)
            assert not got.aborted_transactions
            if version >= 5:
                assert got.log_start_offset == start


@given(
    version=versions(METADATA),
    topics=st.none() | st.lists(st.tuples(names, uuids), max_size=4),
    allow=st.booleans(),
)
def test_a_metadata_request_is_read_as_kio_writes_it(
    version: int, topics: Any, allow: bool
):
    if version == 0 and topics is None:
        topics = []  # v0 has no null: an empty list is all topics
    m = kio_module(METADATA, version, "request")
    entity = cold.make(
        m.MetadataRequest,
        topics=topics
        if topics is None
        else [
            cold.make(m.MetadataRequestTopic, name=name, topic_id=topic_id)
            for name, topic_id in topics
        ],
        allow_auto_topic_creation=allow,
        include_topic_authorized_operations=False,
        include_cluster_authorized_operations=False,
    )
    decoded = metadata.decode(memoryview(kio_bytes(entity)), 0, version)

    if topics is None or (version == 0 and not topics):
        assert decoded.topics is None
    else:
        expected = [(n, i if version >= 10 else UUID(int=0)) for n, i in topics]
        assert decoded.topics == expected
    assert decoded.allow_auto_topic_creation == (allow if version >= 4 else True)


@given(
    version=versions(METADATA),
    brokers=st.lists(
        st.builds(metadata.BrokerEndpoint, int32, names, int32), max_size=3
    ),
    cluster=names,
    controller=int32,
    topics=st.lists(
        st.builds(
            metadata.TopicMetadata,
            errors,
            names,
            uuids,
            st.booleans(),
            st.lists(
                st.builds(
                    metadata.PartitionMetadata,
                    errors,
                    int32,
                    int32,
                    int32,
                    st.lists(int32, max_size=3).map(tuple),
                    st.lists(int32, max_size=3).map(tuple),
                    st.lists(int32, max_size=3).map(tuple),
                ),
                max_size=3,
            ),
        ),
        max_size=3,
    ),
)
@settings(max_examples=200)
def test_a_metadata_response_is_read_by_kio(
    version: int, brokers: Any, cluster: str, controller: int, topics: Any
):
    m = kio_module(METADATA, version, "response")
    data = metadata.encode(brokers, cluster, controller, topics, version)
    entity = kio_entity(m.MetadataResponse, data)

    assert [(b.node_id, b.host, b.port) for b in entity.brokers] == brokers
    if version >= 2:
        assert (entity.cluster_id, entity.controller_id) == (cluster, controller)
    for got, sent in zip(entity.topics, topics, strict=True):
        assert (got.error_code, got.name) == (sent.error, sent.name)
        if version >= 10:
            assert (got.topic_id or UUID(int=0)) == sent.id
        for p, expected in zip(got.partitions, sent.partitions, strict=True):
            assert p.error_code == expected.error
            assert (p.partition_index, p.leader_id) == expected[1:3]
            assert (p.replica_nodes, p.isr_nodes) == (expected.replicas, expected.isr)
            if version >= 5:
                assert p.offline_replicas == expected.offline
            if version >= 7:
                assert p.leader_epoch == expected.leader_epoch


@pytest.mark.parametrize("version", range(5))
def test_the_api_versions_response_is_read_by_kio(version: int):
    m = kio_module(API_VERSIONS, version, "response")
    entity = kio_entity(m.ApiVersionsResponse, api_versions.encode(version, ALL))
    ranges = {a.api_key: (a.min_version, a.max_version) for a in entity.api_keys}

    assert entity.error_code == ErrorCode.none
    assert ranges[PRODUCE] == (0, APIS[PRODUCE].highest), "KAFKA-18659"
    assert set(ranges) == set(APIS)


def test_an_unknown_version_of_api_versions_is_answered_in_the_oldest_form():
    m = kio_module(API_VERSIONS, 0, "response")
    entity = kio_entity(m.ApiVersionsResponse, api_versions.encode(99, ALL))

    assert entity.error_code == ErrorCode.unsupported_version
    assert {a.api_key for a in entity.api_keys} == set(APIS)


def test_every_served_version_has_a_schema_and_its_first_flexible_version_is_right():
    for key, api in APIS.items():
        for version in range(max(api.lowest, 0), api.highest + 1):
            request = kio_module(key, version, "request")
            kio_module(key, version, "response")
            root = getattr(request, f"{api.name}Request")

            assert root.__flexible__ == (version >= api.flexible), (api.name, version)


@pytest.mark.parametrize("key", [PRODUCE, FETCH, METADATA])
@given(data=st.binary(max_size=200), version=st.integers(0, 16))
def test_bytes_that_are_no_request_are_a_protocol_error_and_nothing_else(
    key: int, data: bytes, version: int
):
    api = APIS[key]
    version = min(max(version, api.lowest), api.highest)
    decode = {PRODUCE: produce, FETCH: fetch, METADATA: metadata}[key].decode
    with contextlib.suppress(ProtocolError):
        decode(memoryview(data), 0, version)


COLD = sorted(set(APIS) - {PRODUCE, FETCH, METADATA, API_VERSIONS})


@pytest.mark.parametrize("key", COLD)
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_any_other_request_is_read_as_kio_writes_it(key: int, data: st.DataObject):
    """kio's types know how to make examples of themselves."""
    version = data.draw(versions(key))
    cls = getattr(kio_module(key, version, "request"), f"{APIS[key].name}Request")
    entity = data.draw(st.from_type(cls))
    decoded = cold.decode(key, version, memoryview(kio_bytes(entity)), 0)

    assert decoded == entity


@given(data=st.binary(max_size=120), key=st.sampled_from(sorted(APIS)))
@settings(max_examples=500)
def test_no_bytes_break_the_reading_of_any_other_request(data: bytes, key: int):
    api = APIS[key]
    with contextlib.suppress(ProtocolError):
        cold.decode(key, api.highest, memoryview(data), 0)


def test_a_huge_array_is_refused_before_anything_is_made_for_it():
    body = memoryview(b"\xff\xff\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff")

    with pytest.raises(ProtocolError, match="2147483647 elements"):
        produce.decode(body, 0, 3)


@pytest.mark.parametrize("ms", [-(2**63), -(2**62), -1, 0, 1, 2**62, 2**63 - 1])
def test_no_duration_is_too_long_to_be_read(ms: int):
    retention = ms.to_bytes(8, "big", signed=True)
    body = b"\0\1g" + b"\0\0\0\1" + b"\0\1m" + retention + b"\0\0\0\0"

    asked = cold.decode(OFFSET_COMMIT, 4, memoryview(body), 0)

    longest = 999_999_999 * 86_400_000  # a timedelta's, to either side
    known = cold.milliseconds(asked.retention_time)
    assert known == max(-longest, min(ms, longest))
