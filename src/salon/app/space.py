"""The disk under the data folder: full is said at once, and before it is too late.

A log that meets ENOSPC in the middle of a batch fails the batch, and the client of the
log tries again for many seconds. So we stop taking commands a little earlier, while
there is still room to finish what was taken, to read, and to clean up.
"""

import os
from pathlib import Path

from salon.clock import Clock
from salon.errors import Refusal

RESERVE = 16 << 20
"""Bytes that stay free: a segment's indexes, the database's WAL, a batch under way."""

LOOK_EVERY_S = 0.25


class Space:
    """Watches the room on the disk of ``folder``."""

    def __init__(self, folder: Path, clock: Clock, reserve: int = RESERVE) -> None:
        self._folder = folder
        self._clock = clock
        self._reserve = reserve
        self._looked = float("-inf")
        self._free = 0

    def free(self) -> int:
        """Bytes that may still be written, as of the last quarter of a second."""
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            disk = os.statvfs(self._folder)
            self._free = disk.f_bavail * disk.f_frsize
            self._looked = now
        return self._free

    def check(self) -> None:
        """Take nothing more on a full disk.

        Raises:
            Refusal: ours; ``disk_full``: what is there can still be read.
        """
        if self.free() < self._reserve:
            raise Refusal(
                "disk_full",
                "The server's disk is full: nothing new can be kept. What is there can "
                "be read; ask the administrator to make room.",
                retry_after=10.0,
                status=507,
            )
