"""``salon imagine`` as a person in a shell meets it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salon.imaging.png import read_parameters

HERE = Path(__file__)


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
        ([], "prompt: is empty"),
        (["x", "--sampler", "k_heun"], "sampler: 'k_heun' is unknown; one of ddpm"),
        (["x", "--size", "big"], "size: write WIDTHxHEIGHT"),
        (["x", "--size", "100x128"], "width: must be a multiple of 8 between 8 and"),
        (["x", "--size", "512x512"], "width: this model draws 128 x 128 pixels only"),
        (["x", "--init", "missing.png"], "init: missing.png cannot be read"),
        (["x", "--strength", "2"], "strength: must be between 0 and 1"),
        (["x", "--mask", str(HERE)], "mask: "),
        (["x", "--expand", "8"], "expand: needs --init"),
        (["x", "--variation", "1.5"], "variation: must be between 0 and 1"),
        (["x", "--again", "y.png"], "again: a picture drawn again has its own prompt"),
        (["--again", str(HERE)], "not a readable PNG"),
        (["x", "--lora", "a.safetensors:much"], "lora: a.safetensors:much: write FILE"),
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
    assert "no model.json (Salon's own kind) and no model_index.json" in done.stderr


def test_a_pickle_ends_with_78_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"cos\nsystem\n.")
    done = _salon("imagine", "x", "--model", str(tmp_path / "model.ckpt"), "-q")
    assert done.returncode == 78
    assert "model.ckpt is a pickle" in done.stderr
    assert "safe_serialization=True" in done.stderr


def test_a_lora_is_not_for_the_embedded_model(tmp_path: Path) -> None:
    done = _salon("imagine", "x", "--lora", "a.safetensors:0.5", "-q")
    assert done.returncode == 78
    assert "lora: the embedded model takes none" in done.stderr


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _drawn(out: Path, *arguments: str) -> bytes:
    done = _salon("imagine", *arguments, "-q", "-o", str(out))
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def test_a_picture_is_drawn_again_from_itself(tmp_path: Path) -> None:
    options = ("--steps", "3", "--guidance", "2.25", "--sampler", "ddpm")
    more = ("--negative", "blue", "--variation", "0.3")
    first = _drawn(tmp_path / "a.png", "red heart", *options, *more)
    again = _drawn(tmp_path / "b.png", "--again", str(tmp_path / "a.png"))
    assert first == again


def test_a_picture_drawn_from_another_is_drawn_again_with_it(tmp_path: Path) -> None:
    heart, mask = tmp_path / "heart.png", tmp_path / "mask.png"
    _drawn(heart, "red heart", "--seed", "1", "--steps", "2")
    Image.new("L", (128, 128), 0).save(mask)
    hole = Image.new("L", (128, 128), 0)
    hole.paste(255, (64, 0, 128, 128))
    hole.save(mask)
    given = ("--init", str(heart), "--mask", str(mask))
    first = _drawn(tmp_path / "a.png", "pizza", *given, "--steps", "3")
    kept = _pixels(tmp_path / "a.png")[:, :64]
    assert np.array_equal(kept, _pixels(heart)[:, :64])
    out = str(tmp_path / "b.png")
    refused = _salon("imagine", "--again", str(tmp_path / "a.png"), "-o", out)
    assert refused.returncode == 2
    assert "init: this picture was drawn with one" in refused.stderr
    again = _drawn(tmp_path / "b.png", "--again", str(tmp_path / "a.png"), *given)
    assert first == again


def test_several_pictures_are_a_grid_and_each_its_own_file(tmp_path: Path) -> None:
    grid = tmp_path / "g.png"
    first = _drawn(grid, "red heart", "--n", "3", "--seed", "5", "--steps", "2")
    assert _pixels(grid).shape == (256, 256, 4)
    parts = [tmp_path / f"g-{i}.png" for i in (1, 2, 3)]
    assert [read_parameters(p.read_bytes())["seed"] for p in parts] == [5, 6, 7]
    assert np.array_equal(_pixels(grid)[:128, 128:], _pixels(parts[1]))
    assert _drawn(tmp_path / "h.png", "--again", str(grid)) == first


def test_margins_are_drawn_around_a_picture(tmp_path: Path) -> None:
    heart, wide = tmp_path / "heart.png", tmp_path / "wide.png"
    _drawn(heart, "red heart", "--seed", "1", "--steps", "2")
    _drawn(wide, "red heart", "--init", str(heart), "--expand", "32", "--steps", "2")
    image = _pixels(wide)
    assert image.shape == (192, 192, 4)
    assert np.array_equal(image[32:160, 32:160], _pixels(heart))


def test_what_a_prompt_is_read_as_is_said(tmp_path: Path) -> None:
    out = str(tmp_path / "x.png")
    done = _salon("imagine", "yellow submarine", "-o", out, "--steps", "1")
    assert "note: drawn as" in done.stderr
