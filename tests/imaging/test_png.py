"""How a picture says how it was made."""

import io
from pathlib import Path

import pytest
from PIL import Image

from salon.imaging import png
from salon.imaging.request import PictureRequest

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
