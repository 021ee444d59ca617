"""What is known about transactional ids: in memory, and in ``__transaction_state``.

(``TransactionStateManager``.) An id belongs to a partition of that topic, and whoever
leads the partition coordinates the id. When leadership comes here the partition is read
from its start, the newest record of an id holds; when it goes, all of it is forgotten. A
``Led`` is one such time of leading: what was begun under one ends with it, so a record
that is written for an earlier one is refused, even if leadership has come back meanwhile.

What is decided is written first and holds when it is safe (acks=all). A write whose fate
is unknown changes nothing here; whoever asked for it asks again.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from salon.broker.config import BrokerConfig
from salon.broker.delayed import Appended
from salon.broker.errors import ApiError, Code
from salon.broker.groups.offsets import hash_code
from salon.broker.log import batch as batches
from salon.broker.partition import Partition
from salon.broker.replicas import ReplicaManager
from salon.broker.topics import TRANSACTIONS_TOPIC, Topics
from salon.broker.transactions.records import (
    Transaction,
    read_key,
    read_value,
    write_key,
    write_value,
)
from salon.clock import Clock

_ACK_TIMEOUT_MS = 5_000
_BATCHES_A_TURN = 64
"""Read before others get a turn of the loop."""


class Led:
    """A partition of ``__transaction_state``, from becoming its leader to the next role.

    Attributes:
        epoch: the coordinator epoch, which is the partition's leader epoch.
        loading: whether it is still being read.
        transactions: by transactional id.
    """

    __slots__ = ("epoch", "index", "loading", "transactions")

    def __init__(self, index: int, epoch: int) -> None:
        self.index = index
        self.epoch = epoch
        self.loading = True
        self.transactions: dict[str, Transaction] = {}


class TransactionLog:
    """The partitions of ``__transaction_state`` that are led here.

    Args:
        config: how many partitions there will be.
        topics: how many there are.
        replicas: where records go.
        clock: wall time, for what is kept.
    """

    def __init__(
        self,
        config: BrokerConfig,
        topics: Topics,
        replicas: ReplicaManager,
        clock: Clock,
    ) -> None:
        self._config = config
        self._topics = topics
        self._replicas = replicas
        self._clock = clock
        self._led: dict[int, Led] = {}

    # --- whose ---

    def partition_for(self, transactional_id: str) -> int:
        """Where an id's records go."""
        topic = self._topics.get(TRANSACTIONS_TOPIC)
        count = self._config.transaction_state_log_num_partitions
        return hash_code(transactional_id) % (topic.partitions if topic else count)

    def coordinated(self, transactional_id: str) -> Led:
        """The partition that keeps an id, if it is led and known here.

        Raises:
            ApiError: theirs; NOT_COORDINATOR. Ours; COORDINATOR_LOAD_IN_PROGRESS.
        """
        index = self.partition_for(transactional_id)
        led = self._led.get(index)
        if led is None:
            partition = self._partition(index)
            if partition is None or not partition.leads or partition.replicated:
                raise ApiError(Code.NOT_COORDINATOR)
            led = self.read_all(index)  # one broker leads what it has just made
        if led.loading:
            raise ApiError(Code.COORDINATOR_LOAD_IN_PROGRESS)
        return led

    def holds(self, led: Led) -> bool:
        """Whether ``led`` is still so."""
        return self._led.get(led.index) is led

    def known(self) -> list[tuple[Led, Transaction]]:
        """Every transactional id that is coordinated here."""
        return [
            (led, each)
            for led in self._led.values()
            if not led.loading
            for each in led.transactions.values()
        ]

    def _partition(self, index: int) -> Partition | None:
        return self._replicas.partitions.get((TRANSACTIONS_TOPIC, index))

    # --- reading ---

    def begin(self, index: int) -> Led:
        """Leadership of a partition is here: nothing is known until it is read."""
        partition = self._partition(index)
        assert partition is not None
        led = self._led[index] = Led(index, partition.leader_epoch)
        return led

    def read_all(self, index: int) -> Led:
        """Read a partition at once, as one broker does when it starts."""
        led = self.begin(index)
        for _ in self._read(led):
            pass
        led.loading = False
        return led

    async def read(self, led: Led) -> bool:
        """Read a partition while others go on; false when leadership went meanwhile."""
        partition = self._partition(led.index)
        if partition is None:
            return False
        async with partition.cleaning:  # no segment is replaced under the reader
            for _ in self._read(led):
                await asyncio.sleep(0)
                if not self.holds(led):
                    return False
        led.loading = False
        return True

    def _read(self, led: Led) -> Iterator[None]:
        partition = self._partition(led.index)
        if partition is None:
            return
        log = partition.log
        found = log.batches(log.start_offset, log.end.offset)
        for n, (batch, data) in enumerate(found, 1):
            for record in batches.records(data, batch):
                self._apply(led, record.key, record.value)
            if n % _BATCHES_A_TURN == 0:
                yield

    def _apply(self, led: Led, key: bytes | None, value: bytes | None) -> None:
        transactional_id = read_key(key) if key else None
        if transactional_id is None:
            return
        if value is None:
            led.transactions.pop(transactional_id, None)
        else:
            found = read_value(transactional_id, value)
            led.transactions[transactional_id] = found

    def resign(self, index: int) -> Led | None:
        """Leadership is elsewhere: forget. What was led, if it was."""
        return self._led.pop(index, None)

    # --- writing ---

    async def put(self, led: Led, transaction: Transaction) -> Transaction:
        """Write where a transaction stands; it holds when this returns.

        Raises:
            ApiError: ours; NOT_COORDINATOR, or COORDINATOR_NOT_AVAILABLE: nobody knows
                whether it was written.
        """
        kept = replace(transaction, updated_ms=self._clock.now_ms())
        await self._write(led, kept.id, write_value(kept))
        led.transactions[kept.id] = kept
        return kept

    async def remove(self, led: Led, transactional_id: str) -> None:
        """Forget an id.

        Raises:
            ApiError: as of ``put``.
        """
        await self._write(led, transactional_id, None)
        led.transactions.pop(transactional_id, None)

    async def _write(
        self, led: Led, transactional_id: str, value: bytes | None
    ) -> None:
        if not self.holds(led):
            raise ApiError(Code.NOT_COORDINATOR)
        data = batches.build(
            [(write_key(transactional_id), value)], self._clock.now_ms()
        )
        key = (TRANSACTIONS_TOPIC, led.index)
        await self._safe(self._replicas.append(key, data, acks=-1))
        if not self.holds(led):
            raise ApiError(Code.NOT_COORDINATOR)

    async def _safe(self, appended: Appended) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged() -> None:
            if not done.done():
                done.set_result(None)

        self._replicas.wait_for_acks([appended], _ACK_TIMEOUT_MS, acknowledged)
        await done
        if appended.error is Code.NOT_LEADER_OR_FOLLOWER:
            raise ApiError(Code.NOT_COORDINATOR)
        if appended.error is not Code.NONE:
            raise ApiError(Code.COORDINATOR_NOT_AVAILABLE, appended.message or "")
