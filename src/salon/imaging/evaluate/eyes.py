"""What pictures are looked at with: pixels, MobileNetV2, the project's own judge.

An eye turns pictures into rows whose distances are likeness. *Pixels* are always
there. *MobileNetV2* (ImageNet features, an ONNX file) sees texture and style, so KID is
measured with it; it is not ours to ship, whoever evaluates brings it. The *judge* is
our own contrastive encoder (``models/contrastive.py``); its folder holds an ONNX file
and what it scored on a vendor it never saw.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.data.compose import shrink
from salon.imaging.evaluate.measures import unit
from salon.imaging.pixels import CANVAS, to_canvas

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
_IMAGENET_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
_BATCH = 32


class Eye(Protocol):
    """Pictures (n, 128, 128, 4) RGBA -> rows (n, d)."""

    def __call__(self, pictures: Bytes) -> Floats: ...


def small_canvases(pictures: Bytes) -> Floats:
    """(n, 128, 128, 4) -> (n, 4, 32, 32) in [-1, 1]."""
    return to_canvas(np.stack([shrink(picture, CANVAS) for picture in pictures]))


def pixels(pictures: Bytes) -> Floats:
    """Colour on white at 32 px, (n, 3072)."""
    return small_canvases(pictures)[:, :3].reshape(len(pictures), -1)


class _Network:
    """An ONNX network "image (n, 3, side, side) -> (n, d)", run in batches."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: Floats) -> Floats:
        rows = [
            self._session.run(None, {"image": images[i : i + _BATCH]})[0]
            for i in range(0, len(images), _BATCH)
        ]
        return np.concatenate(rows).astype(np.float32)


class MobileNet:
    """Features of MobileNetV2 of the picture on white, (n, 1280)."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._network = _Network(path, threads)

    def __call__(self, pictures: Bytes) -> Floats:
        canvas = to_canvas(pictures)[:, :3]
        images = ((canvas + 1.0) / 2.0 - _IMAGENET_MEAN) / _IMAGENET_SPREAD
        return self._network(images.astype(np.float32))


class Judge:
    """The own encoder: pictures, labels and free text as directions in one space."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._network = _Network(folder / "judge.onnx", threads)
        self.exam: dict[str, Any] = json.loads((folder / "judge.json").read_text())
        """What it scored on pictures of a vendor that it was not trained on."""
        with np.load(folder / "judge.npz", allow_pickle=False) as arrays:
            self.labels = [str(label) for label in arrays["labels"]]
            self.directions = arrays["directions"].astype(np.float32)
        self._side = int(self.exam["side"])

    @property
    def trusted(self) -> bool:
        """Whether it knows unseen hands well enough for its verdict to be quoted."""
        return bool(self.exam["top1"] >= 60.0 and self.exam["top5"] >= 85.0)

    def __call__(self, pictures: Bytes) -> Floats:
        canvases = to_canvas(np.stack([_to_side(p, self._side) for p in pictures]))
        return unit(self._network(np.ascontiguousarray(canvases[:, :3])))


def _to_side(picture: Bytes, side: int) -> Bytes:
    image = Image.fromarray(picture).convert("RGBa")
    small = image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.convert("RGBA"), dtype=np.uint8)
