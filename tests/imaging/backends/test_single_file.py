"""One ``.safetensors`` file draws what the folder with the same weights draws.

No file here is real: they are tiny, random, and in the original names (``ldm.py``).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from salon.imaging.backends import choose
from salon.imaging.backends.choose import Choice, LoraFile, load
from salon.imaging.card import ModelUnusable
from salon.imaging.ports import Lora
from salon.imaging.request import PictureRequest
from tests.imaging.backends import needs

pytestmark = needs.MARKS

needs.diffusers("peft")

if TYPE_CHECKING:
    from tests.imaging.backends import ldm, tiny
else:
    import importlib

    ldm = importlib.import_module("tests.imaging.backends.ldm")
    tiny = importlib.import_module("tests.imaging.backends.tiny")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("single")


@pytest.fixture(scope="module")
def version_1(place) -> Any:
    return ldm.version_1(place / "1")


INIT = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8))
MASK = Image.new("L", INIT.size, 0)
MASK.paste(255, (20, 0, 40, 40))
USES: dict[str, dict[str, Any]] = {
    "text": {},
    "nothing unwanted": {"negative": ""},
    "image": {"init": INIT, "strength": 0.5},
    "inpainting": {"init": INIT, "mask": MASK},
}


def _drawn(model, **more) -> np.ndarray:
    fields = {
        "prompt": "a red fox, isn't it",
        "negative": "cat",
        "seed": 1,
        "steps": 3,
        "guidance": 5.0,
        "width": 32,
        "height": 32,
    }
    return np.asarray(model.imagine(PictureRequest(**(fields | more))).image)


def _same(twins, **only) -> None:
    """All but rounding: where weights lie in memory decides how sums are ordered."""
    one, other = load(Choice(twins.file)), load(Choice(twins.folder))
    for use in [only] if only else USES.values():
        gap = np.abs(_drawn(one, **use).astype(int) - _drawn(other, **use))
        assert gap.max() <= 1
    assert not np.array_equal(_drawn(one), _drawn(one, prompt="blue"))


@pytest.mark.parametrize("channels", [4, 9], ids=["base", "inpainting"])
@pytest.mark.parametrize("kind", ["version_1", "version_2", "xl"])
def test_a_file_draws_what_its_folder_draws(place, no_network, kind, channels) -> None:
    twins = getattr(ldm, kind)(place / f"{kind}-{channels}", in_channels=channels)

    _same(twins)


def test_what_real_files_carry_beside_changes_nothing(version_1, place) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    text = "cond_stage_model.transformer.text_model."
    beside = {
        f"{text}embeddings.position_ids": torch.arange(77)[None],
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.diffusion_modeloutbias": torch.zeros(4),
        "alphas_cumprod": torch.ones(1000),
        "cond_stage_model.logit_scale": torch.tensor(4.6),
    }
    file = place / "beside.safetensors"
    save_file(load_file(version_1.file) | beside, file)

    _same(ldm.Twins(version_1.folder, file), prompt="a red fox")


def test_a_file_in_half_precision_is_read_in_any(version_1, place) -> None:
    from safetensors.torch import load_file, save_file

    file = place / "half.safetensors"
    save_file({k: v.half() for k, v in load_file(version_1.file).items()}, file)
    half, full = load(Choice(file)), load(Choice(version_1.file))

    assert half.maker.dtype == "float32"
    assert np.abs(_drawn(half).astype(int) - _drawn(full)).max() <= 3


@pytest.mark.parametrize("kind", ["from a folder", "of sgm"])
def test_version_2_as_other_programs_write_it(place, kind) -> None:
    """Without the unused layer and the projection; or under XL's names."""
    from safetensors.torch import load_file, save_file

    twins = ldm.version_2(place / f"2 {kind}")
    file = place / f"{kind}.safetensors"
    own = "cond_stage_model.model."
    if kind == "of sgm":
        tensors = load_file(twins.file)
        prefix = "conditioner.embedders.0.model."
        save_file({k.replace(own, prefix): v for k, v in tensors.items()}, file)
    else:
        unused = (f"{own}text_projection", f"{own}transformer.resblocks.2.")
        _without(twins.file, file, *unused)

    _same(ldm.Twins(twins.folder, file), prompt="a red fox")


def test_each_family_has_its_own_size_and_sampler(version_1, place) -> None:
    """The tiny autoencoder shrinks twice and not eight times: 64 latents are 128."""
    first = load(Choice(version_1.file)).defaults
    second = load(Choice(ldm.version_2(place / "size-2").file)).defaults
    large = load(Choice(ldm.xl(place / "size-xl").file)).defaults

    assert (first.width, first.sampler) == (128, "pndm")
    assert (second.width, second.sampler) == (128, "ddim")
    assert (large.width, large.sampler) == (256, "euler")


