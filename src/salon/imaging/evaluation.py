"""How good the pictures are: does a drawn label find its own real picture?

*Label retrieval*: draw a label, then rank all real emoji by likeness to the drawing;
top-1 is the share of labels whose own picture comes first. Likeness is measured on
32 px pixels, and, where given, on the features of an image classifier (an ONNX
network "image (n, 3, 128, 128) -> features (n, d)", normally MobileNetV2).
The gallery contains the trained pictures themselves, so this measures what the model
remembers of a closed set, not invention: held-out labels and unseen colour x object
pairs are counted apart.

*KID* (Bińkowski et al. 2018, arXiv 1801.01401): the unbiased squared maximum mean
discrepancy of the features under a cubic kernel; 0 for two samples of one kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.data.compose import shrink
from salon.imaging.data.dataset import HELD_OUT_PAIRS, Dataset
from salon.imaging.data.recolour import dominant_colour
from salon.imaging.pixels import CANVAS, to_canvas, to_picture
from salon.imaging.request import PictureRequest
from salon.imaging.runtime import EmbeddedModel

Floats = NDArray[np.float32]
Note = Callable[[str], None]
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
_IMAGENET_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


class Features:
    """Features of an image classifier given as ONNX file."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, canvases: Floats) -> Floats:
        """(n, 4, h, w) canvases, enlarged to 128 px -> (n, d) features."""
        rows = [
            self._session.run(None, {"image": _classifier_input(batch)})[0]
            for batch in np.array_split(canvases, max(1, len(canvases) // 32))
        ]
        result: Floats = np.concatenate(rows).astype(np.float32)
        return result


def unit(rows: Floats) -> Floats:
    """Rows of norm 1, so that distance ranks by angle."""
    result: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return result


def _classifier_input(canvases: Floats) -> Floats:
    images = []
    for canvas in canvases:
        rgb = ((canvas[:3] + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
        large = image.resize((128, 128), Image.Resampling.BILINEAR)
        images.append(np.asarray(large, np.float32).transpose(2, 0, 1) / 255.0)
    return ((np.stack(images) - _IMAGENET_MEAN) / _IMAGENET_SPREAD).astype(np.float32)


def pixel_rows(canvases: Floats) -> Floats:
    """(n, 4, 32, 32) -> (n, 3072): colour on white."""
    return canvases[:, :3].reshape(len(canvases), -1)


def ranks(queries: Floats, gallery: Floats, own: Sequence[int]) -> NDArray[np.int64]:
    """Place (0 = first) of each query's own row among the gallery, by distance."""
    squares = (gallery**2).sum(1)[None, :] - 2.0 * queries @ gallery.T
    truth = squares[np.arange(len(queries)), list(own)]
    result: NDArray[np.int64] = (squares < truth[:, None]).sum(axis=1)
    return result


def top(found: NDArray[np.int64]) -> dict[str, float]:
    """Top-1 and top-5 in percent."""
    return {f"top{k}": round(float((found < k).mean() * 100), 1) for k in (1, 5)}


def kid(a: Floats, b: Floats) -> float:
    """Unbiased squared MMD of two samples (n, d) under the kernel (x.y / d + 1)^3."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def kernel(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = (p @ q.T / p.shape[1] + 1.0) ** 3
        return result

    within = 0.0
    for z in (x, y):
        k = kernel(z, z)
        within += (k.sum() - np.trace(k)) / (len(z) * (len(z) - 1))
    return float(within - 2.0 * kernel(x, y).mean())


class Evaluation:
    """One model against the real pictures of one data set."""

    def __init__(
        self, model: EmbeddedModel, data: Dataset, features: Features | None = None
    ) -> None:
        self._model = model
        self._data = data
        self._features = features
        smalls = np.stack([shrink(p, CANVAS) for p in data.originals])
        self._gallery = to_canvas(smalls)
        self._gallery_features = features(self._gallery) if features else None
        self._row = {label: i for i, label in enumerate(data.labels)}

    def run(self, count: int = 320, seed: int = 1, note: Note = lambda _: None) -> Any:
        """Return all figures as JSON-ready values."""
        rng = np.random.default_rng(seed)
        held_out = [self._row[label] for label in self._data.held_out]
        seen = np.setdiff1d(np.arange(len(self._data.labels)), held_out)
        chosen = [int(i) for i in rng.choice(seen, count, replace=False)]
        half = chosen[: count // 2]
        names = self._data.labels
        report: dict[str, Any] = {"gallery": len(names), "seen_labels": count}
        note("seen labels")
        drawn, seconds = self._draw([names[i] for i in chosen])
        report["seconds_a_picture"] = round(seconds, 3)
        report["seen"] = self._scores(drawn, chosen) | self._likeness(drawn, chosen)
        report["prior_only"] = self._scores(
            self._references([names[i] for i in chosen]), chosen
        )
        if self._features and self._gallery_features is not None:
            # What the measure says of two halves of the real pictures: its floor.
            order = rng.permutation(len(self._gallery_features))
            report["kid_real"] = round(
                kid(
                    self._gallery_features[order[:count]],
                    self._gallery_features[order[count:]],
                ),
                4,
            )
        report["seen_half"] = self._scores(drawn[: count // 2], half)
        for language in ("zh", "ru"):
            note(language)
            words = [self._data.translations[i][language] or names[i] for i in half]
            report[language] = self._scores(self._draw(words)[0], half)
        note("held-out labels and colour pairs")
        report["held_out"] = self._scores(
            self._draw([names[i] for i in held_out])[0], held_out
        )
        report["colour_pairs"] = self._colour_pairs()
        return report

    def _draw(self, prompts: Sequence[str]) -> tuple[Floats, float]:
        begun = time.perf_counter()
        canvases = [
            self._model.canvas(PictureRequest(prompt, seed=i))
            for i, prompt in enumerate(prompts)
        ]
        return np.stack(canvases), (time.perf_counter() - begun) / len(prompts)

    def _references(self, prompts: Sequence[str]) -> Floats:
        return np.stack([self._model.reference_canvas(p) for p in prompts])

    def _scores(self, drawn: Floats, own: Sequence[int]) -> dict[str, Any]:
        rows, gallery = pixel_rows(drawn), pixel_rows(self._gallery)
        found: dict[str, Any] = {"pixels": top(ranks(rows, gallery, own))}
        if self._features and self._gallery_features is not None:
            mine = self._features(drawn)
            found["features"] = top(
                ranks(unit(mine), unit(self._gallery_features), own)
            )
            found["kid"] = round(kid(mine, self._gallery_features), 4)
        return found

    def _likeness(self, drawn: Floats, own: Sequence[int]) -> dict[str, float]:
        gap = (pixel_rows(drawn) - pixel_rows(self._gallery[list(own)])) / 2.0
        return {"mse": round(float((gap**2).mean()), 5)}

    def _colour_pairs(self) -> dict[str, Any]:
        """Colour x object never trained together: is the colour right, the object?"""
        pairs = [pair.split(" ", 1) for pair in HELD_OUT_PAIRS]
        pairs = [pair for pair in pairs if pair[1] in self._row]
        drawn, _ = self._draw([" ".join(pair) for pair in pairs])
        colours = [dominant_colour(to_picture(canvas)) for canvas in drawn]
        right = [c == pair[0] for c, pair in zip(colours, pairs, strict=True)]
        # The object among all silhouettes: alpha alone, whatever the colour.
        shapes = self._gallery[:, 3].reshape(len(self._gallery), -1)
        own = [self._row[pair[1]] for pair in pairs]
        placed = ranks(drawn[:, 3].reshape(len(drawn), -1), shapes, own)
        return {
            "count": len(pairs),
            "colour_right": round(100.0 * float(np.mean(right)), 1),
            "silhouette": top(placed),
        }
