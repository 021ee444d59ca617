"""What waits for a partition: acknowledgements, and fetches.

(``DelayedProduce``, ``DelayedFetch``.) Both wait in a purgatory under the keys of their
partitions; a move of a high watermark completes them.
"""

from collections.abc import Callable

from salon.broker.errors import Code
from salon.broker.partition import Partition
from salon.broker.protocol.fetch import FetchPartition
from salon.broker.protocol.produce import PartitionResponse
from salon.broker.purgatory import DelayedOperation


class Appended:
    """What became of the records of one partition; ``required`` is what acks=all needs."""

    __slots__ = ("base_offset", "epoch", "error", "message", "partition", "required")

    def __init__(self, partition: Partition | None) -> None:
        self.partition = partition
        self.error = Code.NONE
        self.message: str | None = None
        self.base_offset = -1
        self.required = -1
        self.epoch = partition.leader_epoch if partition is not None else -1

    def fail(self, code: Code, message: str | None = None) -> "Appended":
        self.error = code
        self.message = message
        self.base_offset = -1
        return self

    def response(self, index: int) -> PartitionResponse:
        start = self.partition.log.start_offset if self.partition else -1
        return PartitionResponse(
            index, self.error, self.base_offset, start, self.message
        )


class DelayedProduce(DelayedOperation):
    """Waits until every appended partition's high watermark has passed its records."""

    def __init__(
        self,
        delay_ms: int,
        appended: list[Appended],
        done: Callable[[], None],
        on_expired: Callable[[list[Appended]], None],
    ) -> None:
        super().__init__(delay_ms)
        self._pending = [a for a in appended if a.error is Code.NONE]
        self._done = done
        self._on_expired = on_expired

    def try_complete(self) -> bool:
        still = []
        for each in self._pending:
            assert each.partition is not None
            code = each.partition.acknowledgement(each.required, each.epoch)
            if code is None:
                still.append(each)
            elif code is not Code.NONE:
                each.fail(code, each.partition.log.failure)
        self._pending = still
        return not still and self.force_complete()

    def on_complete(self) -> None:
        for each in self._pending:
            each.fail(Code.REQUEST_TIMED_OUT, "the records are not safe yet")
        self._done()

    def on_expiration(self) -> None:
        self._on_expired(self._pending)


class FetchQuery:
    """One partition of a Fetch: the request's part, or why it cannot be read."""

    __slots__ = ("error", "partition", "wanted")

    def __init__(
        self, wanted: FetchPartition, partition: Partition | None, error: Code
    ) -> None:
        self.wanted = wanted
        self.partition = partition
        self.error = error


class DelayedFetch(DelayedOperation):
    """Waits until ``min_bytes`` can be read; what is read is decided on completion."""

    def __init__(
        self,
        delay_ms: int,
        min_bytes: int,
        queries: list[FetchQuery],
        done: Callable[[], None],
        on_expired: Callable[[], None],
        *,
        committed: bool,
    ) -> None:
        super().__init__(delay_ms)
        self._committed = committed
        self._min_bytes = min_bytes
        self._done = done
        self._on_expired = on_expired
        self._starts = [
            (
                q.partition,
                q.wanted.fetch_offset,
                q.partition.visible_end(committed=committed),
            )
            for q in queries
            if q.partition is not None
        ]

    def try_complete(self) -> bool:
        available = 0
        for partition, offset, start in self._starts:
            if partition.gone or not partition.leads:
                return self.force_complete()
            end = partition.visible_end(committed=self._committed)
            if end.offset <= offset:
                continue
            if end.segment != start.segment or offset != start.offset:
                return self.force_complete()  # whole segments, or of unknown size
            available += end.position - start.position
            if available >= self._min_bytes:
                return self.force_complete()
        return False

    def on_complete(self) -> None:
        self._done()

    def on_expiration(self) -> None:
        self._on_expired()
