"""The check before anything is loaded from a model folder."""

import json
from pathlib import Path

import pytest

from salon.imaging.card import ModelCard, ModelUnusable, fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.onnx").write_bytes(b"weights" * 100)
    card = {
        "name": "n",
        "version": "1",
        "defaults": {"start": 0.6},
        "files": {"a.onnx": fingerprint(tmp_path / "a.onnx")},
    }
    (tmp_path / "model.json").write_text(json.dumps(card))
    return tmp_path


def test_a_whole_folder_is_accepted(folder: Path) -> None:
    assert ModelCard.read(folder).name == "n"


def test_one_changed_byte_is_refused(folder: Path) -> None:
    data = bytearray((folder / "a.onnx").read_bytes())
    data[350] ^= 1
    (folder / "a.onnx").write_bytes(data)
    with pytest.raises(ModelUnusable, match=r"a\.onnx is damaged"):
        ModelCard.read(folder)


def test_a_cut_file_is_refused_with_both_sizes(folder: Path) -> None:
    (folder / "a.onnx").write_bytes(b"weights" * 50)
    with pytest.raises(ModelUnusable, match=r"350 bytes.*expected 700 bytes"):
        ModelCard.read(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "a.onnx").unlink()
    with pytest.raises(ModelUnusable, match=r"a\.onnx is missing"):
        ModelCard.read(folder)


def test_a_folder_without_a_card_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="salon train emoji"):
        ModelCard.read(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"files": {}}', "[]"])
def test_a_damaged_card_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelUnusable, match="cannot be read"):
        ModelCard.read(tmp_path)
