"""The data folder: made, private, writable, and used by one server only."""

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from salon.errors import StartupError

LOG_ADDRESS = "log-address"
"""A file of the folder: where the log of the server listens, for ``salon send``."""


def claim(folder: Path) -> IO[str]:
    """Make the folder and lock it; keep the returned file open.

    Raises:
        StartupError: theirs; not writable, or another server uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.umask(0o077)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise StartupError(
            f"The data folder {folder} cannot be written ({error.strerror}). "
            "Name another with --data."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise StartupError(
            f"Another Salon (process {holder or 'unknown'}) uses the data folder "
            f"{folder}. Stop it, or name another folder with --data."
        ) from error
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket.

    Raises:
        StartupError: theirs; the port is taken, or the address is not ours.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartupError(_why(host, port, error)) from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise StartupError(_why(host, port, error)) from error
    listening.setblocking(False)
    return listening


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. "
            "Choose another with --port (0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs rights that we do not have. Choose one above 1023."
    return f"{host}:{port} cannot be listened on: {error.strerror or error}."
