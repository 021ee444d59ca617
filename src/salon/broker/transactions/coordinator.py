"""The transaction coordinator: all partitions of a transaction, or none.

Theory of operation. (KIP-98, ``TransactionCoordinator``.) A *transactional id* belongs
to one producer at a time: ``InitProducerId`` raises its *epoch*, which fences whoever
came before (a zombie). A transaction is a set of partitions, grown by
``AddPartitionsToTxn`` before anything is written to them. Its end has two phases:

1. *Prepare*: the decision is written to ``__transaction_state`` and flushed. From here
   it will happen, whatever happens to us.
2. *Markers*: a control batch goes to every partition; when all are flushed, *Complete*
   is written.

After a crash between the two, ``recover`` writes the markers again; a partition that
has one already does not mind a second. A transaction that stays open longer than its
timeout is aborted and its producer fenced.

Kafka answers ``EndTxn`` after phase 1, and whoever is quick hears
CONCURRENT_TRANSACTIONS and tries again; here the markers are in the same process, and
the answer comes after phase 2. One transactional id does one thing at a time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code
from salon.broker.groups.offsets import Offsets, hash_code
from salon.broker.log import batch as batches
from salon.broker.log import transactions as markers
from salon.broker.log.batch import Batch
from salon.broker.replicas import Appended, ReplicaManager
from salon.broker.timer import Timer, TimerTask
from salon.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topics
from salon.broker.transactions.records import (
    Key,
    State,
    Transaction,
    read_key,
    read_value,
    write_key,
    write_value,
)
from salon.clock import Clock

log = logging.getLogger(__name__)

_ACK_TIMEOUT_MS = 5_000
_LAST_EPOCH = 32_766
_COORDINATOR_EPOCH = 0
_DONE = {
    State.PREPARE_COMMIT: State.COMPLETE_COMMIT,
    State.PREPARE_ABORT: State.COMPLETE_ABORT,
}


class TransactionCoordinator:
    """All transactional ids of this broker.

    Args:
        config: ``transaction.*`` settings.
        topics: how many partitions ``__transaction_state`` has.
        replicas: where records and markers go.
        offsets: of groups, which can be part of a transaction.
        timer: transactions end by it.
        now_ms: the timer's clock.
        clock: wall time, for what is kept.
        new_producer_id: a number that was never given out.
    """

    def __init__(
        self,
        config: BrokerConfig,
        topics: Topics,
        replicas: ReplicaManager,
        offsets: Offsets,
        timer: Timer,
        now_ms: Callable[[], int],
        clock: Clock,
        new_producer_id: Callable[[], Awaitable[int]],
    ) -> None:
        self._config = config
        self._topics = topics
        self._replicas = replicas
        self._offsets = offsets
        self._timer = timer
        self._now_ms = now_ms
        self._clock = clock
        self._new_producer_id = new_producer_id
        self._transactions: dict[str, Transaction] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._timeouts: dict[str, TimerTask] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- start and upkeep ---

    def load(self) -> None:
        """Read ``__transaction_state``; the newest record of an id holds."""
        for (topic, _), partition in self._replicas.partitions.items():
            if topic != TRANSACTIONS_TOPIC:
                continue
            kept = partition.log
            for batch, data in kept.batches(kept.start_offset, kept.end.offset):
                for record in batches.records(data, batch):
                    self._apply(record.key, record.value)

    def _apply(self, key: bytes | None, value: bytes | None) -> None:
        transactional_id = read_key(key) if key else None
        if transactional_id is None:
            return
        if value is None:
            self._transactions.pop(transactional_id, None)
        else:
            found = read_value(transactional_id, value)
            self._transactions[transactional_id] = found

    def recover(self) -> None:
        """Finish what was decided before the last end, and watch what is open."""
        for transaction in self._transactions.values():
            if transaction.state in _DONE:
                self._start(self._finish_later(transaction))
            elif transaction.state is State.ONGOING:
                self._watch(transaction)

    def all(self) -> list[Transaction]:
        """Every transactional id that is known."""
        return list(self._transactions.values())

    def now_ms(self) -> int:
        """Wall time, as in ``Transaction.started_ms``."""
        return self._clock.now_ms()

    async def expire(self) -> None:
        """Forget ids that were not used for ``transactional.id.expiration.ms``."""
        before = self._clock.now_ms() - self._config.transactional_id_expiration_ms
        for transaction in list(self._transactions.values()):
            idle = transaction.state not in (State.ONGOING, *_DONE)
            if idle and transaction.updated_ms < before:
                async with self._lock(transaction.id):
                    await self._write(transaction.id, None)
                    self._transactions.pop(transaction.id, None)
                self._locks.pop(transaction.id, None)

    async def close(self) -> None:
        """Stop; what was decided is finished at the next start."""
        for task in self._timeouts.values():
            task.cancel()
        for running in list(self._tasks):
            running.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except ApiError as error:
                log.error("a transaction could not be finished: %s", error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what producers ask ---

    async def init(
        self, transactional_id: str, timeout_ms: int, producer_id: int, epoch: int
    ) -> tuple[int, int]:
        """Take over a transactional id: whoever had it before is fenced.

        Args:
            transactional_id: the producer's name for itself.
            timeout_ms: how long a transaction of it may be open.
            producer_id: what it has already, or -1 (KIP-360).
            epoch: of that.

        Returns:
            The producer id and epoch to write with.

        Raises:
            ApiError: theirs; an impossible timeout, or a zombie.
        """
        if not transactional_id:
            raise ApiError(Code.INVALID_REQUEST, "a transactional id is not empty")
        if not 0 < timeout_ms <= self._config.transaction_max_timeout_ms:
            raise ApiError(Code.INVALID_TRANSACTION_TIMEOUT)
        async with self._lock(transactional_id):
            found = self._transactions.get(transactional_id)
            if found is None:
                new = await self._new_producer_id()
                found = Transaction(transactional_id, new, -1, timeout_ms)
            elif producer_id >= 0 and (producer_id, epoch) != (
                found.producer_id,
                found.epoch,
            ):
                raise ApiError(Code.PRODUCER_FENCED)
            await self._settle(found)
            await self._raise_epoch(found)
            found.timeout_ms = timeout_ms
            found.state = State.EMPTY
            await self._store(found)
            self._transactions[transactional_id] = found
            return found.producer_id, found.epoch

    async def _raise_epoch(self, transaction: Transaction) -> None:
        if transaction.epoch >= _LAST_EPOCH:
            transaction.producer_id = await self._new_producer_id()
            transaction.epoch = -1
        transaction.epoch += 1

    async def _settle(self, transaction: Transaction) -> None:
        """End what the one before left open, with an epoch that fences it."""
        if transaction.state is State.ONGOING:
            transaction.epoch += 1
            await self._end(transaction, commit=False)
        elif transaction.state in _DONE:
            await self._finish(transaction)

    async def add(
        self,
        transactional_id: str,
        producer_id: int,
        epoch: int,
        partitions: Iterable[Key],
    ) -> None:
        """Make ``partitions`` part of the transaction, which begins if there is none.

        Raises:
            ApiError: theirs; a zombie, or somebody else's id.
        """
        async with self._lock(transactional_id):
            found = self._existing(transactional_id, producer_id, epoch)
            if found.state in _DONE:
                raise ApiError(Code.CONCURRENT_TRANSACTIONS)
            wanted = set(partitions)
            if found.state is State.ONGOING and wanted <= found.partitions:
                return
            if found.state is not State.ONGOING:
                found.state = State.ONGOING
                found.partitions = set()
                found.started_ms = self._clock.now_ms()
                self._watch(found)
            found.partitions |= wanted
            await self._store(found)

    async def end(
        self, transactional_id: str, producer_id: int, epoch: int, *, commit: bool
    ) -> None:
        """Commit or abort; over when it cannot be undone and can be seen.

        Raises:
            ApiError: theirs; a zombie, or there is nothing to end. Ours; the disk.
        """
        async with self._lock(transactional_id):
            found = self._existing(transactional_id, producer_id, epoch)
            prepare = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
            if found.state is State.ONGOING:
                await self._end(found, commit=commit)
            elif found.state is prepare:
                await self._finish(found)
            elif found.state is not _DONE[prepare]:  # that one is a retry
                raise ApiError(Code.INVALID_TXN_STATE)

    def check_produce(self, transactional_id: str, batch: Batch, key: Key) -> None:
        """Whether a transactional batch may be written.

        Raises:
            ApiError: theirs; a zombie, or a partition that was not added: its records
                would hang in no transaction (KIP-890).
        """
        found = self._transactions.get(transactional_id)
        if found is None or found.producer_id != batch.producer_id:
            raise ApiError(Code.INVALID_PRODUCER_ID_MAPPING)
        if found.epoch != batch.producer_epoch:
            raise ApiError(Code.INVALID_PRODUCER_EPOCH)
        if found.state is not State.ONGOING or key not in found.partitions:
            raise ApiError(Code.INVALID_TXN_STATE, f"{key} is in no open transaction")

    def offsets_key(self, group: str) -> Key:
        """The partition that a group's offsets in a transaction go to."""
        return (OFFSETS_TOPIC, self._offsets.partition_for(group))

    # --- the two phases ---

    async def _end(self, transaction: Transaction, *, commit: bool) -> None:
        timeout = self._timeouts.pop(transaction.id, None)
        if timeout is not None:
            timeout.cancel()
        prepare = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
        transaction.state = prepare
        await self._store(transaction)
        await self._finish(transaction)

    async def _finish(self, transaction: Transaction) -> None:
        """Phase 2: markers everywhere, then *Complete*."""
        commit = transaction.state is State.PREPARE_COMMIT
        written = [
            self._replicas.append_marker(
                key,
                markers.marker(
                    transaction.producer_id,
                    transaction.epoch,
                    commit=commit,
                    coordinator_epoch=_COORDINATOR_EPOCH,
                    now_ms=self._clock.now_ms(),
                ),
            )
            for key in sorted(transaction.partitions)
            if key in self._replicas.partitions  # others were deleted meanwhile
        ]
        await self._acknowledged(written)
        self._offsets.end_transaction(transaction.producer_id, commit=commit)
        transaction.state = _DONE[transaction.state]
        transaction.partitions = set()
        await self._store(transaction)

    async def _finish_later(self, transaction: Transaction) -> None:
        async with self._lock(transaction.id):
            if transaction.state in _DONE:
                await self._finish(transaction)

    def _watch(self, transaction: Transaction) -> None:
        """Abort the transaction when its time is over."""
        age = max(0, self._clock.now_ms() - transaction.started_ms)
        due = self._now_ms() + max(0, transaction.timeout_ms - age)
        begun = transaction.started_ms
        task = TimerTask(due, lambda: self._start(self._abort_late(transaction, begun)))
        self._timeouts[transaction.id] = task
        self._timer.add(task)

    async def _abort_late(self, transaction: Transaction, begun: int) -> None:
        async with self._lock(transaction.id):
            if transaction.state is State.ONGOING and transaction.started_ms == begun:
                log.warning("transaction of %s took too long: aborted", transaction.id)
                transaction.epoch += 1
                await self._end(transaction, commit=False)

    # --- keeping ---

    def _lock(self, transactional_id: str) -> asyncio.Lock:
        return self._locks.setdefault(transactional_id, asyncio.Lock())

    def _existing(
        self, transactional_id: str, producer_id: int, epoch: int
    ) -> Transaction:
        found = self._transactions.get(transactional_id)
        if found is None or found.producer_id != producer_id:
            raise ApiError(Code.INVALID_PRODUCER_ID_MAPPING)
        if found.epoch != epoch:
            raise ApiError(Code.PRODUCER_FENCED)
        return found

    async def _store(self, transaction: Transaction) -> None:
        transaction.updated_ms = self._clock.now_ms()
        await self._write(transaction.id, write_value(transaction))

    async def _write(self, transactional_id: str, value: bytes | None) -> None:
        topic = self._topics.get(TRANSACTIONS_TOPIC)
        if topic is None:
            raise ApiError(Code.COORDINATOR_NOT_AVAILABLE)
        index = hash_code(transactional_id) % topic.partitions
        data = batches.build(
            [(write_key(transactional_id), value)], self._clock.now_ms()
        )
        key = (TRANSACTIONS_TOPIC, index)
        await self._acknowledged([self._replicas.append(key, data, acks=-1)])

    async def _acknowledged(self, appended: list[Appended]) -> None:
        """Wait until everything is flushed.

        Raises:
            ApiError: ours; the disk refused, and the client may try again.
        """
        if not appended:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def acknowledged() -> None:
            if not done.done():
                done.set_result(None)

        self._replicas.wait_for_acks(appended, _ACK_TIMEOUT_MS, acknowledged)
        await done
        if any(each.error is not Code.NONE for each in appended):
            raise ApiError(Code.COORDINATOR_NOT_AVAILABLE)
