"""``salon run``: the messenger, the log and the pictures, in one folder."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[
        int | None, typer.Option(help="port to listen on; 0 takes a free one")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="the folder that holds everything")
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="open the page in a browser")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="say when ready in one line of JSON")
    ] = False,
) -> None:
    """Start Salon and print where it is; Ctrl-C ends it."""
    from salon.app import lifespan, settings

    lifespan.main(
        settings.load(host=host, port=port, data=data and data.absolute()),
        announce=lifespan.announce_json if as_json else lifespan.announce_people,
        open_browser=open_browser,
    )
