"""Purgatory: where requests wait for an event instead of a thread waiting for them.

Theory of operation. (Kafka's ``DelayedOperation`` and ``DelayedOperationPurgatory``.)
An operation waits until its condition holds (a fetch: enough bytes; a produce: its
records are flushed; a join: every member is there) or its time is over, whichever is
first. Rules:

1. *Exactly once.* ``force_complete`` wins or loses atomically; the winner stops the
   timer and calls ``on_complete``. Expiry is ``force_complete`` and then
   ``on_expiration``.
2. *Woken, not polled.* An operation is in the watch list of every key whose events may
   fulfil it. ``check_and_complete(key)`` is called by the event and looks at that list
   only.
3. *Try, watch, try again.* The event may happen between the first try and the moment
   the operation is in all its lists, and nobody would look again. So it is tried once
   more after it is watched; only then the timer starts.

Watch lists forget completed operations when their key is next checked; an operation
under several keys may linger, completed, in the lists of keys where nothing happens.
When more than ``purge_interval`` of those may exist, all lists are swept.

Everything here runs on the broker's loop, which makes rule 1 a plain flag. On a build
without the GIL the flag becomes a lock; the rules stay.
"""

from collections.abc import Callable, Hashable, Iterable

from salon.broker.timer import Timer, TimerTask


class DelayedOperation:
    """Something that waits. Subclasses say when it is fulfilled and what follows.

    Args:
        delay_ms: how long it waits at most.
    """

    def __init__(self, delay_ms: int) -> None:
        self.delay_ms = delay_ms
        self.completed = False
        self._task: TimerTask | None = None

    def try_complete(self) -> bool:
        """Call ``force_complete`` if the condition holds, and return its answer."""
        raise NotImplementedError

    def on_complete(self) -> None:
        """What follows; called exactly once."""
        raise NotImplementedError

    def on_expiration(self) -> None:
        """Called after ``on_complete`` when time was what ended the waiting."""

    def force_complete(self) -> bool:
        """Complete now; false when it was completed before."""
        if self.completed:
            return False
        self.completed = True
        if self._task is not None:
            self._task.cancel()
        self.on_complete()
        return True

    def start_timer(self, timer: Timer, now_ms: int) -> None:
        """Begin to count ``delay_ms`` (called by the purgatory)."""
        self._task = TimerTask(now_ms + self.delay_ms, self._expire)
        timer.add(self._task)

    def _expire(self) -> None:
        if self.force_complete():
            self.on_expiration()


class Purgatory:
    """Operations that wait, by the keys of the events that may fulfil them.

    Args:
        name: Kafka's ``delayedOperation`` tag: Produce, Fetch, Rebalance.
        timer: expires operations.
        now_ms: the clock of the timer.
        purge_interval: completed operations that may linger in watch lists.
    """

    def __init__(
        self,
        name: str,
        timer: Timer,
        now_ms: Callable[[], int],
        *,
        purge_interval: int = 1000,
    ) -> None:
        self.name = name
        self._timer = timer
        self._now_ms = now_ms
        self._purge_interval = purge_interval
        self._watchers: dict[Hashable, list[DelayedOperation]] = {}
        self._watched = 0
        self._purge_at = purge_interval

    def try_complete_else_watch(
        self, operation: DelayedOperation, keys: Iterable[Hashable]
    ) -> bool:
        """Complete ``operation`` now, or let it wait under ``keys``.

        Returns:
            True when it is completed on return.
        """
        if operation.try_complete():
            return True
        for key in keys:
            self._watchers.setdefault(key, []).append(operation)
            self._watched += 1
        if operation.try_complete():
            return True
        operation.start_timer(self._timer, self._now_ms())
        if self._watched > self._purge_at:
            self._purge()
        return operation.completed

    def check_and_complete(self, key: Hashable) -> int:
        """Something happened to ``key``: complete what it fulfils.

        Returns:
            How many operations this call completed.
        """
        watchers = self._watchers.pop(key, None)
        if watchers is None:
            return 0
        done = 0
        waiting = []
        for operation in watchers:
            if not operation.completed:
                if operation.try_complete():
                    done += 1
                else:
                    waiting.append(operation)
        self._watched -= len(watchers) - len(waiting)
        if waiting:
            # A completion may have made others wait under the same key meanwhile.
            self._watchers[key] = waiting + self._watchers.get(key, [])
        return done

    def waiting(self, key: Hashable) -> int:
        """How many operations wait under ``key``."""
        return sum(not op.completed for op in self._watchers.get(key, ()))

    @property
    def size(self) -> int:
        """Entries of all watch lists, completed ones included (``PurgatorySize``)."""
        return self._watched

    @property
    def delayed(self) -> int:
        """Operations that still wait (``NumDelayedOperations``)."""
        live = {id(op) for ops in self._watchers.values() for op in ops}
        done = {id(op) for ops in self._watchers.values() for op in ops if op.completed}
        return len(live - done)

    def close(self) -> None:
        """Complete everything that waits: the broker stops."""
        for operations in list(self._watchers.values()):
            for operation in operations:
                operation.force_complete()
        self._watchers.clear()
        self._watched = 0

    def _purge(self) -> None:
        """Sweep completed operations out of all lists."""
        for key, operations in list(self._watchers.items()):
            live = [op for op in operations if not op.completed]
            self._watched -= len(operations) - len(live)
            if live:
                self._watchers[key] = live
            else:
                del self._watchers[key]
        self._purge_at = 2 * self._watched + self._purge_interval
