"""Group fsync: one fdatasync for all that came while the last one ran.

Adaptive, without a window to tune: when nothing is being flushed an append is flushed
at once; while a flush runs, appends gather and share the next. An idle broker answers
after one fdatasync, a busy one pays one for many records. A partition has at most one
flush in flight; several partitions flush side by side, and the file system's journal
joins them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from time import perf_counter_ns

from salon.broker.log.partition_log import Flush, PartitionLog
from salon.broker.metrics import Histogram


class GroupFlusher:
    """Flushes one partition.

    Args:
        log: the partition's.
        executor: where fdatasync blocks.
        on_flushed: called on the loop when more is safe, or when flushing failed.
        flush_time: histogram of fdatasync.
    """

    def __init__(
        self,
        log: PartitionLog,
        executor: Executor,
        on_flushed: Callable[[], None],
        flush_time: Histogram,
    ) -> None:
        self._log = log
        self._executor = executor
        self._on_flushed = on_flushed
        self._flush_time = flush_time
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[None] | None = None

    def request(self) -> None:
        """Something was appended: see to it that it gets flushed."""
        if self._running is None and self._log.needs_flush:
            flush = self._log.begin_flush()
            begun = perf_counter_ns()
            self._running = self._loop.run_in_executor(self._executor, flush.run)
            self._running.add_done_callback(lambda done: self._done(flush, begun, done))

    def _done(self, flush: Flush, begun: int, done: "asyncio.Future[None]") -> None:
        self._running = None
        if done.cancelled():
            return
        self._flush_time.update(perf_counter_ns() - begun)
        error = done.exception()
        if error is None:
            self._log.end_flush(flush)
        else:
            self._log.fail(f"fdatasync failed: {error}")
        self.request()
        self._on_flushed()

    async def idle(self) -> None:
        """Wait until nothing is being flushed and nothing needs to be."""
        self.request()
        while self._running is not None:
            await asyncio.wait([self._running])
