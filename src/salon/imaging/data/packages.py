"""The art and the words, fetched as ordinary npm packages of pinned versions."""

from __future__ import annotations

import base64
import hashlib
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


def fetch_package(
    folder: Path, name: str, version: str, integrity: str | None = None
) -> Path:
    """Return one unpacked npm package, fetching it where it is missing.

    Args:
        folder: where archives and unpacked packages are kept.
        name: of the package, e.g. ``@iconify-json/noto``.
        version: exactly this one.
        integrity: ``sha512-`` and base64, as the registry and lock files write it;
            checked before anything is unpacked.

    Raises:
        PackagesMissing: npm or the network is missing, or the archive is another one.
    """
    stem = f"{name.removeprefix('@').replace('/', '-')}-{version}"
    unpacked, archive = folder / stem, folder / f"{stem}.tgz"
    if (unpacked / "package.json").exists():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.exists():
        _npm_pack(folder, f"{name}@{version}")
    if integrity is not None:
        _check(archive, integrity)
    with tarfile.open(archive) as tar:
        tar.extractall(folder / f"{stem}.part", filter="data")
    shutil.move(folder / f"{stem}.part" / "package", unpacked)
    (folder / f"{stem}.part").rmdir()
    return unpacked


def _check(archive: Path, integrity: str) -> None:
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if integrity != f"sha512-{found}":
        raise PackagesMissing(
            f"{archive} is not the package that was reviewed (its SHA-512 differs); "
            "delete it and start again"
        )


def _npm_pack(folder: Path, spec: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PackagesMissing(f"npm is needed to fetch {spec} into {folder}")
    done = subprocess.run(
        [npm, "pack", "--loglevel=error", spec],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PackagesMissing(
            f"npm could not fetch {spec} ({_reason(done.stderr)}); with a network, the "
            f"same command goes on; without one, put its archive into {folder}"
        )


def _reason(stderr: str) -> str:
    """The line of npm's many that says what happened."""
    lines = [line.removeprefix("npm error ") for line in stderr.splitlines()]
    told = [line for line in lines if "reason:" in line or line[:1].isdigit()]
    return (told or lines or ["it said nothing"])[0].strip()[:200]
