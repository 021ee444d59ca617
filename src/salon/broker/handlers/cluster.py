"""What brokers and their controller say to each other.

LeaderAndIsr (4), StopReplica (5), UpdateMetadata (6), AlterPartition (56),
BrokerRegistration (62), BrokerHeartbeat (63), AllocateProducerIds (67). All come by the
control listener. The first three are the controller's words to this broker; the others
are for the broker that hosts the controller.
"""

from typing import Any

from salon.broker.channel import Request
from salon.broker.cluster import Cluster
from salon.broker.controller.controller import PRODUCER_IDS, Controller
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make
from salon.broker.replication import messages
from salon.broker.replication.partition import PartitionState


def _cluster(context: Context) -> Cluster:
    if context.cluster is None:
        raise AssertionError("served without a cluster")  # no listener offers it
    return context.cluster


def _controller(context: Context) -> Controller:
    """The controller, if it is here.

    Raises:
        ApiError: theirs; NOT_CONTROLLER.
    """
    controller = _cluster(context).controller
    if controller is None:
        raise ApiError(Code.NOT_CONTROLLER)
    return controller


async def leader_and_isr(context: Context, request: Request) -> None:
    said = messages.decode_leader_and_isr(request.frame, request.header.body)
    error, errors = Code.NONE, {}
    try:
        codes = await _cluster(context).replication.leader_and_isr(said)
        errors = {
            (each.topic_id, each.key[1]): codes[each.key] for each in said.replicas
        }
    except ApiError as refused:
        error = refused.code
    request.respond(messages.encode_leader_and_isr_answer(error, errors))


async def stop_replica(context: Context, request: Request) -> None:
    said = messages.decode_stop_replica(request.frame, request.header.body)
    error, errors = Code.NONE, {}
    try:
        errors = await _cluster(context).replication.stop_replica(said)
    except ApiError as refused:
        error = refused.code
    request.respond(messages.encode_stop_replica_answer(error, errors))


async def update_metadata(context: Context, request: Request) -> None:
    said = messages.decode_update_metadata(request.frame, request.header.body)
    error = Code.NONE
    try:
        await _cluster(context).replication.update_metadata(said)
    except ApiError as refused:
        error = refused.code
    request.respond(messages.encode_update_metadata_answer(error))


async def broker_registration(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    error, epoch = Code.NONE, -1
    try:
        endpoints = {each.name: (each.host, each.port) for each in asked.listeners}
        epoch = await _controller(context).register(asked.broker_id, endpoints)
    except ApiError as refused:
        error = refused.code
    answers.respond(request, error_code=error, broker_epoch=epoch)


async def broker_heartbeat(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    error = Code.NONE
    try:
        controller = _controller(context)
        if asked.want_shut_down:
            await controller.leave(asked.broker_id, asked.broker_epoch)
        else:
            controller.heartbeat(asked.broker_id, asked.broker_epoch)
    except ApiError as refused:
        error = refused.code
    answers.respond(
        request,
        error_code=error,
        is_caught_up=True,
        is_fenced=error is not Code.NONE,
        should_shut_down=bool(asked.want_shut_down),
    )


async def alter_partition(context: Context, request: Request) -> None:
    """Each partition on its own; the leaders send one at a time."""
    asked = answers.decode(request)
    schema = answers.schema(request)
    error, topics = Code.NONE, []
    try:
        controller = _controller(context)
        controller.heartbeat(asked.broker_id, asked.broker_epoch)
        for topic in asked.topics:
            partitions = [
                await _alter(controller, schema, asked.broker_id, topic.topic_id, each)
                for each in topic.partitions
            ]
            topics.append(
                make(schema.TopicData, topic_id=topic.topic_id, partitions=partitions)
            )
    except ApiError as refused:
        error = refused.code
    answers.respond(request, error_code=error, topics=topics)


async def _alter(
    controller: Controller, schema: Any, broker: int, topic_id: Any, wanted: Any
) -> Any:
    proposed = PartitionState(
        broker, wanted.leader_epoch, tuple(wanted.new_isr), wanted.partition_epoch, ()
    )
    error, holds = Code.NONE, proposed
    try:
        holds = await controller.alter_partition(
            broker, topic_id, wanted.partition_index, proposed
        )
    except ApiError as refused:
        error = refused.code
    return make(
        schema.PartitionData,
        partition_index=wanted.partition_index,
        error_code=error,
        leader_id=holds.leader,
        leader_epoch=holds.leader_epoch,
        isr=tuple(holds.isr),
        leader_recovery_state=0,
        partition_epoch=holds.partition_epoch,
    )


async def allocate_producer_ids(context: Context, request: Request) -> None:
    error, first = Code.NONE, 0
    try:
        first = await _controller(context).new_producer_ids()
    except ApiError as refused:
        error = refused.code
    answers.respond(
        request,
        error_code=error,
        producer_id_start=first,
        producer_id_len=PRODUCER_IDS if error is Code.NONE else 0,
    )
