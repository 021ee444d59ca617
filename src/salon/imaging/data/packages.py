"""The art and the words, fetched as ordinary npm packages of pinned versions."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

from salon.errors import Unavailable

ART = ("@iconify-json/fluent-emoji-flat", "1.2.6")
WORDS = ("emojibase-data", "17.0.0")


class PackagesMissing(Unavailable):
    """The packages are not there and npm cannot bring them; the operator's to fix."""


def fetch(folder: Path) -> tuple[Path, Path]:
    """Return the unpacked (art, words) packages, fetching what is missing."""
    return fetch_package(folder, *ART), fetch_package(folder, *WORDS)


def fetch_package(folder: Path, name: str, version: str) -> Path:
    """Return one unpacked npm package, fetching it where it is missing."""
    stem = f"{name.removeprefix('@').replace('/', '-')}-{version}"
    unpacked, archive = folder / stem, folder / f"{stem}.tgz"
    if (unpacked / "package.json").exists():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.exists():
        _npm_pack(folder, f"{name}@{version}")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / f"{stem}.part", filter="data")
    shutil.move(folder / f"{stem}.part" / "package", unpacked)
    (folder / f"{stem}.part").rmdir()
    return unpacked


def _npm_pack(folder: Path, spec: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PackagesMissing(f"npm is needed to fetch {spec} into {folder}")
    done = subprocess.run(
        [npm, "pack", "--silent", spec],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PackagesMissing(f"npm pack {spec} failed: {done.stderr.strip()[-300:]}")
