"""Is this really a picture, and small enough to look at?

A worker sends us PNG bytes; a worker is a stranger. The size is read from the header
with our own eyes before any decoder runs: a PNG of 20 kB can hold 169 million pixels
(measured with Pillow 13), and Pillow only warns. Then Pillow, limited to its PNG
plugin, decodes everything once; whatever it dislikes is refused.
"""

import io
import struct
import warnings
from typing import NamedTuple

from salon.errors import Refusal

LARGEST_BYTES = 10 * 1024 * 1024
MOST_PIXELS = 16_000_000

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8sI4sII")  # signature, length, "IHDR", width, height


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def check_png(data: bytes) -> Size:
    """The size of a whole, readable PNG. Takes CPU: call it in a thread.

    Raises:
        Refusal: theirs; ``picture_too_large`` or ``picture_invalid``.
    """
    if len(data) > LARGEST_BYTES:
        raise Refusal(
            "picture_too_large",
            f"A picture has at most {LARGEST_BYTES // 1024 // 1024} MiB.",
            params={"limit": LARGEST_BYTES},
            status=413,
        )
    size = _size_in_header(data)
    if not 0 < size.width * size.height <= MOST_PIXELS:
        raise Refusal(
            "picture_too_large",
            f"A picture has 1 to {MOST_PIXELS // 1_000_000} million pixels; this one "
            f"says {size.width} x {size.height}.",
            params={"limit": MOST_PIXELS},
            status=413,
        )
    _decode(data)
    return size


def _size_in_header(data: bytes) -> Size:
    """Width and height of the IHDR chunk, which comes first (PNG, section 5.6)."""
    if len(data) < _HEADER.size:
        raise _invalid("too short")
    signature, length, kind, width, height = _HEADER.unpack_from(data)
    if signature != _SIGNATURE or kind != b"IHDR" or length != 13:
        raise _invalid("no PNG header")
    return Size(width, height)


def _decode(data: bytes) -> None:
    from PIL import Image  # a tenth of a second: not at start

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                image.verify()  # every chunk's checksum, to the end; uses it up
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if getattr(image, "n_frames", 1) != 1:
                    raise _invalid("an animation")
                image.load()
    except Refusal:
        raise
    except Exception as error:  # decoders raise many kinds, all the picture's fault
        raise _invalid(type(error).__name__) from error


def _invalid(why: str) -> Refusal:
    return Refusal(
        "picture_invalid",
        f"These bytes are no PNG that can be shown: {why}.",
        status=422,
    )
