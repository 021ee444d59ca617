"""``salon.imaging.training.autoencoder``, its folder, and ``latent/reconstruct.py``."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from salon.imaging.data import folder as pictures
from tests.imaging.latent.shapes import SIDE, discs

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pictures.PictureFolder:
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("discs")
    return pictures.load(discs(place / "pictures", 24), SIDE, place)


def _recipe(**changes: Any) -> Any:
    from salon.imaging.models.autoencoder_kl import AutoencoderConfig
    from salon.imaging.training.autoencoder import Recipe

    shape = AutoencoderConfig(widths=(16, 32), layers=1, groups=8, image_size=SIDE)
    values = {
        "shape": shape,
        "batch": 8,
        "warmup": 2,
        "ema": 0.9,
        "learning_rate": 3e-3,
        "loss": "l2",
    }
    return Recipe(**{**values, **changes})


def _trainer(
    data: pictures.PictureFolder, out: Path, parts: Any = None, **changes: Any
) -> Any:
    from salon.imaging.training.autoencoder import Trainer

    return Trainer(_recipe(**changes), data, out, **(parts or {}))


def _run(trainer: Any, steps: int, **changes: Any) -> Any:
    from salon.imaging.training.resumable import Plan

    trainer.run(Plan(steps, **{"sample_every": 0, **changes}))
    return trainer


@pytest.fixture(scope="module")
def trained(
    data: pictures.PictureFolder, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    out = tmp_path_factory.mktemp("vae")
    return _run(_trainer(data, out), 120, sample_every=60, samples=4)


def test_the_loss_falls_and_everything_is_written(trained: Any) -> None:
    curve, out = trained.progress.curve, trained.out
    assert curve[-1][2] < 0.5 * curve[0][2]
    assert sorted(p.name for p in (out / "samples").iterdir()) == [
        "step-000060.png",
        "step-000120.png",
    ]
    card = json.loads((out / "model" / "card.json").read_text())
    assert card["step"] == 120
    assert card["held_out"] == 1
    assert card["psnr_db"] == pytest.approx(trained.psnr(), abs=0.001)
    assert not list(out.rglob("*.part"))


def test_the_scaling_factor_brings_the_latents_to_unit_spread(
    trained: Any, data: pictures.PictureFolder
) -> None:
    from salon.imaging.models import autoencoder_folder

    network = autoencoder_folder.load(trained.out)
    x = torch.from_numpy(data.batch(trained._training))
    with torch.no_grad():
        q = network.encode(x)
        draws = torch.stack([q.sample(torch.randn_like(q.mean)) for _ in range(50)])

    assert network.config.scaling_factor != 0.18215
    scaled = draws * network.config.scaling_factor
    assert float(scaled.std()) == pytest.approx(1.0, abs=0.01)


def test_stock_diffusers_reads_the_folder_and_answers_the_same(
    trained: Any, data: pictures.PictureFolder
) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    from salon.imaging.models import autoencoder_folder

    theirs = diffusers.AutoencoderKL.from_pretrained(trained.out / "model").eval()
    ours = autoencoder_folder.load(trained.out)
    x = torch.from_numpy(data.batch(np.arange(4)))
    with torch.no_grad():
        q, expected = ours.encode(x), theirs.encode(x).latent_dist
        y = theirs.decode(expected.mode()).sample

    assert theirs.config.scaling_factor == ours.config.scaling_factor
    torch.testing.assert_close(q.mean, expected.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours(x), y, rtol=1e-5, atol=1e-5)


def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    whole = _run(_trainer(data, tmp_path / "whole"), 6)
    _run(_trainer(data, tmp_path / "parts"), 2)
    torch.manual_seed(99)
    parts = _trainer(data, tmp_path / "parts")
    parts.resume()
    _run(parts, 6, sample_every=1, samples=1)

    assert parts.progress.recent == whole.progress.recent
    for one, other in ((whole._model, parts._model), (whole._average, parts._average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_decoder_only_moves_no_latent_and_reconstructs_better(
    trained: Any, data: pictures.PictureFolder, tmp_path: Path
) -> None:
    from salon.imaging.models import autoencoder_folder

    base = autoencoder_folder.load(trained.out)
    options = {"shape": base.config, "decoder_only": True, "begin": "it"}
    tuned = _run(_trainer(data, tmp_path, {"begin": base}, **options), 30)
    after = autoencoder_folder.load(tmp_path)
    x = torch.from_numpy(data.batch(np.arange(8)))
    with torch.no_grad():
        before, now = base.encode(x), after.encode(x)

    assert torch.equal(before.mean, now.mean)
    assert torch.equal(before.logvar, now.logvar)
    assert after.config == base.config
    assert not torch.equal(base.decoder.conv_out.weight, after.decoder.conv_out.weight)
    assert tuned.psnr() > trained.psnr()
    again = _trainer(data, tmp_path, {"begin": base}, **options)
    again.resume()
    assert _run(again, 31).progress.step == 31


def test_what_is_held_out_is_never_trained_on() -> None:
    from salon.imaging.training.autoencoder import split

    for count, held in ((8, 0), (20, 1), (1000, 50), (100_000, 64)):
        training, shown = split(count, 7)
        assert len(shown) == held
        assert sorted([*training, *shown]) == list(range(count))
        assert split(count, 7)[1].tolist() == shown.tolist()


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_is_what_the_formula_says(
    data: pictures.PictureFolder, tmp_path: Path, loss: Any
) -> None:
    trainer = _trainer(data, tmp_path, loss=loss, kl=0.01)
    x = torch.from_numpy(data.batch(trained_first(trainer)))
    state = trainer._rng.bit_generator.state
    measured = float(trainer._loss().detach())
    trainer._rng.bit_generator.state = state
    with torch.no_grad():
        q = trainer._model.encode(x)
        eps = torch.from_numpy(trainer._rng.standard_normal(q.mean.shape, np.float32))
        error = trainer._model.decode(q.mean + q.std * eps) - x
        first = error.abs().mean() if loss == "l1" else (error**2).mean()
        kl = 0.5 * (q.mean**2 + q.std**2 - 1 - q.logvar).sum() / x.numel()

    assert measured == pytest.approx(float(first + 0.01 * kl), rel=1e-5)


def trained_first(trainer: Any) -> Any:
    return trainer._training[trainer._places()]


def test_our_own_judge_can_look_too(
    data: pictures.PictureFolder, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    from salon.imaging.models.contrastive import PictureTower
    from salon.imaging.models.disk import ModelUnreadable
    from salon.imaging.models.perceptual import JUDGE, Perceptual

    with pytest.raises(ModelUnreadable, match="no trained judge"):
        Perceptual.load(tmp_path)
    torch.manual_seed(0)
    tower = PictureTower()
    weights = {f"average.tower.{k}": v for k, v in tower.state_dict().items()}
    save_file(weights | {"average.log_scale": torch.ones(1)}, tmp_path / JUDGE)
    eyes = Perceptual.load(tmp_path)
    x = torch.from_numpy(data.batch(np.arange(4)))
    assert float(eyes(x, x)) == 0.0
    assert float(eyes(x, x.flip(0))) > float(eyes(x, x + 0.01)) > 0.0

    out = tmp_path / "out"
    trainer = _trainer(data, out, {"perceptual": eyes}, perceptual=0.1, judge="j")
    _run(trainer, 3)
    assert trainer.progress.step == 3
    with pytest.raises(ValueError, match="--judge"):
        _trainer(data, tmp_path / "other", perceptual=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "l3"}, "one of l1, l2"),
        ({"kl": -1.0}, "kl: must be"),
        ({"decoder_only": True}, "--begin"),
        ({"batch": 0}, "batch: must be"),
        ({"precision": "float8"}, "one of float32, bfloat16"),
    ],
)
def test_a_recipe_out_of_range_is_refused_by_name(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        _recipe(**changes)


def test_shapes_are_refused_by_name() -> None:
    from salon.imaging.training.autoencoder import shape

    with pytest.raises(ValueError, match="one of tiny, small"):
        shape("huge", 64, 4)
    with pytest.raises(ValueError, match="latents: must be 1 to 64"):
        shape("tiny", 64, 0)
    with pytest.raises(ValueError, match="multiple of 4"):
        _recipe(shape=shape("small", 30, 4))


def test_psnr_is_what_it_is_everywhere() -> None:
    from salon.imaging.latent.reconstruct import psnr

    black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 51, np.uint8)
    assert psnr(black, grey) == pytest.approx(20 * math.log10(5))
    assert psnr(grey, black) == psnr(black, grey)
    assert psnr(grey, grey) == math.inf


def test_folders_that_hold_no_autoencoder_are_answered_in_words(
    trained: Any, tmp_path: Path
) -> None:
    from salon.imaging.models import autoencoder_folder, disk

    with pytest.raises(disk.ModelUnreadable, match=r"holds no autoencoder.*train vae"):
        autoencoder_folder.load(tmp_path)
    config = trained.out / "model" / disk.CONFIG
    (tmp_path / disk.CONFIG).write_bytes(config.read_bytes())
    with pytest.raises(disk.ModelUnreadable, match="safetensors is missing"):
        autoencoder_folder.load(tmp_path)
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(disk.ModelUnreadable, match="pickle"):
        autoencoder_folder.load(tmp_path)
    (tmp_path / disk.WEIGHTS).write_bytes(b"\0" * 100)
    with pytest.raises(disk.ModelUnreadable, match="cannot be used"):
        autoencoder_folder.load(tmp_path)
    other = json.loads(config.read_text()) | {"act_fn": "relu"}
    (tmp_path / disk.CONFIG).write_text(json.dumps(other))
    with pytest.raises(disk.ModelUnreadable, match="act_fn = 'relu'"):
        autoencoder_folder.load(tmp_path)
