"""``salon train text2image`` and ``salon sample --prompt``."""

import os
from pathlib import Path

import pytest
import typer
from PIL import Image

from salon.cli import sample, train_text2image, train_vae
from tests.imaging.latent.shapes import discs
from tests.imaging.latent.shell import Shell

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")

app = typer.Typer()
app.command("train")(train_text2image.text2image)
app.command("vae")(train_vae.vae)
app.command("sample")(sample.sample)
_done, _refusal = Shell(app).done, Shell(app).refusal
SMALL = ("--size", "tiny", "--batch", "2", "--threads", "1", "--steps", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = discs(tmp_path_factory.mktemp("all") / "discs", 12)
    Image.new("RGB", (8, 8), "red").save(place / "unmentioned.png")
    (place / "002.png").write_text("no picture")
    return place


@pytest.fixture(scope="module")
def vae(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vae")
    tiny = ("--image-size", "16", "--size", "tiny", "--batch", "2", "--steps", "1")
    _done("vae", folder, "-o", out, *tiny)
    return out


@pytest.fixture(scope="module")
def model(folder: Path, vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    said = _done("train", folder, "-o", out, "--vae", vae, *SMALL)
    assert "1 pictures have no line in metadata.jsonl" in said
    assert "11 pictures with captions, 16 x 16" in said
    assert "1 skipped: 002.png" in said
    assert "salon sample" in said
    return out


def test_it_goes_on_without_being_told_of_its_parts(folder: Path, model: Path) -> None:
    assert "--resume" in _refusal("train", folder, "-o", model, "--vae", model)
    _done("train", folder, "-o", model, "--resume", "--steps", "3")
    other = _refusal("train", folder, "-o", model, "--resume", "--drop", "0.3")
    assert "another drop" in other
    other = _refusal("train", folder, "-o", model, "--resume", "--size", "small")
    assert "begun with" in other
    other = _refusal("train", folder, "-o", model, "--resume", "--captions", "captions")
    assert "another" in other


def test_a_row_for_each_prompt_and_the_same_again(model: Path, tmp_path: Path) -> None:
    png = tmp_path / "sheet.png"
    words = ("--prompt", "a red disc", "--prompt", "диск", "--n", "3", "--steps", "2")
    _done("sample", model, *words, "-o", png, "--seed", "1", "--guidance", "2")
    with Image.open(png) as image:
        image.load()
        assert image.size == (2 + 3 * 18, 2 + 2 * 18)
        said = image.text["parameters"]  # type: ignore[attr-defined]
    assert said == "a red disc; диск\nseed 1, dpm++, 2 steps, guidance 2"
    before = png.read_bytes()
    _done(
        "sample", model / "model", *words, "-o", png, "--seed", "1", "--guidance", "2"
    )
    assert png.read_bytes() == before
    _done("sample", model, "-o", png, "--n", "1", "--steps", "2", "--negative", "red")
    assert png.read_bytes() != before


def test_clip_is_taken_where_it_is_named(
    folder: Path, vae: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="needs transformers")
    from tests.imaging.latent import clip

    out, encoder = tmp_path / "out", clip.folder(tmp_path / "clip")
    named = ("--vae", vae, "--text-encoder", encoder)
    _done("train", folder, "-o", out, *named, *SMALL)
    _done("train", folder, "-o", out, "--resume", "--steps", "3")
    assert (out / "model" / "tokenizer" / "vocab.json").exists()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--zero-terminal-snr", "--prediction", "epsilon"), "epsilon cannot"),
        (("--prediction", "flow"), "'flow' is unknown"),
        (("--size", "huge"), "one of tiny"),
        (("--image-size", "17"), "multiple of 2"),
        (("--captions", "title"), "one of text, captions"),
        (("--drop", "2"), "drop: must be"),
        (("--text-encoder", "nowhere"), "no CLIP text encoder"),
        (("--resume",), "no training to resume"),
    ],
)
def test_wrong_values_are_answered_in_words(
    folder: Path, vae: Path, tmp_path: Path, words: tuple[str, ...], answer: str
) -> None:
    said = _refusal("train", folder, "-o", tmp_path, "--vae", vae, *words)
    assert answer in said
    assert not (tmp_path / "text2image.safetensors").exists()


def test_wrong_folders_are_answered_in_words(
    folder: Path, vae: Path, tmp_path: Path
) -> None:
    nowhere, png = tmp_path / "nowhere", tmp_path / "x.png"
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.new("RGB", (8, 8), "red").save(plain / "a.png")
    out = ("-o", tmp_path / "out")
    assert "--vae" in _refusal("train", folder, *out)
    assert "no autoencoder" in _refusal("train", folder, *out, "--vae", nowhere)
    assert "does not exist" in _refusal("train", nowhere, *out, "--vae", vae)
    assert "no metadata.jsonl" in _refusal("train", plain, *out, "--vae", vae)
    assert "no trained DDPM" in _refusal("sample", nowhere, "-o", png)


def test_a_model_without_words_refuses_them(tmp_path: Path) -> None:
    words = _refusal("sample", tmp_path, "--prompt", "x", "-o", tmp_path / "x.png")
    assert "knows no words" in words
