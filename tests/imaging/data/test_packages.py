"""Packages are those that were reviewed."""

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from salon.imaging.data.packages import PackagesMissing, fetch_package


def _archive(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "art-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("package/package.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    digest = hashlib.sha512(path.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def test_the_right_archive_is_unpacked(tmp_path: Path) -> None:
    integrity = _archive(tmp_path)
    place = fetch_package(tmp_path, "art", "1.0.0", integrity)
    assert (place / "package.json").read_text() == "{}"


def test_another_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    _archive(tmp_path)
    with pytest.raises(PackagesMissing, match=r"art-1.0.0.tgz.*SHA-512 differs"):
        fetch_package(tmp_path, "art", "1.0.0", "sha512-AAAA")
    assert not (tmp_path / "art-1.0.0").exists()


def test_without_npm_it_is_said_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackagesMissing, match=r"npm is needed to fetch art@1.0.0"):
        fetch_package(tmp_path / "packages", "art", "1.0.0")


def test_without_a_network_the_reason_and_the_way_out_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        "#!/bin/sh\necho 'npm error code ECONNREFUSED' >&2\n"
        "echo 'npm error request to x failed, reason: connect refused' >&2\nexit 1\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    with pytest.raises(PackagesMissing, match=r"reason: connect refused.*archive into"):
        fetch_package(tmp_path / "packages", "art", "1.0.0")
