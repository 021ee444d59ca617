"""One model, examined: fixed prompts and seeds in, a dictionary of figures out.

| figure | how |
|---|---|
| labels | draw labels, rank the real pictures by each eye; seen, zh, ru, held out |
| KID | MobileNetV2 features of the drawn against real pictures of *other* labels |
| compositions | a hundred prompts x three languages (``prompts.py``) |
| memory | distance to the nearest real picture, share below ``COPY`` |
| diversity | mean squared difference between seeds of one prompt |
| cleanliness | veils and corners of the alpha channel |
| cost | seconds and peak memory of a process of its own, on one thread |

Prompt i is drawn with seed i, in every model and for ever.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salon.imaging.evaluate import measures
from salon.imaging.evaluate.eyes import Eye, Judge, pixels, small_canvases
from salon.imaging.evaluate.gallery import Gallery, pair_candidates, worn_candidates
from salon.imaging.evaluate.prompts import LANGUAGES, Composition, compositions
from salon.imaging.ports import ImageModel
from salon.imaging.request import PictureRequest

Bytes = NDArray[np.uint8]
Note = Callable[[str], None]

COPY = 0.004
"""Mean squared difference (0 to 1, 32 px) under which a picture is a near-copy."""
_VARIED = ("robot", "cat", "house", "flower", "angry face", "car", "dragon", "hat")
_SEEDS = 4
_SIDE = 128


class Examination:
    """A model, the real pictures and the eyes it is looked at with."""

    def __init__(
        self,
        model: ImageModel,
        gallery: Gallery,
        eyes: dict[str, Eye],
        known: set[str] | None = None,
        note: Note = lambda _: None,
    ) -> None:
        """``known``: the labels that were trained; the others count as held out."""
        self._model = model
        self._gallery = gallery
        self._eyes = {"pixels": pixels, **eyes}
        self._rows = {n: eye(gallery.pictures) for n, eye in self._eyes.items()}
        self._known = known or set(gallery.labels)
        self._note = note
        self.sheet: list[tuple[str, Bytes]] = []
        """(prompt, picture) of the English compositions, for the sheet."""

    def run(self, count: int = 320) -> dict[str, Any]:
        """All figures but the cost; ``count`` labels are drawn in English."""
        labels = self._gallery.labels
        rng = np.random.default_rng(1)
        seen = [i for i, label in enumerate(labels) if label in self._known]
        held_out = [i for i in range(len(labels)) if labels[i] not in self._known]
        chosen = [seen[i] for i in rng.choice(len(seen), count, replace=False)]
        half = chosen[: count // 2]
        drawn = self._draw([labels[i] for i in chosen], "labels")
        report: dict[str, Any] = {
            "gallery": len(labels),
            "seen_labels": count,
            "seen": self._retrieval(drawn, chosen) | self._kid(drawn, chosen),
            "seen_half": self._retrieval(drawn[: len(half)], half),
            "memory": self._memory(drawn),
            "cleanliness": _cleanliness(drawn),
        }
        for language in ("zh", "ru"):
            names = self._gallery.names[language]
            pictures = self._draw([names[i] for i in half], f"labels, {language}")
            report[language] = self._retrieval(pictures, half)
        if held_out:
            pictures = self._draw([labels[i] for i in held_out], "held-out labels")
            report["held_out"] = self._retrieval(pictures, held_out)
        report["compositions"] = self._compositions()
        report["diversity"] = self._diversity()
        report["judge"] = self._judge()
        return report

    def _draw(self, prompts: Sequence[str], what: str) -> Bytes:
        self._note(f"{what}: {len(prompts)}")
        return np.stack([self._picture(prompt, i) for i, prompt in enumerate(prompts)])

    def _picture(self, prompt: str, seed: int) -> Bytes:
        picture = self._model.imagine(PictureRequest(prompt, seed))
        image = picture.image.convert("RGBA")
        if image.size != (_SIDE, _SIDE):
            image = image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(image, dtype=np.uint8)

    def _retrieval(self, drawn: Bytes, own: Sequence[int]) -> dict[str, Any]:
        return {
            name: measures.top(
                measures.ranks(_like(name, eye(drawn)), _like(name, rows), own)
            )
            for name, eye in self._eyes.items()
            for rows in [self._rows[name]]
        }

    def _kid(self, drawn: Bytes, chosen: Sequence[int]) -> dict[str, float]:
        """Against labels that were not drawn; ``kid_real`` is the measure's floor."""
        if "mobilenet" not in self._eyes:
            return {}
        rows = self._rows["mobilenet"]
        others = np.setdiff1d(np.arange(len(rows)), chosen)
        mine = self._eyes["mobilenet"](drawn)
        return {
            "kid": round(measures.kid(mine, rows[others]), 4),
            "kid_real": round(measures.kid(rows[list(chosen)], rows[others]), 4),
        }

    def _memory(self, drawn: Bytes) -> dict[str, float]:
        rows, gallery = (small_canvases(p) for p in (drawn, self._gallery.pictures))
        flat = [(r.reshape(len(r), -1) / 2.0) for r in (rows, gallery)]
        gaps = measures.nearest(flat[0], flat[1])
        return {
            "median_gap": round(float(np.median(gaps)), 5),
            "copies": measures.percent(gaps < COPY),
        }

    def _compositions(self) -> dict[str, Any]:
        asked = compositions()
        worn, pairs = worn_candidates(self._gallery), pair_candidates(self._gallery)
        report: dict[str, Any] = {}
        for language in LANGUAGES:
            prompts = [item.prompts[language] for item in asked]
            drawn = self._draw(prompts, f"compositions, {language}")
            right = [
                self._obeyed(item, picture, worn, pairs)
                for item, picture in zip(asked, drawn, strict=True)
            ]
            report[language] = _by_kind(asked, right)
            if language == "en":
                self.sheet = list(zip(prompts, drawn, strict=True))
        return report

    def _obeyed(
        self,
        item: Composition,
        picture: Bytes,
        worn: dict[tuple[str, str], Bytes],
        pairs: dict[tuple[str, str], Bytes],
    ) -> bool:
        if item.kind == "colour":
            return measures.has_colour(picture, item.colour)
        if item.kind == "count":
            return measures.figures(picture[..., 3]) == item.count
        first, second = item.parts
        if item.kind == "worn":
            return self._nearest_of(picture, worn) == (first, second)
        return self._nearest_of(picture, pairs) in ((first, second), (second, first))

    def _nearest_of(
        self, picture: Bytes, candidates: dict[tuple[str, str], Bytes]
    ) -> tuple[str, str]:
        """By pixels: ImageNet's features see a drawing's softness before its hat."""
        key = f"pixels of {len(candidates)}"
        if key not in self._rows:
            self._rows[key] = pixels(np.stack(list(candidates.values())))
        gaps = ((self._rows[key] - pixels(picture[None])) ** 2).sum(axis=1)
        return list(candidates)[int(gaps.argmin())]

    def _diversity(self) -> float:
        gaps = []
        for prompt in _VARIED:
            seeds = np.stack([self._picture(prompt, seed) for seed in range(_SEEDS)])
            gaps.append(measures.mean_gap((pixels(seeds) + 1.0) / 2.0))
        return round(float(np.mean(gaps)), 5)

    def _judge(self) -> dict[str, Any]:
        judge = self._eyes.get("judge")
        if not isinstance(judge, Judge):
            return {}
        return {**judge.exam, "trusted": judge.trusted}


