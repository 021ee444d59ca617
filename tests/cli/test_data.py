"""``salon data``, as it is typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from salon.cli.data import app
from salon.errors import StartupError
from tests.imaging.data.world import packages


def _run(*words: str) -> str:
    found = CliRunner().invoke(app, words, catch_exceptions=False)
    words = found.output.split()  # a terminal's width breaks lines where it likes
    return f"{found.exit_code} {' '.join(words)}"


def _emoji(tmp_path: Path, *words: str) -> str:
    where = ("--out", str(tmp_path / "set"), "--packages", str(tmp_path / "packages"))
    return _run("emoji", *where, "--sources", "fluent-3d", "--size", "32", *words)


def test_a_set_is_made_and_found_again(tmp_path: Path) -> None:
    packages(tmp_path / "packages")
    sheet = ("--sheet", str(tmp_path / "sheet.png"))
    assert "32 pictures" in _emoji(tmp_path, "--count", "20", *sheet)
    assert (tmp_path / "sheet.png").exists()
    assert "was there already" in _emoji(tmp_path, "--count", "20")


def test_a_sheet_inside_the_set_would_be_trained_on(tmp_path: Path) -> None:
    sheet = str(tmp_path / "set" / "sheet.png")
    assert "must lie outside" in _emoji(tmp_path, "--sheet", sheet)


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    assert _emoji(tmp_path, "--only", "juggling").startswith("2 ")
    assert _emoji(tmp_path, "--size", "9000").startswith("2 ")


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "letter.txt").write_text("dear")
    with pytest.raises(StartupError, match="not empty"):
        _emoji(tmp_path)


def test_the_sources_are_listed_with_their_licences() -> None:
    text = _run("sources")
    assert "noto" in text
    assert "Apache" in text
    assert "evaluate" in text
