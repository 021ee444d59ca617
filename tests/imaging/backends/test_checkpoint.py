"""What is refused before any library sees it; nothing here needs torch."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from salon.imaging.backends import choose
from salon.imaging.backends.checkpoint import Checkpoint
from salon.imaging.backends.choose import Choice, LoraFile
from salon.imaging.card import ModelUnusable
from salon.imaging.runtime import MODEL_FOLDER, EmbeddedModel


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def _folder(path: Path, weights: str) -> Path:
    (path / "unet").mkdir(parents=True)
    index = {"_class_name": "X", "unet": ["diffusers", "Y"], "tokenizer": [None, None]}
    (path / "model_index.json").write_text(json.dumps(index))
    (path / "unet" / weights).write_bytes(pickle.dumps(Bomb()))
    return path


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "model.pth"])
def test_a_pickle_is_refused_by_name_and_not_opened(
    tmp_path, monkeypatch, name
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelUnusable, match=rf"{name} is a pickle.*safetensors only"):
        Checkpoint.at(tmp_path / name)
    folder = _folder(tmp_path / "folder", "diffusion_pytorch_model.bin")
    with pytest.raises(ModelUnusable, match=r"diffusion_pytorch_model\.bin is a pick"):
        Checkpoint.at(folder)
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_beside_safetensors_is_left_alone(tmp_path) -> None:
    folder = _folder(tmp_path / "m", "diffusion_pytorch_model.bin")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
    found = Checkpoint.at(folder)
    assert found.kind == "folder"
    assert found.name == "m"
    assert found.missing_parts() == {"tokenizer": None}


def test_the_version_changes_with_the_weights(tmp_path) -> None:
    folder = _folder(tmp_path / "m", "w.safetensors")
    first = Checkpoint.at(folder).version()
    assert Checkpoint.at(folder).version() == first
    (folder / "unet" / "w.safetensors").write_bytes(b"other")
    assert Checkpoint.at(folder).version() != first


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "nothing", "there is no model at.*Nothing is downloaded"),
        (lambda p: p, "no model.json.*no model_index.json"),
        (lambda p: (p / "a.txt", (p / "a.txt").touch())[0], "a.txt is no .safetensors"),
    ],
    ids=["missing", "empty", "text"],
)
def test_what_is_no_model_is_refused(tmp_path, make, words) -> None:
    with pytest.raises(ModelUnusable, match=words):
        Checkpoint.at(make(tmp_path))


def test_nothing_named_is_the_embedded_model() -> None:
    assert isinstance(choose.load(Choice()), EmbeddedModel)


def test_a_folder_of_salons_own_kind_is_the_embedded_engine(tmp_path) -> None:
    shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    assert isinstance(choose.load(Choice(tmp_path / "model")), EmbeddedModel)


def test_the_embedded_model_takes_no_lora(tmp_path) -> None:
    with pytest.raises(ModelUnusable, match="lora: the embedded model takes none"):
        choose.load(Choice(loras=[LoraFile(tmp_path / "x.safetensors")]))


def test_a_missing_package_is_named_with_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = _folder(tmp_path / "m", "w.safetensors")
    with pytest.raises(ModelUnusable, match=r"torch, which.*salon\[diffusers\]"):
        choose.check(Choice(folder))
