"""What old clients ask before they stream: do chunks arrive one by one?

Clients before 0.3 POST to ``/chunking_test`` and look at when each part comes; a proxy
that keeps an answer to itself until it is complete shows in one arrival (sockjs-node
0.3.24, ``lib/chunking-test.js``, has the same times). Today's clients find out by
themselves.
"""

PADDING = b" " * 2048
"""Some browsers show nothing of an answer before its first 2 KiB."""

STEPS: tuple[tuple[float, bytes], ...] = (
    (0.0, b"h\n"),
    (0.001, PADDING + b"h\n"),
    (0.005, b"h\n"),
    (0.025, b"h\n"),
    (0.125, b"h\n"),
    (0.625, b"h\n"),
    (3.125, b"h\n"),
)
"""Seconds since the part before, and the part."""
