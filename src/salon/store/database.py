"""A SQL database, driven from threads.

Why threads and not an async driver: the work of one request or of one batch of
commands is a handful of statements in one transaction. Written as a plain function
over a ``Connection`` it costs *one* hop to a thread and back; through an async driver
every statement costs one (decision 0003).

SQLite has one writer, so writes run on one thread, in order; reads run on a few more
and, thanks to WAL, never wait for it. ``synchronous=NORMAL`` may lose the newest
commits in a power cut, never the file. That is right for what the log can redo, and
wrong for the rest: ``write(..., durable=True)`` commits with ``FULL``.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError

from salon.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

READERS = 4


class Database:
    """Runs functions over a connection, each in one transaction, in a thread.

    Args:
        url: an SQLAlchemy URL, e.g. ``sqlite:////data/salon.db``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._writer = ThreadPoolExecutor(1, "salon-sql-write")
        self._readers = ThreadPoolExecutor(READERS, "salon-sql-read")

    async def read(
        self,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``work(connection, …)`` in a read transaction.

        Raises:
            Unavailable: ours; the database cannot answer (busy, full, gone).
        """
        loop = asyncio.get_running_loop()

        def run() -> T:
            with self.engine.begin() as connection:
                return work(connection, *args, **kwargs)

        return await _translated(loop.run_in_executor(self._readers, run))

    async def write(
        self,
        work: Callable[..., T],
        *args: Any,
        durable: bool = False,
    ) -> T:
        """Run ``work(connection, …)`` in the write transaction; commit at its end.

        ``durable`` makes the commit survive a power cut: for rows that the log does
        not hold. An exception from ``work`` rolls everything back.

        Raises:
            Unavailable: ours; the database cannot answer (busy, full, gone).
        """
        loop = asyncio.get_running_loop()
        return await _translated(
            loop.run_in_executor(self._writer, self._write, work, args, durable)
        )

    def _write(self, work: Callable[..., T], args: tuple[Any, ...], durable: bool) -> T:
        with self.engine.connect() as connection:
            connection = connection.execution_options(salon_write=True)  # noqa: PLW2901
            if connection.dialect.name == "sqlite":
                raw = connection.connection.dbapi_connection
                raw.execute(  # type: ignore[union-attr]
                    f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}"
                )
            with connection.begin():
                return work(connection, *args)

    async def close(self) -> None:
        """Wait for running work, then close every connection."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()


async def _translated(running: "asyncio.Future[T]") -> T:
    try:
        return await running
    except OperationalError as error:
        raise Unavailable(f"the database cannot do this now: {error.orig}") from error


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=READERS + 1, pool_pre_ping=True)
    engine = create_engine(
        url,
        pool_size=READERS + 1,
        connect_args={"check_same_thread": False, "timeout": 5.0},
    )

    @event.listens_for(engine, "connect")
    def connected(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "busy_timeout=5000",
            "foreign_keys=ON",
            # a message writes ten pages: SQLite's own 1,000 would make one commit of a
            # hundred, the p99, wait for a checkpoint
            "wal_autocheckpoint=8192",
            "journal_size_limit=67108864",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("salon_write", False)
        # IMMEDIATE: a writer that cannot have the lock waits here, not at COMMIT
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
