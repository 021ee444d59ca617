"""Bytes as networks cut them: a test that passes whole must pass in any pieces.

STOMP has no lengths before its frames, so where TCP or a client's WebSocket cuts is
where a server may go wrong. ``network`` runs every test of a module that uses it (by
``pytestmark = pytest.mark.usefixtures("network")``) twice: as written, and with everything
that a server reads given byte by byte. ``pieces`` gives all ways to cut once.
"""

from collections.abc import Iterator

import pytest

from salon.gateway.bridge import StompBridge
from salon.stomp.session import ServerSession

READERS = ((StompBridge, "on_data"), (ServerSession, "receive"))
"""Where bytes come in, from a transport and without any."""


def bytes_of(data: bytes) -> list[bytes]:
    """Byte by byte: cut at every position at once."""
    return [data[at : at + 1] for at in range(len(data))]


def pieces(data: bytes) -> Iterator[list[bytes]]:
    """Cut in two at each position."""
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


def whole_only(test):
    """For a test that is about the size of a message, not about what it says."""
    test.whole_only = True
    return test


@pytest.fixture(params=["whole", "bytes"])
def network(request, monkeypatch):
    """How the network gives what a server reads."""
    if request.param == "whole" or getattr(request.function, "whole_only", False):
        return
    for reader, name in READERS:
        monkeypatch.setattr(reader, name, _in_bytes(getattr(reader, name)))


def _in_bytes(read):
    def reading(self, data):
        for piece in bytes_of(data) or [data]:
            read(self, piece)

    return reading
