"""Child processes that live and die with the server.

A child that ends is started again, soon at first and then less often. It must not
outlive us, whatever kills us: the kernel sends it SIGKILL when its parent dies
(``PR_SET_PDEATHSIG``), and it ends by itself when its standard input closes.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from salon.app.settings import child_environment
from salon.errors import Unavailable

log = structlog.get_logger("salon.children")

BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CALM_S = 30.0
"""A child that lived this long starts again at the shortest wait."""

START_S = 3.0
STOP_S = 3.0
PR_SET_PDEATHSIG = 1


class Child:
    """One supervised ``salon …`` process.

    Args:
        arguments: called before each start; the words after ``salon``.
        announces: whether the child prints one line of JSON when it is ready.
    """

    def __init__(
        self,
        name: str,
        arguments: Callable[[], Sequence[str]],
        *,
        announces: bool = False,
    ) -> None:
        self.name = name
        self.pid: int | None = None
        self.starts = 0
        self._arguments = arguments
        self._announces = announces
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, Any]:
        """Start it, and keep it running; what it announced.

        A predecessor that was killed a moment ago may still hold the folder or the
        port, so a failed start is tried again for ``START_S``.

        Raises:
            Unavailable: ours; it ended before it was ready.
        """
        deadline = asyncio.get_running_loop().time() + START_S
        while True:
            try:
                said = await self._spawn()
            except Unavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)
                continue
            self._keeper = asyncio.create_task(self._keep(), name=f"child-{self.name}")
            return said

    async def _spawn(self) -> dict[str, Any]:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "salon",
            *self._arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if self._announces else None,
            env=child_environment(),
            preexec_fn=_die_with_parent,
            # Ctrl-C in a terminal is for us; we stop the children in order
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.starts += 1
        if not self._announces:
            return {}
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError as error:
            code = await self._process.wait()
            raise Unavailable(
                f"{self.name} ended at its start (exit {code})"
            ) from error
        return said

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            began = loop.time()
            assert self._process is not None
            code = await self._process.wait()
            if loop.time() - began > CALM_S:
                tries = 0
            wait = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]
            tries += 1
            log.warning("child.ended", child=self.name, code=code, again_in_s=wait)
            await asyncio.sleep(wait)
            with contextlib.suppress(Unavailable):
                await self._spawn()

    async def stop(self) -> None:
        """Ask it to end; after ``STOP_S`` kill it."""
        if self._keeper is not None:
            self._keeper.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            log.warning("child.killed", child=self.name)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _die_with_parent() -> None:
    """In the child, before it runs: SIGKILL when the parent's thread ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it ended before we asked
        os._exit(1)
