"""``salon version``."""

import json
from importlib.metadata import version as installed
from typing import Annotated

import typer


def version(
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Which Salon this is."""
    number = installed("salon")
    print(json.dumps({"name": "salon", "version": number}) if as_json else number)
