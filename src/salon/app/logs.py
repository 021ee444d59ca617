"""Logs: one JSON line an event for machines, something to read in a terminal.

Never the text of a message, a prompt, a password or a token at ``info``.
"""

import logging
import sys

import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str) -> None:
    """Set up structlog, and let the libraries' warnings through it."""
    threshold = LEVELS.get(level.lower(), 20)
    people = sys.stderr.isatty()
    render: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if people
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso" if not people else "%H:%M:%S"),
            structlog.processors.format_exc_info
            if not people
            else structlog.processors.StackInfoRenderer(),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s"
    )
    # a broker that starts again is our business, and said by app/children.py
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
