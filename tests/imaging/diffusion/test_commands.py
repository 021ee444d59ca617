"""``salon train ddpm`` and ``salon sample``: from a folder of pictures to a sheet."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from salon.cli import sample, train_ddpm
from salon.errors import StartupError

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")

app = typer.Typer()
app.command("ddpm")(train_ddpm.ddpm)
app.command("sample")(sample.sample)
SMALL = ("--image-size", "8", "--size", "tiny", "--batch", "2", "--threads", "1")


def _salon(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def _refusal(*words: str | Path) -> str:
    result = _salon(*words)
    assert isinstance(result.exception, StartupError), result.output
    return str(result.exception)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "pictures"
    place.mkdir()
    for i, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (12, 12), colour).save(place / f"{i}.png")
    (place / "broken.png").write_text("no picture")
    return place


def test_a_folder_is_trained_resumed_and_sampled(folder: Path, tmp_path: Path) -> None:
    out, png = tmp_path / "out", tmp_path / "sheet.png"
    first = _salon("ddpm", folder, "-o", out, *SMALL, "--steps", "2")
    assert first.exit_code == 0, first.output
    assert "3 pictures, 8 x 8" in first.output
    assert "1 skipped: broken.png" in first.output
    assert "--resume" in _refusal("ddpm", folder, "-o", out, *SMALL)
    assert _salon("ddpm", folder, "-o", out, "--resume", "--steps", "4").exit_code == 0

    drawn = _salon("sample", out, "--n", "5", "-o", png, "--steps", "2", "--seed", "1")
    assert drawn.exit_code == 0, drawn.output
    with Image.open(png) as image:
        image.load()
        assert image.size == (2 + 3 * 10, 2 + 2 * 10)
        assert image.text["parameters"] == "seed 1, dpm++, 2 steps"  # type: ignore[attr-defined]
    before = png.read_bytes()
    _salon("sample", out, "--n", "5", "-o", png, "--steps", "2", "--seed", "1")
    assert png.read_bytes() == before


def test_another_recipe_on_resume_is_refused_by_name(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _salon("ddpm", folder, "-o", out, *SMALL, "--steps", "1")

    words = _refusal("ddpm", folder, "-o", out, "--resume", "--lr", "0.01")
    assert "another learning_rate" in words


def test_control_c_stops_after_a_step_and_keeps_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from salon.imaging.training import ddpm as training

    step = training.Trainer.step

    def interrupted(self: Any) -> None:
        step(self)
        if self.progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training.Trainer, "step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    result = _salon("ddpm", folder, "-o", tmp_path / "out", *SMALL, "--steps", "100")

    assert result.exit_code == 0, result.output
    assert "stopped at step 3; --resume goes on" in result.output
    assert signal.getsignal(signal.SIGINT) is before


def test_wrong_folders_and_values_are_answered_in_words(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert "does not exist" in _refusal("ddpm", tmp_path / "nowhere", "-o", out)
    assert "no training to resume" in _refusal("ddpm", folder, "-o", out, "--resume")
    assert "no trained DDPM" in _refusal("sample", out, "-o", tmp_path / "x.png")
    assert "name a file" in _refusal("sample", out, "-o", tmp_path)
    for option, value, words in (
        ("--image-size", "10", "multiple of 4"),
        ("--size", "huge", "tiny"),
        ("--schedule", "sigmoid", "cosine"),
        ("--zero-snr", None, "'v' or 'sample'"),
        ("--device", "tpu", "cuda"),
    ):
        given = [option] if value is None else [option, value]
        result = _salon("ddpm", folder, "-o", out, *given)
        assert result.exit_code == 2
        assert words in " ".join(result.output.replace("│", " ").split())


def test_an_unknown_sampler_is_answered_with_the_known_ones(
    folder: Path, tmp_path: Path
) -> None:
    _salon("ddpm", folder, "-o", tmp_path / "out", *SMALL, "--steps", "1")
    result = _salon(
        "sample", tmp_path / "out", "--sampler", "heun", "-o", tmp_path / "x.png"
    )

    assert result.exit_code == 2
    assert "unipc" in result.output
