"""Bytes with a name: what the area offers.

Implementations are named by technology (``files.py``). The name (*key*) is made here,
never by a client, and is unguessable; who may read what is decided elsewhere.
"""

from typing import Protocol

from salon.errors import Error


class MissingMediaError(Error):
    """No bytes under this key (or no such key can exist)."""


class Media(Protocol):
    """A store of immutable objects."""

    async def put(self, data: bytes, *, mime: str) -> str:
        """Keep bytes; returns their new key once they survive a power cut.

        Raises:
            ValueError: ours; a ``mime`` that Salon does not keep.
            Unavailable: ours; the disk is full or broken; nothing was kept.
        """

    async def open(self, key: str) -> bytes:
        """The bytes under a key.

        Raises:
            MissingMediaError: there are none.
            Unavailable: ours; they are there and cannot be read.
        """

    async def delete(self, key: str) -> None:
        """Forget the bytes; nothing happens if there are none.

        Raises:
            Unavailable: ours; they are there and cannot be removed.
        """
