"""Results of one session, in the order of their frames.

A handler returns before its result is there, so that a client may have many commands
under way. What the results lead to (messages, RECEIPTs, errors) still leaves in the
order of the frames: an entry waits until every earlier one is settled. A RECEIPT thus
says what STOMP wants it to say: this frame and all before it took effect.

No task waits for anything here: futures call back.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger("salon.messaging")

Settle = Callable[[Any, BaseException | None], None]
"""Called once, with the value or the error."""


class Pipeline:
    """Entries that settle in order.

    Args:
        most: entries that may wait; at that number ``full`` says to stop reading.
        on_room: called when it was full and is not any more.
    """

    __slots__ = ("_closed", "_entries", "_most", "_on_room")

    def __init__(self, most: int, on_room: Callable[[], None]) -> None:
        self._most = most
        self._on_room = on_room
        # A list, not a deque: an empty deque takes 600 bytes, and most are empty.
        self._entries: list[tuple[asyncio.Future[Any] | None, Any, Settle]] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        return len(self._entries) >= self._most

    def push(self, result: Any, settle: Settle) -> None:
        """Add the result (a value or a future) of the next frame."""
        if self._closed:
            if isinstance(result, asyncio.Future):
                result.add_done_callback(_retrieve)
            return
        future = result if isinstance(result, asyncio.Future) else None
        self._entries.append((future, result, settle))
        if future is not None and not future.done():
            future.add_done_callback(self._settled)
        else:
            self._flush()

    def close(self) -> None:
        """Nobody is interested any more; what is under way goes on unheard."""
        self._closed = True
        for future, _, _ in self._entries:
            if future is not None:
                future.add_done_callback(_retrieve)
        self._entries.clear()

    def _settled(self, _: object) -> None:
        was_full = self.full
        self._flush()
        if was_full and not self.full and not self._closed:
            self._on_room()

    def _flush(self) -> None:
        while self._entries:
            future, value, settle = self._entries[0]
            error: BaseException | None = None
            if future is not None:
                if not future.done():
                    return
                if future.cancelled():
                    error = asyncio.CancelledError()
                else:
                    error = future.exception()
                    value = None if error else future.result()
            del self._entries[0]
            try:
                settle(value, error)
            except Exception:  # a bug; those behind it still get their turn
                log.exception("pipeline.settle")


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Take the error of a future that nobody waits for, so it is not reported."""
    if not future.cancelled():
        future.exception()