def _like(name: str, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features are compared by angle, pixels by distance."""
    return rows if name == "pixels" else measures.unit(rows)


def _by_kind(asked: Sequence[Composition], right: Sequence[bool]) -> dict[str, float]:
    kinds = list(dict.fromkeys(item.kind for item in asked))
    found = {
        str(kind): measures.percent(
            [ok for item, ok in zip(asked, right, strict=True) if item.kind == kind]
        )
        for kind in kinds
    }
    return {**found, "all": measures.percent(right)}


def _cleanliness(drawn: Bytes) -> dict[str, float]:
    alphas = drawn[..., 3]
    veils = [measures.half_transparent(alpha) for alpha in alphas]
    return {
        "half_transparent": round(100.0 * float(np.mean(veils)), 2),
        "clean_corners": measures.percent([measures.clean_corners(a) for a in alphas]),
    }


_COST = """
import json, re, sys, time
from pathlib import Path
from salon.imaging.backends import choose
from salon.imaging.request import PictureRequest
path = Path(sys.argv[1]) if sys.argv[1] else None
begun = time.perf_counter()
model = choose.load(choose.Choice(path, threads=1))
loaded = time.perf_counter()
first, spent = [], []
for seed, prompt in enumerate(("red heart", "robot", "a dog", "house", "rocket")):
    at, told = time.perf_counter(), []
    def on_step(step):
        told.append(time.perf_counter())
        return True
    request = PictureRequest(prompt, seed)
    model.imagine(request)
    spent.append(time.perf_counter() - at)
    at = time.perf_counter()
    model.imagine(request, on_step)
    first.append(told[0] - at)
# of this program alone: ru_maxrss keeps what the parent had when it forked
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({
    "load_seconds": round(loaded - begun, 3),
    "seconds": round(sorted(spent)[len(spent) // 2], 3),
    "first_preview_seconds": round(sorted(first)[len(first) // 2], 3),
    "peak_rss_mb": round(peak_kb / 1024),
}))
"""


def cost(model: Path | None) -> dict[str, float]:
    """Median seconds a picture and peak memory, in a process that only draws."""
    command = [sys.executable, "-c", _COST, str(model or "")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result
