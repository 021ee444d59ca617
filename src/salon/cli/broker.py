"""``salon broker``: the embedded Kafka as a process of its own, and a look into it."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from salon.broker.config import BrokerConfig, TopicConfig

_DATA = Path("data/broker")


def _settings(cls: Any) -> str:
    lines = []
    for field in fields(cls):
        default = "" if field.default == () else field.default
        lines.append(f"  {field.metadata['name']}={default}")
        lines.append(f"      {field.metadata['doc']}")
    return "\n".join(lines)


broker = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    add_completion=False,
    epilog=(
        "\b\nSettings, as --set name=value, with their defaults:\n"
        f"{_settings(BrokerConfig)}\n\n"
        f"\b\nSettings of a topic, given by those who make it:\n{_settings(TopicConfig)}"
    ),
)


@broker.callback(epilog=broker.info.epilog)
def serve(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder that holds everything.")] = _DATA,
    listen: Annotated[
        str, typer.Option(help="Address to listen on; port 0 takes any free one.")
    ] = "127.0.0.1:9092",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting under Kafka's name: name=value."),
    ] = None,
    cluster: Annotated[
        int,
        typer.Option(
            help="Run this many brokers that copy each other, for study and tests.",
            min=1,
            max=9,
        ),
    ] = 1,
    ready_json: Annotated[
        bool, typer.Option(help="Print one line of JSON when clients may connect.")
    ] = False,
    parent_watch: Annotated[
        bool, typer.Option(help="End when standard input closes.")
    ] = False,
) -> None:
    """Run a single-machine Kafka that unmodified Kafka clients can use."""
    if context.invoked_subcommand is not None:
        return
    if cluster > 1:
        from salon.cli import broker_cluster

        raise typer.Exit(
            broker_cluster.run(
                data, cluster, listen, settings or [], ready_json=ready_json
            )
        )
    from salon.cli.broker_process import run

    code = run(
        data,
        listen,
        settings or [],
        ready_json=ready_json,
        parent_watch=parent_watch,
    )
    raise typer.Exit(code)


@broker.command()
def status(
    data: Annotated[Path, typer.Option(help="Folder of the running broker.")] = _DATA,
    once: Annotated[bool, typer.Option(help="Draw it once and end.")] = False,
) -> None:
    """Draw the pipeline of a running broker with its queues, live."""
    from salon.cli.broker_status import show

    raise typer.Exit(show(data, once=once))


if __name__ == "__main__":
    broker()
