"""``salon.imaging.training.ddpm``: seconds of real training on a few pictures."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from salon.imaging.data import folder as pictures

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")

SIDE = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pictures.PictureFolder:
    """Eight discs in eight colours."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("discs")
    for i in range(8):
        image = Image.new("RGB", (SIDE, SIDE), "white")
        colour = (255 * (i & 1), 127 * (i & 2), 63 * (i & 4))
        ImageDraw.Draw(image).ellipse((3, 3, 12, 12), fill=colour)
        image.save(place / f"{i}.png")
    return pictures.load(place, SIDE, place / "cache")


def _recipe(**changes: Any) -> Any:
    from salon.imaging.models.ddpm_folder import Process
    from salon.imaging.training.ddpm import Recipe

    values = {
        "image_size": SIDE,
        "batch": 8,
        "size": "tiny",
        "warmup": 5,
        "ema": 0.9,
        "learning_rate": 3e-3,
        "process": Process(steps=100),
    }
    return Recipe(**{**values, **changes})


def _trainer(data: pictures.PictureFolder, out: Path, **changes: Any) -> Any:
    from salon.imaging.training.ddpm import Trainer

    return Trainer(_recipe(**changes), data, out)


def _plan(steps: int, **changes: Any) -> Any:
    from salon.imaging.training.resumable import Plan

    return Plan(steps, **{"sample_every": 0, **changes})


def _weights(trainer: Any) -> dict[str, Any]:
    return {
        **{f"model.{k}": v for k, v in trainer._model.state_dict().items()},
        **{f"average.{k}": v for k, v in trainer._average.state_dict().items()},
    }


def test_the_loss_falls_and_everything_is_written(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    trainer = _trainer(data, tmp_path)
    seen: list[int] = []
    trainer.run(
        _plan(60, sample_every=30, samples=4, sample_steps=3),
        lambda progress: seen.append(progress.step),
    )

    curve = trainer.progress.curve
    assert curve[-1][2] < 0.5 * curve[0][2]
    assert seen == list(range(1, 61))
    assert (tmp_path / "loss.png").stat().st_size > 500
    sheets = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert sheets == ["step-000030.png", "step-000060.png"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("stops", [[5, 12], [1, 2, 12]])
def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(
    data: pictures.PictureFolder, tmp_path: Path, stops: list[int]
) -> None:
    """Dropout and flips included; 8 pictures and batches of 5 resume mid-epoch."""
    options = {"batch": 5, "flip": True, "dropout": 0.2, "seed": 3}
    whole = _trainer(data, tmp_path / "whole", **options)
    whole.run(_plan(12))
    parts = _trainer(data, tmp_path / "parts", **options)
    parts.run(_plan(stops[0]))
    for stop in stops[1:]:
        torch.manual_seed(99)
        parts = _trainer(data, tmp_path / "parts", **options)
        parts.resume()
        parts.run(_plan(stop, sample_every=1, samples=1, sample_steps=1))

    assert parts.progress.step == 12
    assert parts.progress.recent == whole.progress.recent
    for name, value in _weights(whole).items():
        assert torch.equal(value, _weights(parts)[name]), name


def test_another_seed_is_another_training(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    trainers = [_trainer(data, tmp_path / str(s), seed=s) for s in (1, 1, 2)]
    for trainer in trainers:
        trainer.step()
    losses = [trainer.progress.loss for trainer in trainers]

    assert losses[0] == losses[1] != losses[2]


def test_every_picture_is_seen_once_an_epoch(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    trainer = _trainer(data, tmp_path, batch=4)
    seen = []
    for step in range(4):
        trainer.progress.step = step
        seen += list(trainer._batch())
    first, second = np.stack(seen[:8]), np.stack(seen[8:])

    every = sorted(data.batch(np.arange(8)).reshape(8, -1).tolist())
    assert sorted(first.reshape(8, -1).tolist()) == every
    assert sorted(second.reshape(8, -1).tolist()) == every
    assert not np.array_equal(first, second)


def test_stopping_leaves_a_training_that_goes_on(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    trainer = _trainer(data, tmp_path)
    trainer.run(_plan(100), stop=lambda: trainer.progress.step >= 3)
    resumed = _trainer(data, tmp_path)
    resumed.resume()

    assert trainer.progress.step == resumed.progress.step == 3


def test_a_full_disk_keeps_the_save_before_and_says_so(
    data: pictures.PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    from salon.imaging.training import checkpoint
    from salon.imaging.training.resumable import CannotSave

    trainer = _trainer(data, tmp_path)
    trainer.run(_plan(2))

    def full(_: Any, path: Path, **__: Any) -> None:
        path.write_bytes(b"half")
        raise safetensors.SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CannotSave, match=r"step 4 .*No space left.*make room"):
        trainer.run(_plan(4))
    resumed = _trainer(data, tmp_path)
    resumed.resume()

    assert resumed.progress.step == 2
    assert not list(tmp_path.rglob("*.part"))


def test_a_loss_that_is_no_number_ends_the_training_before_the_save(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    from salon.imaging.training.resumable import Diverged

    trainer = _trainer(data, tmp_path)
    trainer.run(_plan(1))
    with torch.no_grad():
        trainer._model.conv_in.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="lower learning rate"):
        trainer.run(_plan(5))
    resumed = _trainer(data, tmp_path)
    resumed.resume()

    assert torch.isfinite(resumed._model.conv_in.weight).all()


def test_what_cannot_be_resumed_is_refused_in_words(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    from dataclasses import replace

    from salon.imaging.training.ddpm import CHECKPOINT, Trainer
    from salon.imaging.training.resumable import CannotResume

    with pytest.raises(CannotResume, match="holds no training"):
        _trainer(data, tmp_path).resume()
    _trainer(data, tmp_path).run(_plan(1))
    with pytest.raises(CannotResume, match="another batch, seed"):
        _trainer(data, tmp_path, seed=5, batch=2).resume()
    with pytest.raises(CannotResume, match="other pictures"):
        Trainer(_recipe(), replace(data, digest="other"), tmp_path).resume()
    whole = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CannotResume, match="is damaged"):
        _trainer(data, tmp_path).resume()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("learning_rate", 0.0),
        ("ema", 1.0),
        ("dropout", 1.0),
        ("seed", -1),
        ("size", "huge"),
        ("image_size", 15),
    ],
)
def test_a_recipe_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field.replace("image_size", "image size")):
        _recipe(**{field: value})


def test_mixed_precision_trains_and_keeps_float32_weights(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    trainer = _trainer(data, tmp_path, precision="bfloat16")
    trainer.run(_plan(40))

    assert trainer.progress.curve[-1][2] < trainer.progress.curve[0][2]
    assert {p.dtype for p in trainer._model.parameters()} == {torch.float32}


def test_the_learning_rate_warms_up_and_stays(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    trainer = _trainer(data, tmp_path, warmup=9, learning_rate=1e-3)
    rates = []
    for step in (0, 4, 9, 10_000):
        trainer.progress.step = step
        rates.append(trainer.learning_rate())

    assert rates == pytest.approx([1e-4, 5e-4, 1e-3, 1e-3])


@pytest.mark.parametrize("prediction", ["v", "sample"])
def test_other_targets_and_zero_snr_train_as_well(
    data: pictures.PictureFolder, tmp_path: Path, prediction: Any
) -> None:
    from salon.imaging.models.ddpm_folder import Process

    process = Process(100, "cosine", prediction, zero_snr=True)
    trainer = _trainer(data, tmp_path, process=process)
    trainer.run(_plan(40))

    assert trainer.progress.curve[-1][2] < 0.8 * trainer.progress.curve[0][2]
