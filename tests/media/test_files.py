import errno
import os
from pathlib import Path

import pytest

from salon.errors import Unavailable
from salon.media.files import FileMedia
from tests.media.contract import MediaContract


@pytest.fixture
def media(tmp_path: Path) -> FileMedia:
    return FileMedia(tmp_path / "media")


class TestFileMedia(MediaContract):
    pass


async def test_folders_and_files_are_the_owners_only(
    media: FileMedia, tmp_path: Path
) -> None:
    await media.put(b"x", mime="image/png")

    for path in (tmp_path / "media").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert (tmp_path / "media").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_a_full_or_broken_disk_is_said_and_leaves_nothing(
    media: FileMedia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The system call that fails is the real seam; nothing else is replaced."""
    await media.put(b"before", mime="image/png")
    before = sorted((tmp_path / "media").rglob("*.png"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        monkeypatch.setattr(os, "open", full)
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(Unavailable, match="No space left"):
        await media.put(b"more", mime="image/png")
    monkeypatch.undo()

    assert sorted((tmp_path / "media").rglob("*.png")) == before


async def test_what_a_kill_left_half_written_is_swept_at_start(tmp_path: Path) -> None:
    FileMedia(tmp_path)
    (tmp_path / "incoming" / ("a" * 32 + ".png")).write_bytes(b"half")
    media = FileMedia(tmp_path)

    assert not list((tmp_path / "incoming").iterdir())
    assert await media.open(await media.put(b"whole", mime="image/png")) == b"whole"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(Unavailable, match="cannot be used"):
        FileMedia(tmp_path / "file" / "media")
