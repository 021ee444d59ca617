"""``salon.imaging.models.ddpm_folder``: a model on the disk, ours and diffusers'."""

import json
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from salon.imaging.diffusion import betas
from salon.imaging.samplers.registry import SAMPLERS

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from salon.imaging.models import ddpm_folder
    from salon.imaging.models.ddpm_unet import SIZES, DDPMUNet, UNetConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = DDPMUNet(UNetConfig(16, SIZES["small"])).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    place = tmp_path_factory.mktemp("model")
    ddpm_folder.save(place, network, ddpm_folder.Process(60), {"step": 7})
    return place


def _draw(folder: Path, seeds: list[tuple[int, ...]], *options: Any) -> np.ndarray:
    from salon.imaging.models import ddpm_folder

    *_, pictures = ddpm_folder.load(folder).draw(seeds, *options)
    return np.asarray(pictures)


def test_what_was_saved_is_loaded(folder: Path) -> None:
    from salon.imaging.models import ddpm_folder

    model = ddpm_folder.load(folder)

    assert model.card == {"step": 7}
    assert model.process == ddpm_folder.Process(60)
    assert model.image_size == 16


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_depends_on_its_own_seed_only(folder: Path, sampler: str) -> None:
    together = _draw(folder, [(1, 0), (1, 1)], sampler, 6)
    alone = _draw(folder, [(1, 1)], sampler, 6)

    assert together.shape == (2, 16, 16, 3)
    assert together.dtype == np.uint8
    difference = together[1].astype(int) - alone[0].astype(int)
    assert np.abs(difference).max() <= 1  # batches round differently
    assert not np.array_equal(together[0], together[1])


def test_previews_come_at_every_step(folder: Path) -> None:
    from salon.imaging.models import ddpm_folder

    drawn = list(ddpm_folder.load(folder).draw([(0,)], "ddim", 5))

    assert len(drawn) == 6
    assert np.array_equal(drawn[-1], drawn[-2])


def test_impossible_wishes_are_refused_before_any_work(folder: Path) -> None:
    from salon.imaging.models import ddpm_folder

    model = ddpm_folder.load(folder)
    with pytest.raises(ValueError, match="unipc"):
        model.draw([(0,)], "heun")
    with pytest.raises(ValueError, match="between 1 and 60"):
        model.draw([(0,)], "ddim", 61)


def test_diffusers_pipeline_loads_the_folder_and_draws(folder: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(num_inference_steps=4, output_type="np").images

    assert images.shape == (1, 16, 16, 3)
    from salon.imaging.models import ddpm_folder

    ours = ddpm_folder.load(folder).process.diffusion()
    theirs = pipeline.scheduler.alphas_cumprod.numpy()
    assert theirs == pytest.approx(ours.alphas_cumprod, abs=1e-6)


@pytest.mark.parametrize("schedule", get_args(betas.Schedule))
@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_a_process_can_be_read_back(schedule: Any, prediction: Any) -> None:
    from salon.imaging.models.ddpm_folder import Process

    process = Process(300, schedule, prediction, zero_snr=prediction != "epsilon")

    assert Process.from_diffusers(process.as_diffusers()) == process
    with pytest.raises(ValueError, match="unknown here"):
        Process.from_diffusers(process.as_diffusers() | {"beta_schedule": "sigmoid"})


def test_damaged_and_foreign_folders_are_refused_in_words(
    folder: Path, tmp_path: Path
) -> None:
    import shutil

    from salon.imaging.models import ddpm_folder
    from salon.imaging.models.disk import ModelUnreadable

    with pytest.raises(ModelUnreadable, match="no trained DDPM"):
        ddpm_folder.load(tmp_path)
    for name, change in {
        "weights": lambda p: (p / ddpm_folder.WEIGHTS).write_bytes(b"\0" * 100),
        "config": lambda p: (p / "unet" / "config.json").write_text("[]"),
        "json": lambda p: (p / "unet" / "config.json").write_text("{"),
        "other": lambda p: _edit(p / "unet" / "config.json", layers_per_block=3),
        "schedule": lambda p: _edit(
            p / "scheduler" / "scheduler_config.json", beta_schedule="laplace"
        ),
    }.items():
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        change(copy)
        with pytest.raises(ModelUnreadable, match=f"in .*{name} cannot be used"):
            ddpm_folder.load(copy)


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
