"""LeaderAndIsr v6, StopReplica v3, UpdateMetadata v7: what the controller tells brokers.

Kafka's own wire format as it last was (3.9; KRaft has no such requests, and kio no
schemas of them), all flexible. One tagged field is ours: in Kafka a topic's settings
reached the brokers by ZooKeeper, here they come with UpdateMetadata.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from salon.broker.errors import ProtocolError
from salon.broker.protocol.primitives import Reader, Writer, uvarint
from salon.broker.replication.partition import PartitionState

LEADER_AND_ISR_VERSION = 6
STOP_REPLICA_VERSION = 3
UPDATE_METADATA_VERSION = 7
_SETTINGS_TAG = 10_000
_FULL = 0  # LeaderAndIsr's ``type`` since v5; incremental is 1
_PLAINTEXT = 0

Key = tuple[str, int]
Endpoints = Mapping[str, tuple[str, int]]
"""Address by listener name."""


class From(NamedTuple):
    """Who speaks, and to which life of the broker."""

    controller: int
    controller_epoch: int
    broker_epoch: int


class Replica(NamedTuple):
    """A partition of a topic as LeaderAndIsr has it."""

    key: Key
    topic_id: UUID
    state: PartitionState
    is_new: bool


class LeaderAndIsr(NamedTuple):
    """Lead these, follow those."""

    sender: From
    replicas: list[Replica]
    live: Mapping[int, tuple[str, int]]


class Stopped(NamedTuple):
    """A replica that is to stop, and whether its log goes."""

    key: Key
    leader_epoch: int
    delete: bool


class StopReplica(NamedTuple):
    """Lead and follow these no more."""

    sender: From
    replicas: list[Stopped]


class TopicMetadata(NamedTuple):
    """All that is known about a topic; ``offline`` by partition."""

    name: str
    id: UUID
    settings: Mapping[str, str]
    partitions: Mapping[int, PartitionState]


class UpdateMetadata(NamedTuple):
    """What clients are told; live brokers with all of their listeners."""

    sender: From
    topics: list[TopicMetadata]
    brokers: Mapping[int, Endpoints]


def _write_sender(w: Writer, sender: From) -> None:
    w.int32(sender.controller)
    w.int32(sender.controller_epoch)
    w.int64(sender.broker_epoch)


def _read_sender(r: Reader) -> From:
    return From(r.int32(), r.int32(), r.int64())


def _ints(r: Reader) -> tuple[int, ...]:
    return tuple(r.int32() for _ in range(max(0, r.array_length(compact=True))))


def _many(r: Reader) -> range:
    return range(max(0, r.array_length(compact=True)))


# --- LeaderAndIsr ---


def encode_leader_and_isr(said: LeaderAndIsr) -> bytes:
    w = Writer(compact=True)
    _write_sender(w, said.sender)
    w.int8(_FULL)
    by_topic: dict[tuple[str, UUID], list[Replica]] = {}
    for each in said.replicas:
        by_topic.setdefault((each.key[0], each.topic_id), []).append(each)
    w.array(len(by_topic))
    for (topic, topic_id), replicas in by_topic.items():
        w.string(topic)
        w.uuid(topic_id)
        w.array(len(replicas))
        for each in replicas:
            _write_replica(w, said.sender, each)
        w.tags()
    w.array(len(said.live))
    for broker, (host, port) in said.live.items():
        w.int32(broker)
        w.string(host)
        w.int32(port)
        w.tags()
    w.tags()
    return bytes(w.out)


def _write_replica(w: Writer, sender: From, replica: Replica) -> None:
    state = replica.state
    w.int32(replica.key[1])
    w.int32(sender.controller_epoch)
    w.int32(state.leader)
    w.int32(state.leader_epoch)
    w.int32_array(state.isr)
    w.int32(state.partition_epoch)
    w.int32_array(state.replicas)
    w.int32_array(())  # adding_replicas
    w.int32_array(())  # removing_replicas
    w.boolean(replica.is_new)
    w.int8(0)  # leader_recovery_state: recovered
    w.tags()


def decode_leader_and_isr(buffer: memoryview, position: int) -> LeaderAndIsr:
    """A LeaderAndIsr body.

    Raises:
        ProtocolError: theirs; the bytes end early or lengths do not fit.
    """
    r = Reader(buffer, position)
    sender = _read_sender(r)
    r.int8()
    replicas = []
    for _ in _many(r):
        topic, topic_id = r.string(compact=True), r.uuid()
        replicas += [_read_replica(r, topic, topic_id) for _ in _many(r)]
        r.skip_tags()
    live = {}
    for _ in _many(r):
        broker = r.int32()
        live[broker] = (r.string(compact=True), r.int32())
        r.skip_tags()
    return LeaderAndIsr(sender, replicas, live)


def _read_replica(r: Reader, topic: str, topic_id: UUID) -> Replica:
    index = r.int32()
    r.int32()  # controller_epoch
    leader, leader_epoch = r.int32(), r.int32()
    isr = _ints(r)
    partition_epoch = r.int32()
    replicas = _ints(r)
    _ints(r)
    _ints(r)
    is_new = r.boolean()
    r.int8()
    r.skip_tags()
    state = PartitionState(leader, leader_epoch, isr, partition_epoch, replicas)
    return Replica((topic, index), topic_id, state, is_new)


def encode_leader_and_isr_answer(
    error: int, errors: Mapping[tuple[UUID, int], int]
) -> bytes:
    """By topic id and partition."""
    w = Writer(compact=True)
    w.int16(error)
    by_topic: dict[UUID, list[tuple[int, int]]] = {}
    for (topic_id, index), code in errors.items():
        by_topic.setdefault(topic_id, []).append((index, code))
    w.array(len(by_topic))
    for topic_id, partitions in by_topic.items():
        w.uuid(topic_id)
        w.array(len(partitions))
        for index, code in partitions:
            w.int32(index)
            w.int16(code)
            w.tags()
        w.tags()
    w.tags()
    return bytes(w.out)


# --- StopReplica ---


def encode_stop_replica(said: StopReplica) -> bytes:
    w = Writer(compact=True)
    _write_sender(w, said.sender)
    by_topic: dict[str, list[Stopped]] = {}
    for each in said.replicas:
        by_topic.setdefault(each.key[0], []).append(each)
    w.array(len(by_topic))
    for topic, replicas in by_topic.items():
        w.string(topic)
        w.array(len(replicas))
        for each in replicas:
            w.int32(each.key[1])
            w.int32(each.leader_epoch)
            w.boolean(each.delete)
            w.tags()
        w.tags()
    w.tags()
    return bytes(w.out)


def decode_stop_replica(buffer: memoryview, position: int) -> StopReplica:
    """A StopReplica body.

    Raises:
        ProtocolError: theirs; the bytes end early or lengths do not fit.
    """
    r = Reader(buffer, position)
    sender = _read_sender(r)
    replicas = []
    for _ in _many(r):
        topic = r.string(compact=True)
        for _ in _many(r):
            replicas.append(Stopped((topic, r.int32()), r.int32(), r.boolean()))
            r.skip_tags()
        r.skip_tags()
    return StopReplica(sender, replicas)


def encode_stop_replica_answer(error: int, errors: Mapping[Key, int]) -> bytes:
    w = Writer(compact=True)
    w.int16(error)
    w.array(len(errors))
    for (topic, index), code in errors.items():
        w.string(topic)
        w.int32(index)
        w.int16(code)
        w.tags()
    w.tags()
    return bytes(w.out)


# --- UpdateMetadata ---


def encode_update_metadata(said: UpdateMetadata) -> bytes:
    w = Writer(compact=True)
    _write_sender(w, said.sender)
    w.array(len(said.topics))
    for topic in said.topics:
        _write_topic(w, said, topic)
    w.array(len(said.brokers))
    for broker, endpoints in said.brokers.items():
        w.int32(broker)
        w.array(len(endpoints))
        for listener, (host, port) in endpoints.items():
            w.int32(port)
            w.string(host)
            w.string(listener)
            w.int16(_PLAINTEXT)
            w.tags()
        w.string(None)  # rack
        w.tags()
    w.tags()
    return bytes(w.out)


def _write_topic(w: Writer, said: UpdateMetadata, topic: TopicMetadata) -> None:
    w.string(topic.name)
    w.uuid(topic.id)
    w.array(len(topic.partitions))
    for index, state in topic.partitions.items():
        w.int32(index)
        w.int32(said.sender.controller_epoch)
        w.int32(state.leader)
        w.int32(state.leader_epoch)
        w.int32_array(state.isr)
        w.int32(state.partition_epoch)
        w.int32_array(state.replicas)
        w.int32_array([r for r in state.replicas if r not in said.brokers])
        w.tags()
    settings = json.dumps(dict(topic.settings)).encode()
    w.out += uvarint(1) + uvarint(_SETTINGS_TAG) + uvarint(len(settings)) + settings


def decode_update_metadata(buffer: memoryview, position: int) -> UpdateMetadata:
    """An UpdateMetadata body.

    Raises:
        ProtocolError: theirs; the bytes end early or lengths do not fit.
    """
    r = Reader(buffer, position)
    sender = _read_sender(r)
    topics = [_read_topic(r) for _ in _many(r)]
    brokers: dict[int, dict[str, tuple[str, int]]] = {}
    for _ in _many(r):
        endpoints = brokers[r.int32()] = {}
        for _ in _many(r):
            port, host, name = r.int32(), r.string(compact=True), r.string(compact=True)
            endpoints[name] = (host, port)
            r.int16()
            r.skip_tags()
        r.nullable_string(compact=True)
        r.skip_tags()
    return UpdateMetadata(sender, topics, brokers)


def _settings(data: memoryview) -> dict[str, str]:
    try:
        settings = json.loads(bytes(data))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ProtocolError("the settings of a topic are no JSON object")
    return settings


def _read_topic(r: Reader) -> TopicMetadata:
    name, topic_id = r.string(compact=True), r.uuid()
    partitions = {}
    for _ in _many(r):
        index = r.int32()
        r.int32()  # controller_epoch
        leader, leader_epoch = r.int32(), r.int32()
        isr = _ints(r)
        partition_epoch = r.int32()
        replicas = _ints(r)
        _ints(r)  # offline: those that are not among the brokers
        r.skip_tags()
        partitions[index] = PartitionState(
            leader, leader_epoch, isr, partition_epoch, replicas
        )
    found = r.tags().get(_SETTINGS_TAG)
    settings = _settings(found) if found is not None else {}
    return TopicMetadata(name, topic_id, settings, partitions)


def encode_update_metadata_answer(error: int) -> bytes:
    w = Writer(compact=True)
    w.int16(error)
    w.tags()
    return bytes(w.out)


def error_of(answer: memoryview) -> int:
    """The error code with which all three answers begin.

    Raises:
        ProtocolError: theirs; there is none.
    """
    return Reader(answer).int16()
