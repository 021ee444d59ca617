"""A broker as a member of its cluster: registered, alive, and what it asks for.

(``BrokerLifecycleManager``, ``AlterPartitionManager``, and the forwarding of KIP-590.)
Everything goes to the controller's control listener. While the controller is away the
broker serves on with what it knows, and registers again when it is back.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from salon.broker.channel import Request
from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code, ProtocolError
from salon.broker.protocol import cold, versions
from salon.broker.protocol.primitives import Reader
from salon.broker.replication.messages import Endpoints
from salon.broker.replication.partition import PartitionState
from salon.broker.replication.peer import Peer, PeerAway

log = logging.getLogger(__name__)

_REGISTER_AGAIN_S = 0.2
_ANSWER_S = 5.0
_ADMIN_S = 15.0
"""Making topics waits until all brokers know of them."""
_PLAINTEXT = 0


class Membership:
    """Registers, and keeps it so.

    Args:
        config: of this broker.
        cluster_id: of the cluster; the controller's is the true one.
        controller: address of its control listener.
        endpoints: of this broker, by listener.
    """

    def __init__(
        self,
        config: BrokerConfig,
        cluster_id: str,
        controller: Callable[[], tuple[str, int]],
        endpoints: Endpoints,
    ) -> None:
        self._config = config
        self._cluster_id = cluster_id
        self._endpoints = endpoints
        self._incarnation = uuid4()
        self._alive = Peer(controller, _ANSWER_S)
        self._asking = Peer(controller, _ANSWER_S)
        self._forwarding = Peer(controller, _ADMIN_S)
        self.epoch = -1
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def leave(self) -> None:
        """Say goodbye, so that nobody has to wait for a session to end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.epoch >= 0:
            try:
                await self._heartbeat(leaving=True)
            except (PeerAway, ApiError, ProtocolError) as error:
                log.info("left without a goodbye: %s", error)
        for peer in (self._alive, self._asking, self._forwarding):
            peer.close()

    async def _live(self) -> None:
        interval_s = self._config.broker_heartbeat_interval_ms / 1000
        while True:
            try:
                if self.epoch < 0:
                    await self._register()
                else:
                    await self._heartbeat()
            except (PeerAway, ProtocolError) as away:
                log.info("the controller does not answer: %s", away)
                await asyncio.sleep(_REGISTER_AGAIN_S)
                continue
            except ApiError as error:
                log.warning("the controller refuses: %s; registering", error)
                self.epoch = -1
                await asyncio.sleep(_REGISTER_AGAIN_S)
                continue
            await asyncio.sleep(interval_s)

    async def _register(self) -> None:
        schema = cold.module(versions.BROKER_REGISTRATION, 0, "request")
        listeners = [
            cold.make(
                schema.Listener,
                name=name,
                host=host,
                port=port,
                security_protocol=_PLAINTEXT,
            )
            for name, (host, port) in self._endpoints.items()
        ]
        answer = await self._ask(
            self._alive,
            versions.BROKER_REGISTRATION,
            0,
            broker_id=self._config.broker_id,
            cluster_id=self._cluster_id,
            incarnation_id=self._incarnation,
            listeners=listeners,
            features=(),
            rack=None,
        )
        self.epoch = answer.broker_epoch
        log.info("registered, broker epoch %d", self.epoch)

    async def _heartbeat(self, *, leaving: bool = False) -> None:
        await self._ask(
            self._alive,
            versions.BROKER_HEARTBEAT,
            0,
            broker_id=self._config.broker_id,
            broker_epoch=self.epoch,
            current_metadata_offset=-1,
            want_fence=False,
            want_shut_down=leaving,
        )

    async def alter_partition(
        self, topic_id: UUID, index: int, proposed: PartitionState
    ) -> PartitionState:
        """Propose an ISR; what holds now.

        Raises:
            ApiError: theirs; the controller refuses.
            PeerAway: ours; it does not answer, and may have decided.
        """
        schema = cold.module(versions.ALTER_PARTITION, 2, "request")
        wanted = cold.make(
            schema.PartitionData,
            partition_index=index,
            leader_epoch=proposed.leader_epoch,
            new_isr=tuple(proposed.isr),
            leader_recovery_state=0,
            partition_epoch=proposed.partition_epoch,
        )
        topic = cold.make(schema.TopicData, topic_id=topic_id, partitions=[wanted])
        answer = await self._ask(
            self._asking,
            versions.ALTER_PARTITION,
            2,
            broker_id=self._config.broker_id,
            broker_epoch=self.epoch,
            topics=[topic],
        )
        told = answer.topics[0].partitions[0]
        _check(told.error_code)
        return proposed._replace(
            leader=told.leader_id,
            leader_epoch=told.leader_epoch,
            isr=tuple(told.isr),
            partition_epoch=told.partition_epoch,
        )

    async def producer_ids(self) -> range:
        """A block of producer ids that no other broker has.

        Raises:
            ApiError: theirs; the controller refuses.
            PeerAway: ours; it does not answer.
        """
        answer = await self._ask(
            self._asking,
            versions.ALLOCATE_PRODUCER_IDS,
            0,
            broker_id=self._config.broker_id,
            broker_epoch=self.epoch,
        )
        first = answer.producer_id_start
        return range(first, first + answer.producer_id_len)

    async def _ask(self, peer: Peer, key: int, version: int, **fields: object) -> Any:
        name = versions.KNOWN[key].name
        module = cold.module(key, version, "request")
        entity = cold.make(getattr(module, f"{name}Request"), **fields)
        body = await peer.ask(key, version, cold.encode(entity))
        answer = cold.decode_answer(key, version, body)
        _check(answer.error_code)
        return answer

    async def forward(self, request: Request) -> None:
        """Let the controller answer an admin's request (KIP-590)."""
        header = request.header
        body = bytes(request.frame[header.body :])
        try:
            answer = await self._forwarding.ask(
                header.api_key, header.api_version, body
            )
        except PeerAway as away:
            log.warning("%s: the controller does not answer: %s", header.name, away)
            request.close_connection()  # the client looks for the controller again
            return
        request.respond(bytes(answer))

    async def ask_admin(self, key: int, version: int, body: bytes) -> memoryview:
        """Send an admin request of this broker's own.

        Raises:
            PeerAway: ours; the controller does not answer.
        """
        return await self._forwarding.ask(key, version, body)


def _check(code: int) -> None:
    if code != Code.NONE:
        raise ApiError(Code(code))


def error_code(answer: memoryview) -> int:
    return Reader(answer).int16()
