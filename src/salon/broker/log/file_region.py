"""Bytes of a segment that go from the page cache to a socket by themselves.

``sendfile`` saves the two copies through this process, which is most of what a large
fetch costs. The region holds a descriptor of its own, so that the segment may be deleted
or compacted while a slow consumer still reads.
"""

import os


class FileRegion:
    """``size`` bytes of a file from ``position`` on; what is sent is no longer in it."""

    __slots__ = ("_fd", "position", "size")

    def __init__(self, fd: int, position: int, size: int) -> None:
        self._fd = os.dup(fd)
        self.position = position
        self.size = size

    def __len__(self) -> int:
        return self.size

    def send(self, socket_fd: int) -> bool:
        """Give the socket what it takes.

        Returns:
            Whether all of it has gone.

        Raises:
            OSError: the peer has gone, or the disk refused.
        """
        while self.size:
            try:
                sent = os.sendfile(socket_fd, self._fd, self.position, self.size)
            except BlockingIOError:
                return False
            if not sent:
                raise OSError("the segment is shorter than it was")
            self.position += sent
            self.size -= sent
        return True

    def read(self) -> bytes:
        """The bytes, for a socket that they cannot go to directly (TLS)."""
        return os.pread(self._fd, self.size, self.position)

    def __del__(self) -> None:
        # Dropped with the response it belongs to, sent or not.
        if hasattr(self, "_fd"):
            os.close(self._fd)
