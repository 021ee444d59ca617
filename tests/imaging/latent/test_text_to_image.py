"""``salon.imaging.training.text_to_image`` and the folder that it writes."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from salon.imaging.data import captioned
from tests.imaging.latent.shapes import SIDE, discs

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


SCALE = 6.0
"""Brings the latents of the untrained autoencoder to about unit spread."""


class World:
    """Eight captioned discs, an autoencoder of random weights, texts of two kinds."""

    def __init__(self, place: Path) -> None:
        from salon.imaging.latent import cache
        from salon.imaging.latent.texts import SentenceTexts
        from salon.imaging.models import autoencoder_folder
        from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.place, self.vae = place, place / "vae"
        shape = AutoencoderConfig(
            widths=(8, 16), layers=1, groups=4, image_size=SIDE, scaling_factor=SCALE
        )
        untrained = AutoencoderKL(shape)
        with torch.no_grad():
            untrained.quant_conv.bias[4:] = -10.0  # or latents would be noise
        autoencoder_folder.save(self.vae, untrained, {})
        self.digest = autoencoder_folder.digest(self.vae)
        folder = discs(place / "discs", 8)
        found = captioned.read(folder, "captions")
        network = autoencoder_folder.load(self.vae)
        self.data = cache.load(folder, found, network, self.digest, SIDE, place / "c")
        self.sentences = SentenceTexts.fit(t for said in found.captions for t in said)

    def texts(self, kind: str) -> Any:
        from salon.imaging.latent.texts import ClipTexts

        if kind == "sentences":
            return self.sentences
        pytest.importorskip("transformers", reason="needs transformers")
        from tests.imaging.latent import clip

        return ClipTexts.load(clip.folder(self.place / "clip"))

    def trainer(self, out: Path, kind: str = "sentences", **changes: Any) -> Any:
        from salon.imaging.models.unet_2d_condition import ConditionConfig
        from salon.imaging.training.text_to_image import Frozen, Recipe, Trainer

        texts = self.texts(kind)
        shape = ConditionConfig(8, (8, 16), (False, True), 1, texts.width, (2, 2), 4, 4)
        values = {
            "shape": shape,
            "image_size": SIDE,
            "autoencoder": self.digest,
            "texts": texts.digest,
            "batch": 8,
            "warmup": 2,
            "ema": 0.9,
            "learning_rate": 3e-3,
        }
        recipe = Recipe(**{**values, **changes})
        return Trainer(recipe, self.data, Frozen(self.vae, texts), out)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def _run(trainer: Any, steps: int, **changes: Any) -> Any:
    from salon.imaging.training.resumable import Plan

    plan = {"sample_every": 0, "samples": 4, "sample_steps": 2}
    trainer.run(Plan(steps, **{**plan, **changes}))
    return trainer


def _process(*words: Any, **more: Any) -> Any:
    from salon.imaging.models.ddpm_folder import Process

    return Process(*words, **more)


@pytest.mark.parametrize(
    ("kind", "process"),
    [
        ("sentences", (1000, "scaled_linear", "v", True)),
        ("clip", (1000, "scaled_linear", "epsilon", False)),
        ("sentences", (100, "cosine", "sample", False)),
    ],
)
def test_the_loss_falls_and_everything_is_written(
    world: World, tmp_path: Path, kind: str, process: tuple[Any, ...]
) -> None:
    trainer = world.trainer(tmp_path, kind, process=_process(*process))
    _run(trainer, 80, sample_every=40)

    curve = trainer.progress.curve
    assert curve[-1][2] < 0.8 * curve[0][2]
    assert (tmp_path / "loss.png").stat().st_size > 500
    assert len(list((tmp_path / "samples").iterdir())) == 2
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["recipe"]["drop"] == 0.1
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("kind", ["sentences", "clip"])
def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(
    world: World, tmp_path: Path, kind: str
) -> None:
    """Draws of latents, of captions and of their drop included."""
    options = {"batch": 5, "drop": 0.5, "captions": "captions"}
    whole = _run(world.trainer(tmp_path / "whole", kind, **options), 8)
    _run(world.trainer(tmp_path / "parts", kind, **options), 3)
    torch.manual_seed(99)
    parts = world.trainer(tmp_path / "parts", kind, **options)
    parts.resume()
    _run(parts, 8, sample_every=1, sample_steps=1)

    assert parts.progress.recent == whole.progress.recent
    for one, other in ((whole._model, parts._model), (whole._average, parts._average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    moments = whole._optimiser.state_dict()["state"]
    for key, values in parts._optimiser.state_dict()["state"].items():
        for name, value in values.items():
            assert torch.equal(value, moments[key][name]), name


def test_the_loss_is_what_the_formula_says(world: World, tmp_path: Path) -> None:
    trainer = world.trainer(tmp_path, drop=0.0)
    _run(trainer, 3)
    trainer._model.eval()
    state = trainer._rng.bit_generator.state
    measured = float(trainer._loss().detach())
    trainer._rng.bit_generator.state = state
    z_0, text = trainer._batch()
    t = trainer._rng.integers(0, 1000, len(z_0))
    eps = torch.from_numpy(trainer._rng.standard_normal(z_0.shape, np.float32))
    ab = trainer._diffusion.alphas_cumprod[t].astype(np.float32)[:, None, None, None]
    signal, noise = torch.from_numpy(ab**0.5), torch.from_numpy((1 - ab) ** 0.5)
    with torch.no_grad():
        answer = trainer._model(signal * z_0 + noise * eps, torch.from_numpy(t), text)
        expected = ((answer - (signal * eps - noise * z_0)) ** 2).mean()

    assert measured == pytest.approx(float(expected), rel=1e-4)


def test_latents_are_scaled_and_captions_dropped_as_often_as_was_said(
    world: World, tmp_path: Path
) -> None:
    trainer = world.trainer(tmp_path, drop=0.25, batch=64)
    heard: list[str] = []

    def listening(texts: Any) -> Any:
        heard.extend(texts)
        return torch.zeros(len(texts), 7, 512)

    trainer.frozen = type(trainer.frozen)(world.vae, listening)
    z, _ = trainer._batch()
    q = world.data.q(trainer._places())
    assert float((z / SCALE - q.mean).abs().max()) < 6 * float(q.std.max())
    for _ in range(15):
        trainer._batch()

    share = heard.count("") / len(heard)
    assert len(heard) == 1024
    assert 0.2 < share < 0.3
    assert any("диск" in text for text in heard)
    assert any("disc" in text for text in heard)


def test_epsilon_with_a_zero_terminal_snr_is_refused_with_the_way_out(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"epsilon cannot .*--prediction v_prediction"):
        world.trainer(tmp_path, process=_process(prediction="epsilon", zero_snr=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"drop": 1.0}, "drop: must be"), ({"decay": -1.0}, "decay: must be")],
)
def test_a_recipe_out_of_range_is_refused_by_name(
    world: World, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        world.trainer(tmp_path, **changes)


def test_other_data_and_other_recipes_are_not_resumed(
    world: World, tmp_path: Path
) -> None:
    from dataclasses import replace

    from salon.imaging.training.resumable import CannotResume

    _run(world.trainer(tmp_path), 1)
    with pytest.raises(CannotResume, match="another drop"):
        world.trainer(tmp_path, drop=0.2).resume()
    other = world.trainer(tmp_path)
    other._digest = replace(world.data, digest="other").digest
    with pytest.raises(CannotResume, match="other pictures"):
        other.resume()


# --- the folder -------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sentences", "clip"])
def model(world: World, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("model")
    _run(world.trainer(out, request.param), 20)
    return Path(out / "model")


def test_stock_diffusers_loads_the_folder_and_draws_the_same(model: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    from salon.imaging.latent import folder as model_folder
    from salon.imaging.latent.folder import Wish

    ours = model_folder.load(model)
    words = (model / "text_encoder").is_dir()
    nothing = {} if words else {"text_encoder": None, "tokenizer": None}
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(model, **nothing)
    pipe.set_progress_bar_config(disable=True)
    noise = np.random.default_rng((7, 0)).standard_normal((1, 4, 8, 8), np.float32)
    prompt = (
        {"prompt": "a red disc"}
        if words
        else {
            "prompt_embeds": ours.texts(["a red disc"]),
            "negative_prompt_embeds": ours.texts([""]),
        }
    )
    expected = pipe(
        **prompt,
        num_inference_steps=4,
        guidance_scale=3.0,
        latents=torch.from_numpy(noise),
        output_type="np",
        height=SIDE,
        width=SIDE,
    ).images[0]
    drawn = ours.draw([Wish("a red disc", (7, 0))], "ddim", 4, 3.0)[0]

    assert drawn.shape == (SIDE, SIDE, 3)
    assert np.abs(drawn / 255.0 - expected).max() < 1.01 / 255.0


def test_the_diffusers_backend_of_salon_imagine_draws_with_it(model: Path) -> None:
    pytest.importorskip("diffusers", reason="needs diffusers")
    from salon.imaging.backends.choose import Choice, load
    from salon.imaging.request import PictureRequest

    picture = load(Choice(model)).imagine(
        PictureRequest("a red disc", 1, steps=2, width=SIDE, height=SIDE)
    )

    assert picture.image.size == (SIDE, SIDE)


def test_a_picture_depends_on_its_own_seed_and_words_only(model: Path) -> None:
    from salon.imaging.latent import folder as model_folder
    from salon.imaging.latent.folder import Wish

    ours = model_folder.load(model)
    steps: list[int] = []
    wishes = [Wish("a red disc", (1, 0)), Wish("a blue disc", (1, 1), "red")]
    together = ours.draw(wishes, "dpm++", 3, told=lambda: steps.append(1))
    alone = ours.draw(wishes[1:], "dpm++", 3)
    unguided = [
        ours.draw([Wish("a blue disc", (1, 1), negative)], "dpm++", 3, 1.0)
        for negative in ("", "red")
    ]

    assert len(steps) == 3
    difference = together[1].astype(int) - alone[0].astype(int)
    assert np.abs(difference).max() <= 1  # batches round differently
    assert np.array_equal(*unguided)
    with pytest.raises(ValueError, match="one of ddpm"):
        ours.draw(wishes, "heun", 3)
    with pytest.raises(ValueError, match="between 1 and 1000"):
        ours.draw(wishes, "ddim", 1001)
    with pytest.raises(ValueError, match=r"SNR|snr|zero"):
        ours.draw(wishes, "pndm", 3)


def test_guidance_is_the_formula_around_the_network(model: Path) -> None:
    from salon.imaging.latent import folder as model_folder
    from salon.imaging.latent.folder import Wish

    ours = model_folder.load(model)
    wishes = [Wish("a red disc", (0,), "blue")]
    z = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        answers = [
            ours.unet(z, torch.tensor([500]), ours.texts([text]))
            for text in ("blue", "a red disc")
        ]
        found = ours._predict(wishes, 5.0)(z, 500)

    expected = answers[0] + 5.0 * (answers[1] - answers[0])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_stable_diffusion_that_others_made_is_drawn_with(tmp_path: Path) -> None:
    """Files that say as little as those of version 1.5; CLIP, PNDM, epsilon."""
    pytest.importorskip("diffusers", reason="needs diffusers")
    from salon.imaging.latent import folder as model_folder
    from salon.imaging.latent.folder import Wish
    from salon.imaging.models.disk import ModelUnreadable
    from tests.imaging.backends import tiny
    from tests.imaging.latent import clip

    tiny.stable_diffusion(tmp_path)
    clip.folder(tmp_path)
    _edit(tmp_path / "vae/config.json", shift_factor=None)
    file = tmp_path / "scheduler" / "scheduler_config.json"
    said = json.loads(file.read_text())
    names = ("_class_name", "beta_schedule", "beta_start", "beta_end", "steps_offset")
    file.write_text(json.dumps({name: said[name] for name in names}))
    ours = model_folder.load(tmp_path)

    assert ours.schedule.sampler == "pndm"
    assert ours.schedule.diffusion.prediction == "epsilon"
    assert ours.draw([Wish("a", (1,))], "pndm", 2).shape == (1, 32, 32, 3)
    file.write_text(
        json.dumps(said | {"_class_name": "FlowMatchEulerDiscreteScheduler"})
    )
    with pytest.raises(ModelUnreadable, match="not one of Salon's schedules"):
        model_folder.load(tmp_path)


def test_damaged_and_foreign_folders_are_refused_in_words(
    model: Path, tmp_path: Path
) -> None:
    import shutil

    from salon.imaging.latent import folder as model_folder
    from salon.imaging.models.disk import ModelUnreadable

    assert model_folder.is_one(model)
    assert not model_folder.is_one(tmp_path)
    for name, change, words in (
        ("no-vae", lambda p: shutil.rmtree(p / "vae"), "no autoencoder"),
        ("no-unet", lambda p: shutil.rmtree(p / "unet"), "is missing"),
        (
            "schedule",
            lambda p: _edit(p / "scheduler/scheduler_config.json", beta_schedule="x"),
            "cannot be used",
        ),
        (
            "cross",
            lambda p: _edit(p / "unet/config.json", cross_attention_dim=24),
            "cannot be used",
        ),
        ("texts", _no_texts, "is missing"),
    ):
        copy = tmp_path / name
        shutil.copytree(model, copy)
        change(copy)
        with pytest.raises(ModelUnreadable, match=words):
            model_folder.load(copy)


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _no_texts(folder: Path) -> None:
    for name in ("text.npz", "text_encoder/model.safetensors"):
        (folder / name).unlink(missing_ok=True)
