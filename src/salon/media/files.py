"""Media in a folder.

``<root>/<first two digits>/<key>``: 256 folders, so that none holds too many names.
A file is written beside its place, fsync'd, renamed and the folder fsync'd: under its
key it is whole or not there, also after a power cut. The files are the owner's only
(0700, 0600).
"""

import asyncio
import contextlib
import os
import re
import secrets
from pathlib import Path

from salon.errors import Unavailable
from salon.media.ports import MissingMediaError

SUFFIXES = {
    "image/png": "png",
    "image/webp": "webp",
    "image/jpeg": "jpg",
    "image/gif": "gif",
}
"""What is kept, and how its keys end."""

_KEY = re.compile(r"[0-9a-f]{32}\.(?:png|webp|jpg|gif)")
_INCOMING = "incoming"


class FileMedia:
    """The port ``Media`` over a folder, which is made if it is missing.

    Raises:
        Unavailable: ours; the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        try:
            _private_folder(root)
            _private_folder(self._incoming)
            for left in self._incoming.iterdir():  # a kill in the middle of a put
                left.unlink()
        except OSError as error:
            raise _unavailable(root, error) from error

    async def put(self, data: bytes, *, mime: str) -> str:
        suffix = SUFFIXES.get(mime)
        if suffix is None:
            raise ValueError(f"media are {', '.join(SUFFIXES)}; not {mime}")
        key = f"{secrets.token_hex(16)}.{suffix}"
        await asyncio.to_thread(self._write, key, data)
        return key

    async def open(self, key: str) -> bytes:
        return await asyncio.to_thread(self._read, self._path(key))

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._unlink, self._path(key))

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise MissingMediaError(key)
        return self._root / key[:2] / key

    def _write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        incoming = self._incoming / key
        try:
            if not path.parent.is_dir():
                _private_folder(path.parent)
                _sync_folder(self._root)
            _write_synced(incoming, data)
            incoming.rename(path)
            _sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                incoming.unlink(missing_ok=True)
            raise _unavailable(self._root, error) from error

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise MissingMediaError(path.name) from error
        except OSError as error:
            raise _unavailable(path, error) from error

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable(path, error) from error


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unavailable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"media in {path} cannot be used now: {error.strerror or error}")
