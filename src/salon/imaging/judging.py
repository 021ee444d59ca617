"""The judge's whole recipe: art of nine vendors, training, the examination, the files.

Resumable like the picture model's (``recipe.py``): the art is drawn once, the
checkpoint goes on where it stopped. The examiner is OpenMoji, which nobody trains on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from salon.imaging import export
from salon.imaging.evaluate.vendors import EXAM, TRAINED, Hands, gather
from salon.imaging.models.contrastive import Judge
from salon.imaging.text import SentenceEncoder, Whitening
from salon.imaging.training import contrastive, loop
from salon.imaging.training.loop import Progress


def make(
    folder: Path,
    packages: Path,
    seconds: float,
    watch: Callable[[Progress, float, float], None],
    note: Callable[[str], None] = lambda _: None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train the judge in ``folder`` and write ``folder/judge``; return its exam.

    ``watch`` is told the progress, the share of the budget spent and the loss.
    """
    hands = _hands(folder, packages, note)
    vectors = _vectors(folder, hands.labels)
    pictures, label_of = hands.of(*TRAINED)
    gallery = contrastive.Gallery(pictures, label_of, vectors)
    recipe = contrastive.recipe(seconds, seed)
    torch.manual_seed(seed)

    def tell(progress: Progress, value: float) -> None:
        watch(progress, progress.share(recipe), value)

    model = Judge(len(hands.labels))
    average, done = loop.train(model, contrastive.loss(gallery), recipe, folder, tell)
    assert isinstance(average, Judge)
    unseen = hands.of(*EXAM)
    exam = contrastive.examine(average, *unseen, torch.from_numpy(vectors))
    exam |= {"examiner": "OpenMoji", "seconds": round(done.seconds), "steps": done.step}
    export.export_judge(folder, folder / "judge", exam)
    return exam


def _hands(folder: Path, packages: Path, note: Callable[[str], None]) -> Hands:
    path = folder / "hands.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        gather(packages, note).save(path)
    return Hands.load(path)


def _vectors(folder: Path, labels: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Whitened sentence vectors of the labels, kept beside the checkpoint."""
    path = folder / "judge-labels.npz"
    if not path.exists():
        rows = SentenceEncoder().encode(labels)
        np.savez(path, labels=np.array(labels), vectors=Whitening.fit(rows)(rows))
    with np.load(path, allow_pickle=False) as arrays:
        vectors: np.ndarray[Any, np.dtype[np.float32]] = arrays["vectors"]
        return vectors
