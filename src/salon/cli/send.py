"""``salon send``: a message to a running server, from the shell or a cron job.

What ``messaging.remote.RemoteTemplate`` does, for who writes no Python. Who can read
the server's folder, or reach its Kafka, may send.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from salon.app.folder import LOG_ADDRESS
from salon.errors import Refusal, StartupError, Unavailable


def send(
    destination: Annotated[
        str, typer.Argument(help="/topic/…, or with --user /queue/…")
    ],
    body: Annotated[
        str, typer.Argument(help="The message; - reads it from standard input.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of a running server on this machine.")
    ] = None,
    kafka: Annotated[
        str, typer.Option(help="Instead: bootstrap servers of its Kafka.")
    ] = "",
    user: Annotated[str | None, typer.Option(help="Only to this user (an id).")] = None,
    node: Annotated[
        str | None, typer.Option(help="Only to this server; /queue/… needs it.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="One more header: name:value.")
    ] = None,
) -> None:
    """Send a message to who subscribed, from outside of the server."""
    headers = {}
    for line in header or ():
        name, colon, value = line.partition(":")
        if not colon:
            raise typer.BadParameter(f"--header {line!r}: it looks like name:value")
        headers[name] = value
    if user is not None and node is not None:
        raise typer.BadParameter("--user goes to all servers: leave --node out")
    payload = sys.stdin.buffer.read() if body == "-" else body
    try:
        asyncio.run(
            _send(_address(data, kafka), destination, payload, user, node, headers)
        )
    except Refusal as refusal:
        sys.stderr.write(f"salon send: {refusal.message}\n")
        raise typer.Exit(2) from refusal


def _address(data: Path | None, kafka: str) -> str:
    """Where the log is.

    Raises:
        StartupError: theirs; nothing says it.
    """
    if kafka:
        return kafka
    if data is None:
        raise StartupError("Say where: --data FOLDER of the server, or --kafka.")
    try:
        return (data / LOG_ADDRESS).read_text().strip()
    except OSError as error:
        raise StartupError(f"No server has run on {data}: {error}") from error


async def _send(
    address: str,
    destination: str,
    payload: str | bytes,
    user: str | None,
    node: str | None,
    headers: dict[str, str],
) -> None:
    from salon.eventlog.kafka import KafkaLog
    from salon.messaging.remote import RemoteTemplate

    log = KafkaLog(address, "salon-send")
    template = RemoteTemplate(log)
    try:
        async with asyncio.timeout(20):
            if user is None:
                await template.convert_and_send(
                    destination, payload, headers=headers, node=node
                )
            else:
                await template.convert_and_send_to_user(
                    user, destination, payload, headers=headers
                )
    except TimeoutError:
        raise Unavailable(f"The log at {address} does not answer.") from None
    finally:
        await log.close()
