"""A Kafka client for tests: one raw connection, requests by kio, nothing hidden."""

import asyncio
import contextlib
import io
import struct
from datetime import timedelta
from typing import Any, Self

from kio.index import load_payload_module
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from salon.broker.log import batch as batches
from salon.broker.protocol.cold import make
from salon.broker.protocol.versions import API_VERSIONS, APIS, FETCH, METADATA, PRODUCE


def module(key: int, version: int, kind: str) -> Any:
    return load_payload_module(key, version, EntityType[kind])


class Wire:
    """One connection. ``send`` and ``receive`` are apart, so that tests can pipeline."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._correlation = 0

    @classmethod
    async def connect(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 26))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def frame(self, key: int, version: int, body: bytes) -> bytes:
        self._correlation += 1
        head = struct.pack(">hhih", key, version, self._correlation, 4) + b"wire"
        if version >= APIS[key].flexible:
            head += b"\0"
        return struct.pack(">i", len(head) + len(body)) + head + body

    def send(self, key: int, version: int, body: bytes) -> int:
        """Send a request; its correlation id."""
        self.writer.write(self.frame(key, version, body))
        return self._correlation

    async def receive(self, timeout: float = 10) -> tuple[int, bytes]:
        """The next response: correlation id, and all that follows it."""
        async with asyncio.timeout(timeout):
            (size,) = struct.unpack(">i", await self.reader.readexactly(4))
            data = await self.reader.readexactly(size)
        return struct.unpack_from(">i", data)[0], data[4:]

    async def ask(self, key: int, version: int, /, **fields: Any) -> Any:
        """Send a request built from kio's schema and decode its response."""
        cls = getattr(module(key, version, "request"), f"{APIS[key].name}Request")
        correlation = self.send(key, version, encode(make(cls, **fields)))
        got, data = await self.receive()
        assert got == correlation
        return decode_response(key, version, data)

    # --- the three that nearly every test needs ---

    async def create(self, topic: str, version: int = 9) -> Any:
        """Metadata for a topic, which makes it."""
        m = module(METADATA, version, "request")
        wanted = make(m.MetadataRequestTopic, name=topic, topic_id=None)
        return await self.ask(
            METADATA,
            version,
            topics=[wanted],
            allow_auto_topic_creation=True,
            include_topic_authorized_operations=False,
            include_cluster_authorized_operations=False,
        )

    def send_produce(
        self,
        topic: str,
        *values: bytes,
        acks: int = -1,
        data: bytes | None = None,
        version: int = 9,
        partition: int = 0,
        timeout_ms: int = 5000,
    ) -> int:
        m = module(PRODUCE, version, "request")
        records = data or bytes(batches.build([(None, v) for v in values], 1000))
        one = m.PartitionProduceData(index=partition, records=records)
        entity = make(
            m.ProduceRequest,
            transactional_id=None,
            acks=acks,
            timeout=timedelta(milliseconds=timeout_ms),
            topic_data=(m.TopicProduceData(name=topic, partition_data=(one,)),),
        )
        return self.send(PRODUCE, version, encode(entity))

    async def produce(self, topic: str, *values: bytes, **how: Any) -> Any:
        """Produce and decode the answer for the one partition."""
        correlation = self.send_produce(topic, *values, **how)
        got, data = await self.receive()
        assert got == correlation
        response = decode_response(PRODUCE, how.get("version", 9), data)
        return response.responses[0].partition_responses[0]

    def send_fetch(
        self,
        topic: str,
        offset: int,
        *,
        wait_ms: int = 0,
        min_bytes: int = 1,
        max_bytes: int = 1 << 20,
        version: int = 11,
        partition: int = 0,
    ) -> int:
        m = module(FETCH, version, "request")
        one = make(
            m.FetchPartition,
            partition=partition,
            fetch_offset=offset,
            partition_max_bytes=max_bytes,
        )
        entity = make(
            m.FetchRequest,
            replica_id=-1,
            max_wait=timedelta(milliseconds=wait_ms),
            min_bytes=min_bytes,
            max_bytes=50 << 20,
            isolation_level=0,
            session_id=0,
            session_epoch=-1,
            forgotten_topics_data=(),
            rack_id="",
            topics=[make(m.FetchTopic, topic=topic, partitions=[one])],
        )
        return self.send(FETCH, version, encode(entity))

    async def fetch(self, topic: str, offset: int, **how: Any) -> Any:
        """Fetch and decode the answer for the one partition."""
        correlation = self.send_fetch(topic, offset, **how)
        got, data = await self.receive()
        assert got == correlation
        response = decode_response(FETCH, how.get("version", 11), data)
        return response.responses[0].partitions[0]


def encode(entity: Any) -> bytes:
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def decode_response(key: int, version: int, data: bytes) -> Any:
    """The body of a response, after its correlation id."""
    cls = getattr(module(key, version, "response"), f"{APIS[key].name}Response")
    flexible = version >= APIS[key].flexible and key != API_VERSIONS
    entity, end = entity_reader(cls)(data, 1 if flexible else 0)
    assert end + (1 if flexible else 0) >= len(data), "bytes are left over"
    return entity


def values(records: bytes | None) -> list[bytes]:
    """Values of the whole batches in fetched records."""
    found = []
    data = memoryview(records or b"")
    while len(data) >= batches.HEADER_SIZE:
        batch = batches.parse(data)
        if batch.size > len(data):
            break
        found += [r.value or b"" for r in batches.records(data, batch)]
        data = data[batch.size :]
    return found
