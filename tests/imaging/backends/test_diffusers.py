"""Stable Diffusions of every kind through the port, without a network.

The models are tiny and random (``tiny.py``): what is checked is what holds for any.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from salon.imaging import png
from salon.imaging.backends.choose import Choice, LoraFile, load
from salon.imaging.card import ModelUnusable
from salon.imaging.ports import Cancelled, ImageModel, Lora, Step
from salon.imaging.request import InvalidRequest, PictureRequest
from salon.imaging.samplers.names import NAMES
from tests.imaging.backends import needs

pytestmark = needs.MARKS

needs.diffusers("peft")

if TYPE_CHECKING:
    from tests.imaging.backends import tiny
else:
    import importlib

    tiny = importlib.import_module("tests.imaging.backends.tiny")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def folder(models) -> Path:
    return tiny.stable_diffusion(models / "tiny-sd")


@pytest.fixture(scope="module")
def model(folder) -> ImageModel:
    return load(Choice(folder))


@pytest.fixture(scope="module")
def transparent(models) -> ImageModel:
    return load(Choice(tiny.sticker(models / "tiny-sticker")))


def _array(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def _request(**more) -> PictureRequest:
    fields = {"prompt": "a red fox", "seed": 1, "steps": 4, "guidance": 5.0}
    return PictureRequest(**(fields | more))


INIT = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8))


def test_words_become_a_picture_with_all_it_was_made_of(model, no_network) -> None:
    picture = model.imagine(_request(negative="a cat"))
    assert picture.image.mode == "RGB"
    assert picture.image.size == (32, 32)
    assert picture.request.sampler == "pndm"
    maker = picture.maker
    assert (maker.model, maker.backend, maker.device) == (
        "tiny-sd",
        "diffusers",
        "cpu",
    )
    assert len(maker.version) == 12


def test_what_nobody_chose_is_the_models_own_and_said(model) -> None:
    picture = model.imagine(PictureRequest("a red fox", 1))
    chosen = model.imagine(PictureRequest("a red fox", 1, 25, 7.5, sampler="pndm"))

    assert picture.request.settled == (25, 7.5)
    assert picture.request == chosen.request
    assert np.array_equal(_array(picture.image), _array(chosen.image))
    assert png.facts_of(picture)["steps"] == 25


def test_a_consistency_model_takes_four_steps(models) -> None:
    from diffusers import LCMScheduler

    owns = []
    for width in (None, 32):
        folder = models / f"tiny-lcm-{width}"
        tiny.stable_diffusion(folder, time_cond_proj_dim=width)
        LCMScheduler(**tiny.SD).save_pretrained(folder / "scheduler")
        index = json.loads((folder / "model_index.json").read_text())
        index["scheduler"] = ["diffusers", "LCMScheduler"]
        (folder / "model_index.json").write_text(json.dumps(index))
        owns.append(load(Choice(folder)).defaults)

    assert [(own.steps, own.guidance) for own in owns] == [(4, 1.0), (4, 8.5)]


def test_the_same_folder_loaded_again_draws_the_same(folder, model) -> None:
    again = load(Choice(folder))
    first, second = model.imagine(_request()), again.imagine(_request())
    assert first.maker == second.maker
    assert np.array_equal(_array(first.image), _array(second.image))


@pytest.mark.parametrize("change", ["seed", "prompt", "negative", "guidance"])
def test_every_field_matters(model, change) -> None:
    other = {"seed": 2, "prompt": "blue", "negative": "cat", "guidance": 9.0}
    plain = model.imagine(_request()).image
    changed = model.imagine(_request(**{change: other[change]})).image
    assert not np.array_equal(_array(plain), _array(changed))


@pytest.mark.parametrize("sampler", NAMES)
def test_every_sampler_draws_all_three_uses(model, sampler) -> None:
    mask = Image.new("L", INIT.size, 0)
    mask.paste(255, (20, 0, 40, 40))
    text = model.imagine(_request(sampler=sampler))
    image = model.imagine(_request(sampler=sampler, init=INIT, strength=0.5))
    painted = model.imagine(_request(sampler=sampler, init=INIT, mask=mask))
    assert text.request.sampler == sampler
    assert not np.array_equal(_array(text.image), _array(image.image))
    kept = _array(mask) == 0
    assert np.array_equal(_array(painted.image)[kept], _array(INIT)[kept])
    assert not np.array_equal(_array(painted.image)[~kept], _array(INIT)[~kept])


# Of the others diffusers' grids differ with the "leading" spacing of this folder:
# tests/imaging/samplers compares the steps themselves.
@pytest.mark.parametrize(
    ("scheduler", "sampler", "strength"),
    [
        ("DDIMScheduler", "ddim", 1.0),
        ("DDIMScheduler", "ddim", 0.5),
        ("EulerDiscreteScheduler", "euler", 1.0),
        ("EulerDiscreteScheduler", "euler", 0.5),
        ("PNDMScheduler", "pndm", 1.0),
    ],
)
def test_our_loop_draws_what_the_stock_pipeline_draws(
    folder, model, scheduler, sampler, strength
) -> None:
    import diffusers
    import torch

    from salon.imaging.pipelines.noise import Chance

    kind = (
        diffusers.StableDiffusionPipeline
        if strength == 1.0
        else diffusers.StableDiffusionImg2ImgPipeline
    )
    pipe = kind.from_pretrained(folder, safety_checker=None)
    config = {**pipe.scheduler.config, "set_alpha_to_one": True, "clip_sample": False}
    pipe.scheduler = getattr(diffusers, scheduler).from_config(config)
    init = Image.fromarray(_array(INIT)[:32, :32])
    request = _request(steps=6, sampler=sampler, init=None if strength == 1.0 else init)
    request = PictureRequest(**{**vars(request), "strength": strength})
    more = {}
    noise = torch.from_numpy(Chance(request).start((4, 16, 16)))[None]
    if strength == 1.0:
        more = {"latents": noise, "width": 32, "height": 32}
    else:
        more = {"image": init, "strength": strength}
        vae = pipe.vae
        with torch.inference_mode():
            pixels = torch.from_numpy(_array(init).astype(np.float32) / 127.5 - 1)
            mode = vae.encode(pixels.permute(2, 0, 1)[None]).latent_dist.mode()
        latents = mode * vae.config.scaling_factor

        def prepare(_image, timestep, *_args, **_more):
            return pipe.scheduler.add_noise(latents, noise, timestep)

        pipe.prepare_latents = prepare
    theirs = pipe(
        "a red fox", num_inference_steps=6, guidance_scale=5.0, **more
    ).images[0]
    ours = model.imagine(request).image
    gap = np.abs(_array(theirs).astype(int) - _array(ours).astype(int))
    assert gap.max() <= 2


@pytest.mark.parametrize(("strength", "steps"), [(0.2, 2), (0.8, 8), (1.0, 10)])
def test_strength_is_the_share_of_the_steps(model, strength, steps) -> None:
    told: list[Step] = []
    request = _request(steps=10, sampler="ddim", init=INIT, strength=strength)
    model.imagine(request, lambda step: told.append(step) or True)
    assert [step.step for step in told] == list(range(1, steps + 1))
    assert {step.steps for step in told} == {steps}
    assert all(step.preview.size == (32, 32) for step in told)


def test_strength_1_is_text_to_image(model) -> None:
    plain = model.imagine(_request())
    given = model.imagine(_request(init=INIT, strength=1.0, width=32, height=32))
    assert np.array_equal(_array(plain.image), _array(given.image))


@pytest.mark.parametrize("size", [(40, 40), (64, 32), (51, 77)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_inpainting_keeps_every_bit_in_any_size(model, size, mode) -> None:
    rng = np.random.default_rng(1)
    colours = Image.fromarray(rng.integers(0, 256, (*size[::-1], 4), np.uint8))
    init = colours.convert(mode)
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    result = model.imagine(_request(init=init, mask=mask)).image
    kept = _array(mask) == 0
    same = init if mode != "L" else init.convert("RGBA")
    assert result.size == size
    assert np.array_equal(_array(result)[kept], _array(same)[kept])


def test_false_stops_within_one_step(model) -> None:
    told = []

    def stop(step: Step) -> bool:
        told.append(step.step)
        return step.step < 2

    with pytest.raises(Cancelled, match="step 2 of 4"):
        model.imagine(_request(sampler="ddim"), stop)
    assert told == [1, 2]


def test_a_variation_of_nothing_is_the_picture_and_of_all_the_other(model) -> None:
    def drawn(**more) -> np.ndarray:
        return _array(model.imagine(_request(sampler="ddim", **more)).image)

    own, other = drawn(seed=1), drawn(seed=2)
    assert np.array_equal(drawn(seed=1, variation=0.0, variation_seed=2), own)
    assert np.abs(drawn(variation=1.0, variation_seed=2).astype(int) - other).max() < 3
    assert not np.array_equal(drawn(variation=0.3, variation_seed=2), own)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_batch_draws_what_each_seed_draws_alone(model, sampler) -> None:
    requests = [_request(seed=seed, sampler=sampler) for seed in (1, 2, 3)]
    together = model.imagine_all(requests)
    for request, picture in zip(requests, together, strict=True):
        alone = _array(model.imagine(request).image).astype(int)
        assert np.abs(_array(picture.image) - alone).max() <= 2
        assert picture.request.seed == request.seed


def test_what_clip_does_not_read_is_told(model) -> None:
    """Here a letter is a token: 75 of them beside the two that frame a prompt."""
    picture = model.imagine(_request(prompt="x" * 75 + " fox", negative="y" * 80))
    first, second = picture.notes
    assert (first.code, second.code) == ("prompt_cut", "negative_cut")
    assert first.message.startswith("prompt: cut at 77 tokens; not read: “")
    assert first.message.replace(" ", "").endswith("“fox”")
    assert first.params["room"] == 77
    assert str(first.params["lost"]).replace(" ", "") == "fox"
    assert second.message.startswith("negative: cut at 77")
    assert model.imagine(_request(prompt="x" * 75)).notes == ()


def test_another_size_than_the_native_one(model) -> None:
    image = model.imagine(_request(width=48, height=32)).image
    assert image.size == (48, 32)


def test_lora_is_loaded_scaled_and_combined(folder, model, models) -> None:
    plain = _array(model.imagine(_request()).image).astype(int)
    one, two = (tiny.lora(models / "lora", folder, f"lora-{s}", s) for s in (1, 2))

    def drawn(*loras: LoraFile) -> tuple[np.ndarray, tuple[Lora, ...]]:
        picture = load(Choice(folder, loras)).imagine(_request())
        return _array(picture.image).astype(int), picture.maker.loras

    none, _ = drawn(LoraFile(one, 0.0))
    half, said = drawn(LoraFile(one, 0.5))
    whole, _ = drawn(LoraFile(one, 1.0))
    both, said_both = drawn(LoraFile(one, 1.0), LoraFile(two, 1.0))
    assert np.abs(none - plain).max() <= 1
    assert 0 < np.abs(half - plain).mean() < np.abs(whole - plain).mean()
    assert not np.array_equal(both, whole)
    assert said == (Lora("lora-1", 0.5),)
    assert said_both == (Lora("lora-1", 1.0), Lora("lora-2", 1.0))


def test_a_file_that_is_no_lora_is_refused(folder, models) -> None:
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(ModelUnusable, match=r"is no LoRA|changes nothing"):
        load(Choice(folder, [LoraFile(weights)]))


def test_stable_diffusion_xl(models, no_network) -> None:
    model = load(Choice(tiny.xl(models / "tiny-xl")))
    mask = Image.new("L", INIT.size, 255)
    mask.paste(0, (0, 0, 20, 40))
    assert (model.defaults.steps, model.defaults.guidance) == (30, 5.0)
    text = model.imagine(_request(negative="cat")).image
    other = model.imagine(_request(prompt="blue")).image
    painted = model.imagine(_request(init=INIT, mask=mask)).image
    assert not np.array_equal(_array(text), _array(other))
    kept = _array(mask) == 0
    assert np.array_equal(_array(painted)[kept], _array(INIT)[kept])


def test_an_inpainting_unet_sees_mask_and_picture(models) -> None:
    folder = tiny.stable_diffusion(models / "tiny-inpaint", in_channels=9)
    model = load(Choice(folder))
    mask = Image.new("L", INIT.size, 0)
    mask.paste(255, (20, 0, 40, 40))
    text = model.imagine(_request()).image
    painted = model.imagine(_request(init=INIT, mask=mask, strength=1.0)).image
    assert text.size == (32, 32)
    assert painted.size == INIT.size


def test_a_unet_with_distilled_guidance_is_asked_once(models) -> None:
    folder = tiny.stable_diffusion(models / "tiny-lcm", time_cond_proj_dim=32)
    model = load(Choice(folder))
    weak, strong = (model.imagine(_request(guidance=g)).image for g in (1.5, 8.0))
    assert not np.array_equal(_array(weak), _array(strong))


def test_a_zero_terminal_snr_is_offered_what_can_start_there(models) -> None:
    model = load(Choice(tiny.zero_snr(models / "tiny-zero")))
    assert set(NAMES) - set(model.samplers) == {"pndm"}
    with pytest.raises(InvalidRequest, match="sampler: pndm cannot start"):
        model.imagine(_request(sampler="pndm"))
    for sampler in model.samplers:
        assert np.ptp(_array(model.imagine(_request(sampler=sampler)).image)) > 0


@pytest.mark.parametrize("sampler", ["ddim", "dpm++", "unipc", "euler", "lcm", "ddpm"])
def test_a_transparent_model_without_text_encoder(transparent, sampler) -> None:
    first = transparent.imagine(_request(prompt="red heart", sampler=sampler)).image
    again = transparent.imagine(_request(prompt="red heart", sampler=sampler)).image
    other = transparent.imagine(_request(prompt="blue car", sampler=sampler)).image
    assert first.mode == "RGBA"
    assert first.size == (32, 32)
    assert np.array_equal(_array(first), _array(again))
    assert not np.array_equal(_array(first), _array(other))


def test_words_that_are_not_read_one_by_one_are_told(transparent) -> None:
    many = "red orange yellow green blue purple black white"
    (note,) = transparent.imagine(_request(prompt=many)).notes

    assert note.code == "prompt_words"
    assert note.params["words"] in note.message
    assert len(str(note.params["words"]).split()) == 6


def test_previews_and_inpainting_of_a_transparent_model(transparent) -> None:
    told: list[Step] = []
    init = INIT.convert("RGBA")
    mask = Image.new("L", INIT.size, 0)
    mask.paste(255, (20, 0, 40, 40))
    request = _request(init=init, mask=mask)
    image = transparent.imagine(request, lambda step: told.append(step) or True).image
    kept = _array(mask) == 0
    assert np.array_equal(_array(image)[kept], _array(init)[kept])
    assert {step.preview.mode for step in told} == {"RGBA"}


def test_a_transformer_with_flow_matching_runs_in_its_own_pipeline(
    models, no_network
) -> None:
    model = load(Choice(tiny.sd3(models / "tiny-sd3")))
    told: list[Step] = []
    assert (model.defaults.steps, model.defaults.guidance) == (28, 7.0)
    picture = model.imagine(_request(), lambda step: told.append(step) or True)
    again = model.imagine(_request())
    assert picture.image.size == (32, 32)
    assert [step.step for step in told] == [1, 2, 3, 4]
    assert np.array_equal(_array(picture.image), _array(again.image))
    mask = Image.new("L", INIT.size, 0)
    mask.paste(255, (20, 0, 40, 40))
    painted = model.imagine(_request(init=INIT, mask=mask)).image
    kept = _array(mask) == 0
    assert np.array_equal(_array(painted)[kept], _array(INIT)[kept])
    with pytest.raises(Cancelled):
        model.imagine(_request(), lambda step: step.step < 2)
    with pytest.raises(InvalidRequest, match="sampler: a StableDiffusion3Pipeline"):
        model.imagine(_request(sampler="ddim"))


def test_a_model_that_draws_without_words_is_refused(models) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    folder = models / "tiny-ddpm"
    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(folder)
    with pytest.raises(ModelUnusable, match="does not draw from words"):
        load(Choice(folder))


def test_a_damaged_folder_is_refused_in_words(models) -> None:
    folder = tiny.stable_diffusion(models / "tiny-damaged")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 99)
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        load(Choice(folder))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"device": "warp"}, "device: 'warp' cannot be used"),
        ({"dtype": "int3"}, "dtype: 'int3' is unknown; one of float32"),
    ],
)
def test_a_device_or_type_that_is_not_there_is_refused(folder, choice, words) -> None:
    with pytest.raises(ModelUnusable, match=words):
        load(Choice(folder, **choice))


def test_half_precision_draws_too(folder) -> None:
    picture = load(Choice(folder, dtype="bfloat16")).imagine(_request())
    assert picture.maker.dtype == "bfloat16"
    assert np.ptp(_array(picture.image)) > 0


def test_code_in_a_model_folder_is_never_run(models) -> None:
    folder = tiny.stable_diffusion(models / "tiny-code")
    (folder / "unet" / "evil.py").write_text("raise SystemExit('code was run')")
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["evil", "Evil"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        load(Choice(folder))