@pytest.mark.parametrize("said", ["v", "epsilon"])
def test_version_2_is_what_its_metadata_say(place, said) -> None:
    prediction = {"v": "v_prediction", "epsilon": "epsilon"}[said]
    twins = ldm.version_2(
        place / f"said-{said}",
        prediction=prediction,
        metadata={"modelspec.prediction_type": said},
    )

    _same(twins, prompt="a red fox")
    assert load(Choice(twins.file)).defaults.width == {"v": 192, "epsilon": 128}[said]


@pytest.mark.parametrize(("deviation", "v"), [(0.2, True), (0.05, False)])
def test_version_2_is_told_by_a_bias_where_nothing_is_said(deviation, v, place) -> None:
    import torch
    from safetensors.torch import save_file

    from salon.imaging.backends import single_file

    name = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    file = place / f"told-{deviation}.safetensors"
    bias = torch.tensor([-deviation, deviation] * 8).to(torch.bfloat16)
    save_file({name: bias}, file)
    unet = type("U", (), {"in_channels": 4, "out_channels": 4})
    layout: Any = type("L", (), {"family": "2", "v_prediction": False, "unet": unet})

    assert single_file._is_v(file, single_file.Contents.of(file), layout) is v


@pytest.mark.parametrize("marks", [("v_pred",), ("v_pred", "ztsnr")])
def test_xl_is_what_its_marks_say(place, marks) -> None:
    _same(ldm.xl(place / "-".join(marks), marks=marks), prompt="a red fox")


def test_lora_works_on_a_file_as_on_a_folder(version_1, place) -> None:
    weights = tiny.lora(place / "lora", version_1.folder, "ink", 1)
    loras = [LoraFile(weights, 0.5)]
    one, other = (load(Choice(p, loras)) for p in (version_1.file, version_1.folder))

    assert one.maker.loras == (Lora("ink", 0.5),)
    assert np.array_equal(_drawn(one), _drawn(other))
    assert not np.array_equal(_drawn(one), _drawn(load(Choice(version_1.file))))


def test_half_precision_draws_too(version_1) -> None:
    model = load(Choice(version_1.file, dtype="bfloat16"))

    assert model.maker.dtype == "bfloat16"
    assert np.ptp(_drawn(model)) > 0


def test_a_folder_of_the_files_name_is_used_instead(version_1, place) -> None:
    file = place / "own" / "own.safetensors"
    file.parent.mkdir()
    file.symlink_to(version_1.file)
    assert load(Choice(file)).defaults.sampler == "pndm"
    folder = file.with_suffix("")
    folder.symlink_to(version_1.folder)
    same = load(Choice(file))
    assert np.array_equal(_drawn(same), _drawn(load(Choice(version_1.folder))))
    folder.unlink()
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Nothing"}))
    with pytest.raises(ModelUnusable, match="names the class 'Nothing'"):
        load(Choice(file))


def test_nothing_is_left_behind(version_1, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    load(Choice(version_1.file))

    assert list(tmp_path.iterdir()) == []


def _without(file: Path, target: Path, *names: str) -> Path:
    from safetensors.torch import load_file, save_file

    kept = {k: v for k, v in load_file(file).items() if not k.startswith(names)}
    save_file(kept, target)
    return target


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.diffusion_model.out.0.weight", "lacks weights. It is damaged"),
        (
            "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc2.bias",
            r"lacks weights of its text_encoder, such as .*1\.mlp\.fc2\.bias",
        ),
    ],
)
def test_a_file_with_holes_is_refused(version_1, place, name, words) -> None:
    file = _without(version_1.file, place / "holes.safetensors", name)

    with pytest.raises(ModelUnusable, match=words):
        load(Choice(file))


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("first_stage_model.", "has no autoencoder"),
        ("cond_stage_model.", "no text encoder that Salon knows"),
        ("model.diffusion_model.", "is no Stable Diffusion 1, 2 or XL"),
        ("model.diffusion_model.output_blocks.3.1.", "does not mirror"),
        ("model.diffusion_model.input_blocks.1.1.", "differ within a block"),
        ("model.diffusion_model.middle_block.1.", "no attention in the middle"),
    ],
)
def test_a_file_without_a_part_is_refused_before_it_is_loaded(
    version_1, place, missing, words
) -> None:
    file = _without(version_1.file, place / "part.safetensors", missing)

    with pytest.raises(ModelUnusable, match=rf"part.safetensors cannot be .*{words}"):
        choose.check(Choice(file))


def test_a_torn_file_is_refused(version_1, place) -> None:
    file = place / "torn.safetensors"
    file.write_bytes(version_1.file.read_bytes()[:5000])

    with pytest.raises(ModelUnusable, match="no complete safetensors file"):
        choose.check(Choice(file))


def test_a_pickle_is_refused_by_name(place) -> None:
    file = place / "model.ckpt"
    file.write_bytes(b"\x80\x04.")

    with pytest.raises(ModelUnusable, match=r"model\.ckpt is a pickle"):
        choose.check(Choice(file))
