"""``salon``: the table of commands.

Only the command that is asked for is imported: ``salon --help`` must answer at once,
and a broker that starts in a fifth of a second cannot wait for a web framework.
"""

import importlib
import sys
from typing import Any

import typer

EXIT_CONFIG = 78
"""A setting, a port or a folder is wrong (``EX_CONFIG`` of sysexits.h)."""

COMMANDS = {
    "run": ("salon.cli.run:run", "Start the messenger: everything, in one folder."),
    "imagine": ("salon.cli.imagine:imagine", "Draw a picture in the shell, offline."),
    "sample": (
        "salon.cli.sample:sample",
        "A sheet of pictures of a model you trained.",
    ),
    "vae": ("salon.cli.vae:app", "An autoencoder at work: encode, decode, compare."),
    "evaluate": ("salon.cli.evaluate:evaluate", "How good a picture model is."),
    "train": ("salon.cli.train:app", "Train the picture model on your own machine."),
    "data": ("salon.cli.data:app", "Pictures with captions to train on."),
    "broker": ("salon.cli.broker:broker", "The embedded Kafka, alone."),
    "classic": ("salon.cli.classic:classic", "The guest chat alone: STOMP's example."),
    "send": ("salon.cli.send:send", "A message to a running server, from outside."),
    "worker": ("salon.cli.worker:worker", "Draw the pictures of a server."),
    "settings": ("salon.cli.settings:settings", "What can be set, and what is set."),
    "version": ("salon.cli.version:version", "Which Salon this is."),
}


def run() -> None:
    """Run the command line; never returns."""
    from salon.errors import StartupError, Unavailable

    try:
        _app(sys.argv[1:])()
    except StartupError as error:
        sys.stderr.write(f"salon: {error}\n")
        sys.exit(EXIT_CONFIG)
    except Unavailable as error:
        sys.stderr.write(f"salon: {error}\n")
        sys.exit(1)


def _app(arguments: list[str]) -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Salon: a messenger in whose conversations pictures are made.",
    )
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, (where, help_) in COMMANDS.items():
        if name != wanted:
            app.command(name, help=help_)(_later)
            continue
        module, _, attribute = where.partition(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, help=help_)
        else:
            app.command(name, help=help_)(command)

    @app.callback()
    def salon() -> None:
        """Makes one registered command still a group."""

    return app


def _later() -> None:
    """Stands in the help for a command that was not asked for."""
