"""Any folder of pictures as training data: square, RGB, one size, in one file.

Pictures are made once and then read from the disk a batch at a time (a memory map), so
that the folder may be larger than the memory. The file, ``pictures.npy``, is made again
when a picture was added, removed or changed, or another size is wanted.

* A picture keeps its shape: it is shrunk or enlarged until it fits, and *padded* with
  white to a square. Squashing would teach the model that cars come in two widths.
* Transparent places become white, whatever colour lies under them.
* Orientation tags of cameras are obeyed.
* What cannot be read (cut off, not a picture, absurdly large) is skipped and reported
  by name: one bad file must not end a night's training.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from salon.errors import Error

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
)
MAX_PIXELS = 100_000_000
"""Of one picture, before shrinking: about 400 MB of memory while it is read."""
MIN_SIDE, MAX_SIDE = 8, 1024
FILE = "pictures.npy"
"""In the cache."""
_SHOWN = 5


class FolderUnusable(Error):
    """The folder holds nothing to train on; the message says what was found there."""


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out."""

    path: Path
    """Relative to the folder."""
    reason: str


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder, ready for training."""

    pictures: NDArray[np.uint8]
    """(N, side, side, 3), a memory map of ``pictures.npy``."""
    digest: str
    """Of names and sizes of the files and of the side: equal folders, equal digests.
    Times are left out, so that a folder may be copied to another machine."""
    skipped: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(B,) indices -> (B, 3, side, side) float32 in [-1, 1]."""
        chosen = self.pictures[indices].astype(np.float32) / np.float32(127.5)
        return np.ascontiguousarray((chosen - 1.0).transpose(0, 3, 1, 2))

    def in_memory(self) -> PictureFolder:
        """A copy that needs its file no more."""
        return replace(self, pictures=np.array(self.pictures))


Note = Callable[[int, int], None]
"""Called with (pictures looked at, pictures in all)."""


def load(
    folder: Path,
    side: int,
    cache: Path,
    note: Note = lambda _done, _all: None,
    only: Sequence[Path] | None = None,
) -> PictureFolder:
    """Read every picture below ``folder``, or what an earlier call has made of them.

    Args:
        folder: searched with all its folders; hidden names are left out.
        side: of the square pictures, in pixels, 8 to 1024.
        cache: a folder for ``pictures.npy``; made if need be.
        note: for a progress bar.
        only: these, relative to the folder, in this order, and no others.

    Raises:
        FolderUnusable: no such folder, or no readable picture in it.
        ValueError: ``side`` out of range.
        OSError: the cache cannot be written (a full disk); nothing half done stays.
    """
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise ValueError(f"image size must be {MIN_SIDE} to {MAX_SIDE}, got {side}")
    chosen = paths(folder) if only is None else list(only)
    target, facts_file = cache / FILE, cache / "pictures.json"
    fingerprint = {"side": side, "files": _stamps(folder, chosen)}
    digest = _digest(fingerprint)
    facts = _read_json(facts_file)
    if target.exists() and facts.get("fingerprint") == fingerprint:
        skipped = [Skipped(Path(p), reason) for p, reason in facts["skipped"]]
        pictures = np.load(target, mmap_mode="r", allow_pickle=False)
        return PictureFolder(pictures[: facts["count"]], digest, skipped)
    cache.mkdir(parents=True, exist_ok=True)
    facts_file.unlink(missing_ok=True)
    part = target.with_suffix(".part")
    try:
        skipped = _write(folder, chosen, side, part, note)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    count = len(chosen) - len(skipped)
    if count == 0:
        target.unlink()
        raise FolderUnusable(
            f"none of the {len(chosen)} pictures in {folder} can be read: "
            f"{describe(skipped)}"
        )
    text = {
        "fingerprint": fingerprint,
        "count": count,
        "skipped": [(str(s.path), s.reason) for s in skipped],
    }
    facts_file.write_text(json.dumps(text), "utf-8")
    pictures = np.load(target, mmap_mode="r", allow_pickle=False)
    return PictureFolder(pictures[:count], digest, skipped)


def describe(skipped: list[Skipped]) -> str:
    """The first few of them with their reasons, and how many there are more."""
    lines = [f"{s.path} ({s.reason})" for s in skipped[:_SHOWN]]
    more = len(skipped) - _SHOWN
    return ", ".join(lines) + (f" and {more} more" if more > 0 else "")


def square(image: Image.Image, side: int) -> Image.Image:
    """RGB, ``side`` x ``side``: turned upright, on white, fitted and padded."""
    image.draft("RGB", (2 * side, 2 * side))  # JPEG: decode no more than is needed
    upright = ImageOps.exif_transpose(image)
    fitted = ImageOps.contain(
        _on_white(upright), (side, side), Image.Resampling.LANCZOS
    )
    padded = Image.new("RGB", (side, side), "white")
    padded.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return padded


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits grey: Pillow would cut, not scale
        grey = np.asarray(image, np.float64) / 257.0
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def paths(folder: Path) -> list[Path]:
    """Pictures by their names, sorted, relative to the folder. Raises FolderUnusable."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FolderUnusable(f"{folder} {what}; name a folder of pictures")
    files = sorted(_walk(folder))
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        known = ", ".join(sorted(SUFFIXES))
        found = f"holds {len(files)} files, but no picture" if files else "is empty"
        raise FolderUnusable(f"{folder} {found}; read are {known}")
    return pictures


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield (Path(place) / name).relative_to(folder)


def _digest(fingerprint: dict[str, Any]) -> str:
    lasting = [fingerprint["side"], *(stamp[:2] for stamp in fingerprint["files"])]
    return hashlib.sha256(json.dumps(lasting).encode()).hexdigest()


def _stamps(folder: Path, paths: list[Path]) -> list[list[str | int]]:
    stamps: list[list[str | int]] = []
    for path in paths:
        stat = (folder / path).lstat()
        stamps.append([str(path), stat.st_size, stat.st_mtime_ns])
    return stamps


def _write(
    folder: Path, paths: list[Path], side: int, part: Path, note: Note
) -> list[Skipped]:
    """Fill the array from the front; what was skipped leaves room at its end."""
    skipped = []
    with part.open("wb") as file:
        # A plain header and plain writes: a memory map would meet a full disk with
        # a signal that kills the program, a write meets it with an OSError.
        header = {
            "descr": "|u1",
            "fortran_order": False,
            "shape": (len(paths), side, side, 3),
        }
        np.lib.format.write_array_header_1_0(file, header)
        for done, path in enumerate(paths, start=1):
            try:
                file.write(_read(folder / path, side).tobytes())
            except _Unreadable as error:
                skipped.append(Skipped(path, str(error)))
            note(done, len(paths))
        file.write(bytes(len(skipped) * side * side * 3))
    return skipped


class _Unreadable(Exception):
    """Why one picture is left out."""


def _read(path: Path, side: int) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's opinions on odd metadata
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _Unreadable(f"{image.width} x {image.height} pixels")
                return np.asarray(square(image, side))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _Unreadable(str(error) or type(error).__name__) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
