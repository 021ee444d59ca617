"""The timing wheels on an event loop: nothing ticks, one ``call_at`` wakes them."""

import asyncio

from salon.broker.timer import Bucket, Timer


class LoopTimer(Timer):
    """Timing wheels that the loop wakes when their next bucket comes due."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._wake_ms = -1
        super().__init__(self.now_ms())

    def now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def schedule(self, bucket: Bucket) -> None:
        super().schedule(bucket)
        self._arm()

    def _arm(self) -> None:
        due = self.next_expiry_ms()
        if due is None or (self._handle is not None and self._wake_ms <= due):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._wake_ms = due
        self._handle = self._loop.call_at((due + 1) / 1000, self._wake)

    def _wake(self) -> None:
        self._handle = None
        self.advance(self.now_ms())
        self._arm()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
