"""``salon broker`` as a child process, for tests that kill it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self


class Process:
    """One broker process. ``kill`` is ``kill -9``; ``start`` goes on on its folder."""

    def __init__(self, folder: Path, *settings: str, port: int = 0) -> None:
        self.folder = folder
        self.port = port
        self.settings = settings
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        command = [sys.executable, "-m", "salon.cli.broker_process"]
        command += ["--data", str(self.folder), "--ready-json", "--parent-watch"]
        command += ["--listen", f"127.0.0.1:{self.port}"]
        for setting in self.settings:
            command += ["--set", setting]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        assert ready["ready"] is True
        self.port = ready["port"]
        self.listeners: dict[str, int] = ready["listeners"]
        return self

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self._reap()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self._reap()

    def hang_up(self) -> int:
        """Close its standard input, as the end of the parent does."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        self.process = None
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()
