"""``salon imagine`` as a person in a shell meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from salon.imaging.png import read_parameters


def _salon(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from salon.cli.main import run; run()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_picture_is_drawn_and_says_how_it_was_made(tmp_path: Path) -> None:
    out = tmp_path / "heart.png"
    done = _salon("imagine", "red heart", "-o", str(out), "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "seed 7" in done.stderr
    parameters = read_parameters(out.read_bytes())
    assert parameters["prompt"] == "red heart"
    assert parameters["seed"] == 7


def test_the_same_command_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        out = str(tmp_path / name)
        _salon("imagine", "红心", "-q", "-o", out, "--seed", "1", "--steps", "3")
    first, second = ((tmp_path / n).read_bytes() for n in ("a.png", "b.png"))
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["", "--seed", "1"], "prompt: is empty"),
        (["x" * 501], "prompt: has 501 characters; at most 500"),
        (["x", "--steps", "51"], "steps: must be between 1 and 50"),
        (["x", "--guidance", "nan"], "guidance: must be between 0 and 20"),
        (["x", "--seed=-1"], "seed: must be between"),
    ],
)
def test_a_wrong_request_ends_with_2_and_says_which_part(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = _salon("imagine", *arguments, "-o", str(tmp_path / "x.png"))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("target", ["", "missing/folder/x.png"])
def test_a_file_that_cannot_be_written_ends_with_78(
    target: str, tmp_path: Path
) -> None:
    done = _salon("imagine", "red heart", "-o", str(tmp_path / target), "-q")
    assert done.returncode == 78
    assert done.stderr.startswith("salon: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_full_disk_ends_with_78() -> None:
    done = _salon("imagine", "x", "-o", "/dev/full", "-q", "--steps", "1")
    assert done.returncode == 78
    assert "No space left" in done.stderr


def test_a_folder_without_a_model_ends_with_78(tmp_path: Path) -> None:
    done = _salon("imagine", "x", "--model", str(tmp_path), "-q")
    assert done.returncode == 78
    assert "there is no model.json" in done.stderr
