"""How a picture says how it was made."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from salon.imaging import png
from salon.imaging.ports import Lora, Maker, Picture
from salon.imaging.request import InvalidRequest, PictureRequest
from salon.imaging.samplers.names import NAMES

REQUEST = PictureRequest("красный\nкот, 红猫 \x07", 2**63, 20, 2.5, "grey: dog")


def _file(request: PictureRequest = REQUEST) -> bytes:
    buffer = io.BytesIO()
    png.save_png(Image.new("RGBA", (8, 8), "red"), buffer, request, "m", "7")
    return buffer.getvalue()


def test_the_request_comes_back_from_the_file() -> None:
    parameters = png.read_parameters(_file())
    assert png.request_of(parameters) == REQUEST
    assert parameters["model"] == "m"
    assert parameters["version"] == "7"


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert _file() == _file()


def test_other_programs_find_the_usual_text() -> None:
    with Image.open(io.BytesIO(_file())) as image:
        text = image.text["parameters"]  # type: ignore[attr-defined]
    assert text.startswith(REQUEST.prompt)
    assert "Negative prompt: grey: dog\n" in text
    assert f"Steps: 20, Sampler: DPM++ 2M, CFG scale: 2.5, Seed: {2**63}" in text


def test_a_path_can_be_written(tmp_path: Path) -> None:
    png.save_png(Image.new("RGBA", (8, 8)), tmp_path / "a.png", REQUEST)
    assert png.read_parameters((tmp_path / "a.png").read_bytes())["steps"] == 20


def _foreign() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def _with_chunk(text: str) -> bytes:
    from PIL import PngImagePlugin

    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_itxt("salon", text)
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        _file()[:40],
        _foreign(),
        _with_chunk("{"),
        _with_chunk("[1]"),
        _with_chunk("x" * 70_000),
    ],
    ids=["empty", "text", "cut", "foreign", "half", "list", "huge"],
)
def test_a_file_without_our_parameters_is_refused(data: bytes) -> None:
    with pytest.raises(png.NoParameters):
        png.read_parameters(data)


@pytest.mark.parametrize(
    "change", [{"seed": "x"}, {"steps": 0}, {"prompt": ""}, {"guidance": None}]
)
def test_damaged_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(png.NoParameters):
        png.request_of({**png.read_parameters(_file()), **change})


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
SEEDS = st.integers(0, 2**64 - 1)
SHARES = st.floats(0, 1)
SIDES = st.integers(1, 256).map(lambda n: 8 * n)
REQUESTS = st.builds(
    lambda size, **fields: PictureRequest(**fields, width=size[0], height=size[1]),
    size=st.one_of(st.just((0, 0)), st.tuples(SIDES, SIDES)),
    prompt=TEXT.filter(str.strip),
    negative=TEXT,
    seed=SEEDS,
    steps=st.integers(1, 50),
    guidance=st.floats(0, 20),
    sampler=st.sampled_from(["", *NAMES]),
    strength=SHARES.filter(bool),
    variation=SHARES,
    variation_seed=SEEDS,
)
MAKERS = st.builds(
    Maker,
    model=TEXT,
    version=TEXT,
    backend=st.sampled_from(["onnx", "diffusers"]),
    device=st.sampled_from(["cpu", "cuda"]),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    loras=st.lists(st.builds(Lora, TEXT, st.floats(-2, 2)), max_size=3).map(tuple),
)


@given(request=REQUESTS, maker=MAKERS)
def test_every_request_and_maker_come_back(request, maker) -> None:
    buffer = io.BytesIO()
    png.save(Picture(Image.new("RGBA", (4, 4)), request, maker), buffer)
    parameters = png.read_parameters(buffer.getvalue())
    assert png.request_of(parameters) == request
    assert png.maker_of(parameters) == maker


def test_a_picture_drawn_from_another_needs_that_one_again() -> None:
    init, mask = Image.new("RGB", (8, 8), "red"), Image.new("L", (8, 8), 255)
    request = PictureRequest("x", 1, 12, 1.8, init=init, mask=mask)
    parameters = png.read_parameters(_file(request))
    assert png.request_of(parameters, init.copy(), mask.copy()) == request
    other = Image.new("RGB", (8, 8), "blue")
    for given_, field in [((None, None), "init"), ((other, mask), "init")]:
        with pytest.raises(InvalidRequest) as refusal:
            png.request_of(parameters, *given_)
        assert refusal.value.field == field
    with pytest.raises(InvalidRequest, match="mask"):
        png.request_of(parameters, init, None)


def test_a_picture_of_the_web_ui_is_read() -> None:
    text = (
        "a fox, (red:1.2)\nin the snow\nNegative prompt: blurry,\nugly\n"
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 965400086, "
        'Size: 512x768, Model hash: 6ce0161689, Model: "v1,5", Version: 1.6.0'
    )
    assert png.parse_a1111(text) == {
        "prompt": "a fox, (red:1.2)\nin the snow",
        "negative": "blurry,\nugly",
        "steps": 20,
        "guidance": 7.0,
        "seed": 965400086,
        "width": 512,
        "height": 768,
        "sampler": "dpm++",
    }


PLAIN = st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"]), max_size=30)


@given(
    prompt=PLAIN.filter(str.strip).map(str.strip),
    negative=PLAIN.map(str.strip),
    seed=SEEDS,
    steps=st.integers(1, 50),
    sampler=st.sampled_from([n for n in NAMES if n != "ddpm-large"]),
    model=TEXT,
)
def test_the_web_ui_text_alone_says_the_same(
    prompt, negative, seed, steps, sampler, model
) -> None:
    request = PictureRequest(
        prompt, seed, steps, 7.5, negative, sampler, width=64, height=32
    )
    buffer = io.BytesIO()
    image = Image.new("RGB", (64, 32))
    png.save(Picture(image, request, Maker(model, "1")), buffer)
    with Image.open(buffer) as file:
        said = png.parse_a1111(file.text["parameters"])  # type: ignore[attr-defined]
    assert png.request_of(said) == request
