"""``salon train vae`` and ``salon vae``: from a folder to reconstructions."""

import os
from pathlib import Path

import pytest
import typer
from PIL import Image

from salon.cli import train_vae, vae
from tests.imaging.latent.shapes import discs
from tests.imaging.latent.shell import Shell

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")

app = typer.Typer()
app.command("train")(train_vae.vae)
app.add_typer(vae.app, name="vae")
_done, _refusal = Shell(app).done, Shell(app).refusal
SMALL = ("--image-size", "16", "--size", "tiny", "--batch", "4", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return discs(tmp_path_factory.mktemp("all") / "discs", 20)


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    said = _done("train", folder, "-o", out, *SMALL, "--steps", "2")
    assert "20 pictures, 16 x 16" in said
    assert "salon vae reconstruct" in said
    return out


def test_it_goes_on_and_begins_nothing_twice(folder: Path, model: Path) -> None:
    assert "--resume" in _refusal("train", folder, "-o", model, *SMALL)
    _done("train", folder, "-o", model, "--resume", "--steps", "3")
    other = _refusal("train", folder, "-o", model, "--resume", "--kl", "0.1")
    assert "another kl" in other
    other = _refusal("train", folder, "-o", model, "--resume", "--size", "small")
    assert "size: is that of the autoencoder" in other


def test_a_decoder_is_tuned_from_a_folder(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    options = ("--batch", "4", "--steps", "2", "--begin", model)
    _done("train", folder, "-o", out, "--decoder-only", *options)
    assert "name it again" in _refusal("train", folder, "-o", out, "--resume")
    _done("train", folder, "-o", out, "--resume", "--begin", model, "--steps", "3")
    sized = _refusal("train", folder, "-o", tmp_path / "x", *options, "--latents", "8")
    assert "latents: is that of the autoencoder" in sized


def test_pictures_go_in_and_come_out_side_by_side(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    png = tmp_path / "sheet.png"
    said = _done("vae", "reconstruct", model, folder, "-o", png, "--n", "4")
    assert "PSNR" in said
    assert "4 pictures" in said
    with Image.open(png) as image:
        image.load()
        assert image.height > 2 * 16

    latents, drawn = tmp_path / "latents.safetensors", tmp_path / "drawn.png"
    said = _done("vae", "encode", model, folder, "-o", latents)
    assert "(20, 4, 8, 8)" in said
    _done("vae", "decode", model / "model", latents, "-o", drawn, "--n", "9")
    with Image.open(drawn) as image:
        assert image.size == (2 + 3 * 18, 2 + 3 * 18)


def test_wrong_files_and_values_are_answered_in_words(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    out = tmp_path / "out.png"
    assert "does not exist" in _refusal("train", nowhere, "-o", tmp_path / "o")
    assert "no training to resume" in _refusal(
        "train", folder, "-o", tmp_path / "o", "--resume"
    )
    assert "holds no autoencoder" in _refusal("vae", "reconstruct", nowhere, folder)
    assert "does not exist" in _refusal("vae", "reconstruct", model, nowhere)
    assert "name a file" in _refusal("vae", "reconstruct", model, folder, "-o", folder)
    odd = ("--image-size", "17", "-o", out)
    assert "multiples of 2" in _refusal("vae", "reconstruct", model, folder, *odd)
    (tmp_path / "x.safetensors").write_text("no latents")
    wrong = _refusal("vae", "decode", model, tmp_path / "x.safetensors", "-o", out)
    assert "no file of `salon vae encode`" in wrong
    assert "--begin" in _refusal(
        "train", folder, "-o", tmp_path / "o", *SMALL, "--decoder-only"
    )
    assert not (tmp_path / "o" / "vae.safetensors").exists()
