"""The transaction coordinator: all partitions of a transaction, or none.

Theory of operation. (KIP-98, ``TransactionCoordinator``.) A *transactional id* belongs
to one producer at a time: ``InitProducerId`` raises its *epoch*, which fences whoever
came before (a zombie). A transaction is a set of partitions, grown by
``AddPartitionsToTxn`` before anything is written to them. Its end has two phases:

1. *Prepare*: the decision is written to ``__transaction_state`` and is safe. From here
   it will happen, whatever happens to us.
2. *Markers*: a control batch goes to every partition, wherever it is led
   (``markers``); when all are safe, *Complete* is written.

After a crash between the two, or when another broker leads the id's partition of
``__transaction_state`` from now on, the markers are sent again; a partition that has one
already does not mind a second. A transaction that stays open longer than its timeout is
aborted and its producer fenced.

Kafka answers ``EndTxn`` after phase 1, and whoever is quick hears
CONCURRENT_TRANSACTIONS and tries again. Here the answer waits a moment for phase 2, which
is nearly always over by then. One transactional id does one thing at a time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace

from salon.broker.config import BrokerConfig
from salon.broker.errors import ApiError, Code
from salon.broker.log.transactions import Marker
from salon.broker.partition import Key
from salon.broker.timer import Timer, TimerTask
from salon.broker.transactions.markers import TransactionMarkers
from salon.broker.transactions.records import State, Transaction
from salon.broker.transactions.state_log import Led, TransactionLog
from salon.clock import Clock

log = logging.getLogger(__name__)

_LAST_EPOCH = 32_766
_PATIENCE_S = 1.0
"""How long an answer waits for the markers of a transaction."""
_AGAIN_S = 0.1
_DONE = {
    State.PREPARE_COMMIT: State.COMPLETE_COMMIT,
    State.PREPARE_ABORT: State.COMPLETE_ABORT,
}


class TransactionCoordinator:
    """The transactional ids whose partition of ``__transaction_state`` is led here.

    Args:
        config: ``transaction.*`` settings.
        kept: what is known of them.
        markers: ends transactions where they were written.
        timer: transactions end by it.
        now_ms: the timer's clock.
        clock: wall time, for what is kept.
        new_producer_id: a number that was never given out.
    """

    def __init__(
        self,
        config: BrokerConfig,
        kept: TransactionLog,
        markers: TransactionMarkers,
        timer: Timer,
        now_ms: Callable[[], int],
        clock: Clock,
        new_producer_id: Callable[[], Awaitable[int]],
    ) -> None:
        self._config = config
        self._kept = kept
        self._markers = markers
        self._timer = timer
        self._now_ms = now_ms
        self._clock = clock
        self._new_producer_id = new_producer_id
        self._locks: dict[str, asyncio.Lock] = {}
        self._timeouts: dict[str, TimerTask] = {}
        self._finishing: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- where ids are coordinated ---

    def partition_for(self, transactional_id: str) -> int:
        """The partition of ``__transaction_state`` whose leader coordinates an id."""
        return self._kept.partition_for(transactional_id)

    def take_over(self, index: int) -> None:
        """This broker leads a partition of ``__transaction_state`` from now on."""
        self._let_go(self._kept.resign(index))
        self._start(self._read(self._kept.begin(index)))

    async def _read(self, led: Led) -> None:
        try:
            known = await self._kept.read(led)
        except Exception:
            # for ever "loading": clients wait, as they would for a broken disk
            log.exception("partition %d of transactions cannot be read", led.index)
            return
        if known and led.transactions:
            log.info(
                "coordinating %d transactional ids of partition %d, epoch %d",
                *(len(led.transactions), led.index, led.epoch),
            )
        if known:
            self._go_on(led)

    def recover(self, partitions: Iterable[int]) -> None:
        """Read partitions at once, and go on with what they say: one broker's start."""
        for index in partitions:
            self._go_on(self._kept.read_all(index))

    def _go_on(self, led: Led) -> None:
        """Finish what was decided before, and watch what is open."""
        for transaction in led.transactions.values():
            if transaction.state in _DONE:
                self._finish_soon(led, transaction)
            elif transaction.state is State.ONGOING:
                self._watch(led, transaction)

    def resign(self, index: int) -> None:
        """Another broker leads it: that one finishes what was begun."""
        self._let_go(self._kept.resign(index))

    def _let_go(self, led: Led | None) -> None:
        for name in led.transactions if led is not None else ():
            self._locks.pop(name, None)
            self._stop_watching(name)
            finishing = self._finishing.pop(name, None)
            if finishing is not None:
                finishing.cancel()

    # --- what admins ask, and upkeep ---

    def all(self) -> list[Transaction]:
        """Every transactional id that is coordinated here."""
        return [transaction for _, transaction in self._kept.known()]

    def find(self, transactional_id: str) -> Transaction:
        """Where a transactional id stands.

        Raises:
            ApiError: theirs; NOT_COORDINATOR, TRANSACTIONAL_ID_NOT_FOUND. Ours;
                COORDINATOR_LOAD_IN_PROGRESS.
        """
        led = self._kept.coordinated(transactional_id)
        found = led.transactions.get(transactional_id)
        if found is None:
            raise ApiError(Code.TRANSACTIONAL_ID_NOT_FOUND)
        return found

    def now_ms(self) -> int:
        """Wall time, as in ``Transaction.started_ms``."""
        return self._clock.now_ms()

    async def expire(self) -> None:
        """Forget ids that were not used for ``transactional.id.expiration.ms``."""
        before = self._clock.now_ms() - self._config.transactional_id_expiration_ms
        for led, transaction in self._kept.known():
            idle = transaction.state not in (State.ONGOING, *_DONE)
            if not idle or transaction.updated_ms >= before:
                continue
            try:
                async with self._lock(transaction.id):
                    if led.transactions.get(transaction.id) is not transaction:
                        continue  # it was used while we waited
                    await self._kept.remove(led, transaction.id)
                self._locks.pop(transaction.id, None)
            except ApiError as error:
                log.info("%s is not forgotten yet: %s", transaction.id, error)

    async def close(self) -> None:
        """Stop; what was decided is finished by whoever coordinates next."""
        for timeout in self._timeouts.values():
            timeout.cancel()
        running = [*self._tasks, *self._finishing.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._markers.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
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
            ApiError: theirs; an impossible timeout, or a zombie. Ours;
                CONCURRENT_TRANSACTIONS, what was open is not over yet.
        """
        if not transactional_id:
            raise ApiError(Code.INVALID_REQUEST, "a transactional id is not empty")
        if not 0 < timeout_ms <= self._config.transaction_max_timeout_ms:
            raise ApiError(Code.INVALID_TRANSACTION_TIMEOUT)
        async with self._lock(transactional_id):
            led = self._kept.coordinated(transactional_id)
            found = led.transactions.get(transactional_id)
            if found is None:
                new = await self._new_producer_id()
                found = Transaction(transactional_id, new, -1, timeout_ms)
            elif producer_id >= 0:
                again = _asks_again(found, producer_id, epoch)
                if again and found.state is State.EMPTY:
                    return found.producer_id, found.epoch
                known = found.producer_id, found.epoch
                if not again and known != (producer_id, epoch):
                    raise ApiError(Code.PRODUCER_FENCED)
            last_epoch = epoch if producer_id >= 0 else -1
            found = await self._settled(led, replace(found, last_epoch=last_epoch))
            raised = await self._raise_epoch(found)
            raised.timeout_ms = timeout_ms
            raised.state = State.EMPTY
            kept = await self._kept.put(led, raised)
            return kept.producer_id, kept.epoch

    async def _raise_epoch(self, transaction: Transaction) -> Transaction:
        raised = replace(transaction)
        if transaction.epoch >= _LAST_EPOCH:
            raised.producer_id = await self._new_producer_id()
            raised.epoch = -1
        raised.epoch += 1
        return raised

    async def _settled(self, led: Led, transaction: Transaction) -> Transaction:
        """End what the one before left open, with an epoch that fences it."""
        if transaction.state is State.ONGOING:
            fenced = replace(transaction, epoch=transaction.epoch + 1)
            await self._prepare(led, fenced, commit=False)
        elif transaction.state not in _DONE:
            return transaction
        await self._patiently(transaction.id)
        found = led.transactions[transaction.id]
        if found.state in _DONE:
            raise ApiError(Code.CONCURRENT_TRANSACTIONS)
        return found

    async def add(
        self,
        transactional_id: str,
        producer_id: int,
        epoch: int,
        partitions: Iterable[Key],
    ) -> None:
        """Make ``partitions`` part of the transaction, which begins if there is none.

        Raises:
            ApiError: theirs; a zombie, or somebody else's id. Ours;
                CONCURRENT_TRANSACTIONS, the one before is not over yet.
        """
        async with self._lock(transactional_id):
            led, found = self._existing(transactional_id, producer_id, epoch)
            if found.state in _DONE:
                raise ApiError(Code.CONCURRENT_TRANSACTIONS)
            wanted = set(partitions)
            if found.state is State.ONGOING:
                if not wanted <= found.partitions:
                    grown = found.partitions | wanted
                    await self._kept.put(led, replace(found, partitions=grown))
                return
            begun = replace(
                found,
                state=State.ONGOING,
                partitions=wanted,
                started_ms=self._clock.now_ms(),
            )
            self._watch(led, await self._kept.put(led, begun))

    async def end(
        self, transactional_id: str, producer_id: int, epoch: int, *, commit: bool
    ) -> None:
        """Commit or abort: it is decided when this returns, and nearly always over.

        Raises:
            ApiError: theirs; a zombie, or there is nothing to end. Ours; the disk, or
                too few brokers.
        """
        async with self._lock(transactional_id):
            led, found = self._existing(transactional_id, producer_id, epoch)
            prepare = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
            if found.state is State.ONGOING:
                await self._prepare(led, found, commit=commit)
            elif found.state not in (prepare, _DONE[prepare]):  # those are retries
                raise ApiError(Code.INVALID_TXN_STATE)
        await self._patiently(transactional_id)

    def verify(
        self, transactional_id: str, producer_id: int, epoch: int, key: Key
    ) -> None:
        """Whether a producer may write to a partition in its transaction.

        Raises:
            ApiError: theirs; a zombie, or a partition that was not added: its records
                would hang in no transaction (KIP-890).
        """
        led = self._kept.coordinated(transactional_id)
        found = led.transactions.get(transactional_id)
        if found is None or found.producer_id != producer_id:
            raise ApiError(Code.INVALID_PRODUCER_ID_MAPPING)
        if found.epoch != epoch:
            raise ApiError(Code.INVALID_PRODUCER_EPOCH)
        if found.state is not State.ONGOING or key not in found.partitions:
            raise ApiError(Code.INVALID_TXN_STATE, f"{key} is in no open transaction")

    # --- the two phases ---

    async def _prepare(
        self, led: Led, transaction: Transaction, *, commit: bool
    ) -> None:
        """Phase 1; the second begins."""
        state = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
        kept = await self._kept.put(led, replace(transaction, state=state))
        self._stop_watching(transaction.id)
        self._finish_soon(led, kept)

    def _finish_soon(self, led: Led, transaction: Transaction) -> None:
        work = self._finish(led, transaction)
        task = asyncio.get_running_loop().create_task(work)
        self._finishing[transaction.id] = task

        def over(done: asyncio.Task[None]) -> None:
            if self._finishing.get(transaction.id) is done:
                del self._finishing[transaction.id]

        task.add_done_callback(over)

    async def _finish(self, led: Led, transaction: Transaction) -> None:
        """Phase 2: markers everywhere, then *Complete*."""
        commit = transaction.state is State.PREPARE_COMMIT
        marker = Marker(transaction.producer_id, transaction.epoch, commit, led.epoch)
        try:
            await self._markers.deliver(marker, transaction.partitions)
        except ApiError as fenced:
            log.warning("the end of %s is somebody else's: %s", transaction.id, fenced)
            return
        state = _DONE[transaction.state]
        done = replace(transaction, state=state, partitions=set())
        while self._kept.holds(led):
            try:
                await self._kept.put(led, done)
                return
            except ApiError as error:
                log.info("the end of %s is not noted yet: %s", transaction.id, error)
                await asyncio.sleep(_AGAIN_S)

    async def _patiently(self, transactional_id: str) -> None:
        """Wait a moment for phase 2."""
        finishing = self._finishing.get(transactional_id)
        if finishing is not None:
            await asyncio.wait([finishing], timeout=_PATIENCE_S)

    def _watch(self, led: Led, transaction: Transaction) -> None:
        """Abort the transaction when its time is over."""
        self._stop_watching(transaction.id)
        age = max(0, self._clock.now_ms() - transaction.started_ms)
        due = self._now_ms() + max(0, transaction.timeout_ms - age)
        name, begun = transaction.id, transaction.started_ms
        task = TimerTask(due, lambda: self._start(self._abort_late(led, name, begun)))
        self._timeouts[transaction.id] = task
        self._timer.add(task)

    def _stop_watching(self, transactional_id: str) -> None:
        timeout = self._timeouts.pop(transactional_id, None)
        if timeout is not None:
            timeout.cancel()

    async def _abort_late(self, led: Led, transactional_id: str, begun: int) -> None:
        while self._kept.holds(led):
            async with self._lock(transactional_id):
                found = led.transactions.get(transactional_id)
                if found is None or found.state is not State.ONGOING:
                    return
                if found.started_ms != begun:
                    return
                log.warning("transaction of %s took too long: aborted", found.id)
                try:
                    fenced = replace(found, epoch=found.epoch + 1)
                    await self._prepare(led, fenced, commit=False)
                    return
                except ApiError as error:
                    log.warning("%s is not aborted yet: %s", found.id, error)
            await asyncio.sleep(_AGAIN_S)

    def _lock(self, transactional_id: str) -> asyncio.Lock:
        self._kept.coordinated(transactional_id)  # or there is nothing to lock
        return self._locks.setdefault(transactional_id, asyncio.Lock())

    def _existing(
        self, transactional_id: str, producer_id: int, epoch: int
    ) -> tuple[Led, Transaction]:
        led = self._kept.coordinated(transactional_id)
        found = led.transactions.get(transactional_id)
        if found is None or found.producer_id != producer_id:
            raise ApiError(Code.INVALID_PRODUCER_ID_MAPPING)
        if found.epoch != epoch:
            raise ApiError(Code.PRODUCER_FENCED)
        return led, found


_UNUSED = (State.EMPTY, State.PREPARE_ABORT, State.COMPLETE_ABORT)


def _asks_again(found: Transaction, producer_id: int, epoch: int) -> bool:
    """Whether the same producer asks for a new epoch once more (KIP-360).

    It has not used the one that it was given: the answer was lost, or was "not yet".
    """
    before = found.producer_id, found.last_epoch
    return epoch >= 0 and before == (producer_id, epoch) and found.state in _UNUSED
