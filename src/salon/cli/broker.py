"""``salon broker``: the embedded Kafka as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer


def broker(
    data: Annotated[Path, typer.Option(help="Folder that holds everything.")] = Path(
        "data/broker"
    ),
    listen: Annotated[
        str, typer.Option(help="Address to listen on; port 0 takes any free one.")
    ] = "127.0.0.1:9092",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting under Kafka's name: key=value."),
    ] = None,
    ready_json: Annotated[
        bool, typer.Option(help="Print one line of JSON when clients may connect.")
    ] = False,
    parent_watch: Annotated[
        bool, typer.Option(help="End when standard input closes.")
    ] = False,
) -> None:
    """Run a single-machine Kafka that unmodified Kafka clients can use."""
    from salon.cli.broker_process import run

    code = run(
        data,
        listen,
        settings or [],
        ready_json=ready_json,
        parent_watch=parent_watch,
    )
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(broker)
