"""``salon worker``: draws the pictures of a server, here or on another machine."""

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

PR_SET_PDEATHSIG = 1


def worker(
    server: Annotated[str, typer.Option(help="where the server is, http://host:port")],
    token_file: Annotated[
        Path, typer.Option(help="file with the server's worker token")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="this worker's name; no two workers of a server share one"),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="a diffusers folder, a .safetensors file, or Salon's kind"),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads of the model")] = 1,
    niceness: Annotated[
        int, typer.Option("--nice", min=0, max=19, help="how far others go first")
    ] = 5,
    parent_watch: Annotated[
        bool, typer.Option("--parent-watch", help="end when standard input closes")
    ] = False,
) -> None:
    """Ask a server for pictures to draw, for ever; Ctrl-C ends it."""
    from salon.errors import StartupError
    from salon.imaging.backends import choose
    from salon.imaging.card import ModelUnusable
    from salon.pictures.worker import Drawing, Worker
    from salon.pictures.worker_client import Server

    if parent_watch:
        _die_with_parent()
    os.nice(niceness)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="worker: %(message)s"
    )
    name = name or f"{socket.gethostname()}-{os.getpid()}"[-64:]

    def token() -> str:
        return token_file.read_text().strip()

    try:
        token()
    except OSError as error:
        raise StartupError(
            f"The worker token cannot be read from {token_file}: {error.strerror}."
        ) from error
    choice = choose.Choice(model, device=device, threads=threads)
    try:
        choose.check(choice)
    except ModelUnusable as error:
        raise StartupError(str(error)) from error
    drawing = Worker(
        connect=lambda: Server(server, token, name),
        load=lambda: Drawing(choice),
    )
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        drawing.run()
    except KeyboardInterrupt:
        os._exit(0)  # what we drew is given to another; threads need no goodbye


def _die_with_parent() -> None:
    """The kernel kills us with our parent; where it cannot, we see our input close."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()
