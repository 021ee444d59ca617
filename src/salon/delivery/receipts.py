"""Who waits for which command: the way from the owner back to the sender.

A command is appended with an id and the name of this server. When the owner has
applied it, its outcome comes back here (directly, or through this server's topic) and
resolves the awaitable that the sender's handler waits for.

All wait equally long, so those who wait stand in the order of their deadlines: one
timer, for the first of them, is enough.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec

from salon import metrics
from salon.chat.commands import Command
from salon.chat.ports import Applied
from salon.errors import Refusal, Unavailable
from salon.eventlog.ports import EventLog, Position

WAITING_MAX = 10_000
"""Commands under way from one server; more is overload, and is said."""

TIMEOUT_S = 30.0
"""After this the sender hears "unknown yet": the same client id may be sent again."""


class _Waiting(NamedTuple):
    """Somebody waits for an outcome, since a time of the event loop."""

    future: asyncio.Future[Applied]
    since: float


class Receipts:
    """Submits commands and hands their outcomes to whoever waits (``chat.Commands``).

    Args:
        topic: where commands go.
        call_later: a timer, ``(seconds, function) -> handle``.
        guard: raises ``Refusal`` while nothing can be taken (a full disk).
    """

    def __init__(
        self,
        log: EventLog,
        topic: str,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._topic = topic
        self._call_later = call_later
        self._guard = guard
        self._waiting: dict[str, _Waiting] = {}
        self._sweeping = False

    async def submit(self, command: Command) -> Awaitable[Applied]:
        self._guard()
        if len(self._waiting) >= WAITING_MAX:
            raise Refusal(
                "overloaded",
                "The server has too much to do; try again in a moment.",
                retry_after=1.0,
                status=503,
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(loop.create_future(), loop.time())
        self._waiting[command.id] = waiting
        if not self._sweeping:
            self._sweeping = True
            self._call_later(TIMEOUT_S, self._sweep)
        try:
            durable = await self._log.append(
                self._topic,
                str(command.conversation).encode(),
                msgspec.json.encode(command),
            )
        except BaseException:
            self._waiting.pop(command.id, None)
            raise
        durable.add_done_callback(partial(self._appended, command.id, waiting.since))
        return waiting.future

    def answer(self, id_: str, outcome: Applied | Refusal) -> None:
        """The owner's outcome for a command of this server; unknown ids are late."""
        waiting = self._waiting.pop(id_, None)
        if waiting is None or waiting.future.done():
            return
        if isinstance(outcome, Refusal):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    def _appended(
        self, id_: str, since: float, done: "asyncio.Future[Position]"
    ) -> None:
        metrics.append.observe(done.get_loop().time() - since)
        if done.cancelled() or done.exception() is None:
            return
        self._fail(id_, "The log did not take it; nothing is certain, send again.")

    def _sweep(self) -> None:
        """Tell those who wait too long, and come again for the next."""
        now = asyncio.get_running_loop().time()
        while self._waiting:
            id_, waiting = next(iter(self._waiting.items()))
            left = waiting.since + TIMEOUT_S - now
            if left > 0:
                self._call_later(left, self._sweep)
                return
            self._fail(id_, "No answer yet; sending it again is safe.")
        self._sweeping = False

    def _fail(self, id_: str, why: str) -> None:
        waiting = self._waiting.pop(id_, None)
        if waiting is not None and not waiting.future.done():
            waiting.future.set_exception(Unavailable(why))
