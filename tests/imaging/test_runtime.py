"""The model that comes with Salon, as it is shipped."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salon.imaging.data.recolour import hue_chroma
from salon.imaging.runtime import (
    MODEL_FOLDER,
    Cancelled,
    EmbeddedModel,
    InvalidRequest,
    ModelUnusable,
    PictureRequest,
    Step,
)


@pytest.fixture(scope="module")
def model() -> EmbeddedModel:
    return EmbeddedModel.load()


def _array(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def _solid(image: Image.Image) -> np.ndarray:
    """Colours of the pixels that are not transparent, (n, 3)."""
    pixels = _array(image)
    return pixels[pixels[..., 3] > 200][:, :3]


def test_a_picture_is_128_pixels_with_transparency(model: EmbeddedModel) -> None:
    image = model.draw(PictureRequest("red heart", seed=7))
    assert image.mode == "RGBA"
    assert image.size == (128, 128)


def test_the_same_seed_draws_the_same_pixels(model: EmbeddedModel) -> None:
    request = PictureRequest("robot", seed=3)
    first, second = model.draw(request), model.draw(request)
    assert np.array_equal(_array(first), _array(second))


def test_a_new_load_draws_the_same_pixels(model: EmbeddedModel) -> None:
    request = PictureRequest("robot", seed=3)
    again = EmbeddedModel.load().draw(request)
    assert np.array_equal(_array(model.draw(request)), _array(again))


def test_another_seed_draws_another_picture(model: EmbeddedModel) -> None:
    a, b = (model.draw(PictureRequest("robot", seed=s)) for s in (1, 2))
    assert not np.array_equal(_array(a), _array(b))


@pytest.mark.parametrize("prompt", ["red heart", "красное сердце", "红心"])
def test_a_red_heart_is_red_in_three_languages(
    model: EmbeddedModel, prompt: str
) -> None:
    red, green, blue = _solid(model.draw(PictureRequest(prompt, seed=7))).mean(0)
    assert red > 180
    assert green < 110
    assert blue < 110


@pytest.mark.parametrize(
    ("prompt", "hue"),
    [
        ("green heart", 145),
        ("blue car", 210),
        ("绿色的心", 145),
        ("синий кот", 210),
        ("蓝色的汽车", 210),
    ],
)
def test_the_asked_colour_prevails(model: EmbeddedModel, prompt: str, hue: int) -> None:
    hues, chroma = hue_chroma(
        _solid(model.draw(PictureRequest(prompt, seed=1))).astype(np.float32) / 255
    )
    vivid = hues[chroma > 0.25]
    near = np.abs((vivid - hue + 180) % 360 - 180) < 40
    assert near.mean() > 0.6


@pytest.mark.parametrize("prompt", ["red heart", "penguin", "pizza"])
def test_corners_are_transparent_and_the_middle_is_not(
    model: EmbeddedModel, prompt: str
) -> None:
    alpha = _array(model.draw(PictureRequest(prompt, seed=5)))[..., 3]
    corners = (alpha[:6, :6], alpha[:6, -6:], alpha[-6:, :6], alpha[-6:, -6:])
    assert max(float(corner.mean()) for corner in corners) < 40
    assert alpha[56:72, 56:72].mean() > 200


def test_each_step_is_told_with_a_preview(model: EmbeddedModel) -> None:
    told: list[Step] = []

    def on_step(step: Step) -> bool:
        told.append(step)
        return True

    image = model.draw(PictureRequest("rocket", seed=1, steps=5), on_step)
    assert [step.step for step in told] == [0, 1, 2, 3, 4, 5]
    assert {step.steps for step in told} == {5}
    previews = [step.preview for step in told]
    assert all(p is not None and p.size == (128, 128) for p in previews)
    assert previews[-1] is not None
    assert np.array_equal(_array(previews[-1]), _array(image))


def test_false_from_the_caller_cancels_at_once(model: EmbeddedModel) -> None:
    told: list[int] = []

    def on_step(step: Step) -> bool:
        told.append(step.step)
        return step.step < 2

    with pytest.raises(Cancelled, match="step 2 of 12"):
        model.draw(PictureRequest("rocket", seed=1), on_step)
    assert told == [0, 1, 2]


def test_a_negative_prompt_changes_the_picture(model: EmbeddedModel) -> None:
    plain = model.draw(PictureRequest("house", seed=1))
    other = model.draw(PictureRequest("house", seed=1, negative="red roof"))
    assert not np.array_equal(_array(plain), _array(other))


@pytest.mark.parametrize("steps", [1, 50])
def test_the_fewest_and_the_most_steps_work(model: EmbeddedModel, steps: int) -> None:
    image = model.draw(PictureRequest("red heart", seed=1, steps=steps))
    assert _solid(image).size > 0


@pytest.mark.parametrize(
    "prompt", ["🦊", "x" * 500, "??", "ｆｕｌｌ　ｗｉｄｔｈ", "\u200b"]
)
def test_odd_prompts_draw_something_all_the_same(
    model: EmbeddedModel, prompt: str
) -> None:
    assert model.draw(PictureRequest(prompt, seed=1, steps=2)).size == (128, 128)


def test_a_damaged_model_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    with (folder / "unet.onnx").open("r+b") as file:
        file.seek(100_000)
        file.write(b"\0\1\2\3")
    with pytest.raises(ModelUnusable, match=r"unet\.onnx is damaged"):
        EmbeddedModel.load(folder)


def test_drawing_does_not_import_torch() -> None:
    """In a process of its own: other tests of this one train."""
    code = (
        "import sys; from salon.imaging.runtime import EmbeddedModel\n"
        "from salon.imaging.request import PictureRequest\n"
        "EmbeddedModel.load().draw(PictureRequest('red heart', seed=1, steps=1))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def _half() -> Image.Image:
    """White, to be drawn anew, on the right."""
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (64, 0, 128, 128))
    return mask


def test_a_picture_can_be_drawn_from_another(model: EmbeddedModel) -> None:
    heart = model.draw(PictureRequest("red heart", seed=7))

    def blue(strength: float) -> np.ndarray:
        request = PictureRequest("blue heart", seed=5, init=heart, strength=strength)
        return _solid(model.draw(request)).mean(0)

    red_shares = [blue(s)[0] / blue(s).sum() for s in (0.2, 0.6, 1.0)]
    assert red_shares[0] > red_shares[1] > red_shares[2]


def test_strength_1_is_text_to_image(model: EmbeddedModel) -> None:
    init = Image.new("RGB", (64, 48), "green")
    plain = model.draw(PictureRequest("robot", seed=3))
    drawn = model.draw(PictureRequest("robot", seed=3, init=init, strength=1.0))
    assert np.array_equal(_array(plain), _array(drawn))


@pytest.mark.parametrize(("strength", "steps"), [(0.2, 2), (0.8, 8), (1.0, 10)])
def test_strength_is_the_share_of_steps_that_are_drawn(
    model: EmbeddedModel, strength: float, steps: int
) -> None:
    told: list[Step] = []
    init = Image.new("RGB", (64, 64), "green")
    request = PictureRequest("robot", 1, 10, init=init, strength=strength)
    model.draw(request, lambda step: told.append(step) or True)
    assert [step.step for step in told] == list(range(steps + 1))


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (61, 97)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_inpainting_keeps_every_bit_outside_of_the_mask(
    model: EmbeddedModel, size: tuple[int, int], mode: str
) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    init = Image.fromarray(values, mode)
    grey = np.zeros(size[::-1], np.uint8)
    grey[:, size[0] // 2 :] = 255
    request = PictureRequest(
        "red heart", 1, 4, init=init, mask=Image.fromarray(grey), strength=1.0
    )
    result = _array(model.draw(request))
    kept = grey == 0
    assert result.shape == values.shape
    assert np.array_equal(result[kept], values[kept])
    assert not np.array_equal(result[~kept], values[~kept])


def test_inpainting_draws_the_prompt_into_the_mask(model: EmbeddedModel) -> None:
    heart = model.draw(PictureRequest("red heart", seed=7))
    request = PictureRequest("blue heart", 5, init=heart, mask=_half(), strength=1.0)
    image = model.draw(request)
    left, right = (
        _solid(image.crop(box)).mean(0) for box in ((0, 0, 60, 128), (72, 0, 128, 128))
    )
    assert left[0] > 2 * left[2]
    assert right[2] > 2 * right[0]


@pytest.mark.parametrize("sampler", EmbeddedModel.samplers)
def test_every_sampler_draws_a_red_heart(model: EmbeddedModel, sampler: str) -> None:
    told: list[Step] = []
    request = PictureRequest("red heart", 7, 6, sampler=sampler)
    image = model.draw(request, lambda step: told.append(step) or True)
    red, green, blue = _solid(image).mean(0)
    assert red > 180
    assert max(green, blue) < 110
    assert told[-1].step == told[-1].steps == 6
    assert np.array_equal(_array(model.draw(request)), _array(image))


def test_a_variation_is_nearer_to_its_seed_the_smaller_it_is(
    model: EmbeddedModel,
) -> None:
    def canvas(**more) -> np.ndarray:
        return model.canvas(PictureRequest("robot", 1, **more))

    own = canvas()
    gaps = [
        float(np.abs(canvas(variation=v, variation_seed=9) - own).mean())
        for v in (0.0, 0.2, 0.6)
    ]
    assert gaps[0] == 0.0
    assert 0.0 < gaps[1] < gaps[2]


def test_a_picture_tells_how_it_was_made(model: EmbeddedModel) -> None:
    picture = model.imagine(PictureRequest("red heart", seed=7, steps=2))
    assert picture.maker == model.maker
    assert picture.request.sampler == "dpm++"
    assert (picture.request.width, picture.request.height) == (128, 128)
    assert picture.notes == ()


def test_a_prompt_that_is_read_as_another_is_told(model: EmbeddedModel) -> None:
    picture = model.imagine(PictureRequest("yellow submarine", seed=7, steps=1))
    known = model.read_as("yellow submarine")
    assert (picture.drawn_as, picture.notes) == (known, ())


def test_another_size_than_its_own_is_refused(model: EmbeddedModel) -> None:
    with pytest.raises(InvalidRequest, match="width: this model draws 128 x 128"):
        model.imagine(PictureRequest("x", 1, width=512, height=512))
