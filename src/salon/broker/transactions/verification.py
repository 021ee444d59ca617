"""Is this partition part of that transaction? Asked before its first records are taken.

(KIP-890, ``AddPartitionsToTxnManager``.) Records that come too late, when their
transaction is over, would open another one that nobody ends, and readers of committed
records would wait there for ever. So the leader of a partition asks the coordinator once
per transaction, on the connection to its broker. A marker may come while it asks: then the
answer is of the past, and the records are refused.
"""

import logging
from collections.abc import Callable, Iterable, Mapping

from salon.broker.errors import ApiError, Code, ProtocolError
from salon.broker.log.batch import Batch
from salon.broker.nodes import NOWHERE, Nodes
from salon.broker.partition import Key, Partition
from salon.broker.replication.peer import Address, Peer, PeerAway
from salon.broker.topics import TRANSACTIONS_TOPIC
from salon.broker.transactions import messages
from salon.broker.transactions.coordinator import TransactionCoordinator

log = logging.getLogger(__name__)

_ANSWER_S = 5.0
_TRY_AGAIN = (
    Code.CONCURRENT_TRANSACTIONS,
    Code.COORDINATOR_LOAD_IN_PROGRESS,
    Code.COORDINATOR_NOT_AVAILABLE,
    Code.NOT_COORDINATOR,
)


class Guard:
    """What a coordinator has said about one producer and one partition.

    Args:
        code: whether the partition is part of the transaction.
        marked_at: where the producer's last transaction had ended when it was asked.
    """

    __slots__ = ("code", "marked_at")

    def __init__(self, code: Code, marked_at: int) -> None:
        self.code = code
        self.marked_at = marked_at

    def check(self, partition: Partition, batch: Batch) -> None:
        """Whether a transactional batch may be written.

        Raises:
            ApiError: theirs; it is part of no open transaction. Ours; nobody knows yet.
        """
        producers = partition.log.producers
        if producers.in_transaction(batch.producer_id, batch.producer_epoch):
            return
        if self.code is not Code.NONE:
            raise ApiError(self.code)
        if producers.marked_at(batch.producer_id) != self.marked_at:
            raise ApiError(Code.INVALID_TXN_STATE, "the transaction has just ended")


class Verifier:
    """Asks coordinators.

    Args:
        me: this broker's id.
        nodes: who leads what.
        coordinator: for transactional ids that are coordinated here.
        address: of another broker's inter-broker listener.
    """

    def __init__(
        self,
        me: int,
        nodes: Nodes,
        coordinator: TransactionCoordinator,
        address: Callable[[int], Address | None],
    ) -> None:
        self._me = me
        self._nodes = nodes
        self._coordinator = coordinator
        self._address = address
        self._peers: dict[int, Peer] = {}

    async def ask(
        self,
        transactional_id: str,
        producer: tuple[int, int],
        partitions: Iterable[Partition],
    ) -> dict[Key, Guard]:
        """What the coordinator of an id says about partitions that are led here.

        A code of NOT_ENOUGH_REPLICAS stands for "ask again", in a word that every
        producer understands.
        """
        marks = _marks(producer, partitions)
        leader = self._coordinated_by(transactional_id)
        codes: Mapping[Key, Code] = {}
        if leader == self._me:
            codes = self.verify_here(transactional_id, producer, marks)
        elif leader not in (None, NOWHERE):
            keys = list(marks)
            codes = await self._ask_other(leader, transactional_id, producer, keys)
        return _guards(codes, marks)

    def ask_here(
        self,
        transactional_id: str,
        producer: tuple[int, int],
        partitions: Iterable[Partition],
    ) -> dict[Key, Guard] | None:
        """The same at once; None where the coordinator is another broker."""
        if self._coordinated_by(transactional_id) != self._me:
            return None
        marks = _marks(producer, partitions)
        return _guards(self.verify_here(transactional_id, producer, marks), marks)

    def _coordinated_by(self, transactional_id: str) -> int | None:
        index = self._coordinator.partition_for(transactional_id)
        return self._nodes.leader_id(TRANSACTIONS_TOPIC, index)

    def verify_here(
        self, transactional_id: str, producer: tuple[int, int], keys: Iterable[Key]
    ) -> dict[Key, Code]:
        """What the coordinator on this broker says."""
        codes = {}
        for key in keys:
            codes[key] = Code.NONE
            try:
                self._coordinator.verify(transactional_id, *producer, key)
            except ApiError as error:
                codes[key] = error.code
        return codes

    async def _ask_other(
        self,
        broker: int,
        transactional_id: str,
        producer: tuple[int, int],
        keys: list[Key],
    ) -> Mapping[Key, Code]:
        peer = self._peers.get(broker)
        if peer is None:
            peer = self._peers[broker] = Peer(lambda: self._address(broker), _ANSWER_S)
        try:
            return await messages.verify(peer, transactional_id, producer, keys)
        except (PeerAway, ProtocolError) as away:
            peer.close()
            log.info("broker %d, coordinator of %s: %s", broker, transactional_id, away)
            return {}

    def close(self) -> None:
        """Hang up."""
        for peer in self._peers.values():
            peer.close()


def _marks(
    producer: tuple[int, int], partitions: Iterable[Partition]
) -> dict[Key, int]:
    return {p.key: p.log.producers.marked_at(producer[0]) for p in partitions}


def _guards(codes: Mapping[Key, Code], marks: Mapping[Key, int]) -> dict[Key, Guard]:
    guards = {}
    for key, marked_at in marks.items():
        code = codes.get(key, Code.NOT_COORDINATOR)
        again = code in _TRY_AGAIN
        guards[key] = Guard(Code.NOT_ENOUGH_REPLICAS if again else code, marked_at)
    return guards
