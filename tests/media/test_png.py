import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from salon.errors import Refusal
from salon.media.png import LARGEST_BYTES, Size, check_png


def png(width: int = 8, height: int = 6, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG")
    return out.getvalue()


def with_header(width: int, height: int) -> bytes:
    """A PNG whose header says another size, with a right checksum."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + png()[33:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "I;16"])
def test_a_whole_png_of_any_mode_tells_its_size(mode: str) -> None:
    assert check_png(png(mode=mode)) == Size(8, 6)


def test_metadata_of_ordinary_size_is_fine() -> None:
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("prompt", "red heart")
    Image.new("RGB", (4, 4)).save(out, "PNG", pnginfo=info)

    assert check_png(out.getvalue()) == Size(4, 4)


@pytest.mark.parametrize(
    ("width", "height"), [(30_000, 30_000), (13_000, 13_000), (4_001, 4_000)]
)
def test_too_many_pixels_are_refused_by_the_header_alone(
    width: int, height: int
) -> None:
    with pytest.raises(Refusal) as refused:
        check_png(with_header(width, height))

    assert refused.value.code == "picture_too_large"
    assert str(width) in refused.value.message


def test_sixteen_million_pixels_are_let_through() -> None:
    assert check_png(png(4_000, 4_000, "1")) == Size(4_000, 4_000)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        check_png(png() + bytes(LARGEST_BYTES))

    assert refused.value.code == "picture_too_large"


def other_format(name: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, name)
    return out.getvalue()


def animation() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in (10, 200)]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    return out.getvalue()


def text_bomb() -> bytes:
    """A compressed text chunk of 100 MB in 100 kB."""
    body = b"zTXtprompt\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(body) - 4) + body
    chunk += struct.pack(">I", zlib.crc32(body))
    whole = png()
    return whole[:33] + chunk + whole[33:]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(100),
        other_format("JPEG"),
        other_format("GIF"),
        other_format("WEBP"),
        png()[:-20],
        png()[:40],
        png()[:60] + b"\xff\xff\xff" + png()[63:],
        with_header(0, 10),
        with_header(9, 6),
        animation(),
        text_bomb(),
        b"\x89PNG\r\n\x1a\n" + png()[16:],
    ],
    ids=lambda data: f"{len(data)}B",
)
def test_anything_else_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        check_png(data)

    assert refused.value.code in {"picture_invalid", "picture_too_large"}
