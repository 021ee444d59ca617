"""Who waits for which command: the way from the owner back to the sender.

A command is appended with an id and the name of this server. When the owner has
applied it, its outcome comes back here (directly, or through this server's topic) and
resolves the awaitable that the sender's handler waits for.
"""

import asyncio
from collections.abc import Awaitable, Callable

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


class Receipts:
    """Submits commands and hands their outcomes to whoever waits (``chat.Commands``).

    Args:
        topic: where commands go.
        call_later: a timer, ``(seconds, function) -> handle with cancel()``.
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
        self._waiting: dict[str, asyncio.Future[Applied]] = {}

    async def submit(self, command: Command) -> Awaitable[Applied]:
        self._guard()
        if len(self._waiting) >= WAITING_MAX:
            raise Refusal(
                "overloaded",
                "The server has too much to do; try again in a moment.",
                retry_after=1.0,
                status=503,
            )
        waiting: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = waiting
        timer = self._call_later(TIMEOUT_S, lambda: self._expired(command.id))
        waiting.add_done_callback(lambda _done: self._forget(command.id, timer))
        began = waiting.get_loop().time()
        try:
            durable = await self._log.append(
                self._topic,
                str(command.conversation).encode(),
                msgspec.json.encode(command),
            )
        except BaseException:
            waiting.cancel()
            raise
        durable.add_done_callback(lambda done: self._appended(command.id, began, done))
        return waiting

    def answer(self, id_: str, outcome: Applied | Refusal) -> None:
        """The owner's outcome for a command of this server; unknown ids are late."""
        waiting = self._waiting.get(id_)
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, Refusal):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)

    def _appended(
        self, id_: str, began: float, done: "asyncio.Future[Position]"
    ) -> None:
        metrics.append.observe(done.get_loop().time() - began)
        if done.cancelled() or done.exception() is None:
            return
        waiting = self._waiting.get(id_)
        if waiting is not None and not waiting.done():
            waiting.set_exception(
                Unavailable("The log did not take it; nothing is certain, send again.")
            )

    def _expired(self, id_: str) -> None:
        waiting = self._waiting.get(id_)
        if waiting is not None and not waiting.done():
            waiting.set_exception(
                Unavailable("No answer yet; sending it again is safe.")
            )

    def _forget(self, id_: str, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._waiting.pop(id_, None)
