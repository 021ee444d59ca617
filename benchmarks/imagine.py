"""Drawing on one core: the embedded model, the same weights in eager torch, diffusers.

Every row is a process of its own, bound to one core; each figure is the median of its
repetitions. The last rows need ``salon[train]`` and ``salon[diffusers]``; the U-Net of
the embedded model is rebuilt in torch from the very numbers of its ONNX file, and the
stock pipeline of diffusers runs the folder that our loop runs.

Reads: ``python -m benchmarks.imagine`` (or ``make bench``); ``imagine row NAME`` is one
row, for the process that measures it.
"""

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import described

STEPS = 20
REPEAT = 7


def _median(draw: Callable[[], object], repeat: int = REPEAT) -> float:
    draw()  # what is compiled or read on first use
    taken = []
    for _ in range(repeat):
        begun = time.perf_counter()
        draw()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def embedded() -> dict[str, float]:
    """Load, first preview, whole picture, memory."""
    from salon.imaging.request import PictureRequest
    from salon.imaging.runtime import EmbeddedModel

    begun = time.perf_counter()
    model = EmbeddedModel.load()
    loaded = time.perf_counter() - begun
    previews = []

    def draw(steps: int, guidance: float) -> None:
        start = time.perf_counter()
        first: list[float] = []
        model.draw(
            PictureRequest("red heart", 7, steps, guidance),
            lambda _: first.append(time.perf_counter() - start) or True,
        )
        previews.append(first[0])

    whole = _median(lambda: draw(STEPS, 3.0))
    own = _median(lambda: draw(12, 1.8))
    quick = _median(lambda: draw(4, 1.0))
    return {
        "load s": loaded,
        "first preview s": statistics.median(previews),
        "20 steps, guided s": whole,
        "as shipped (12) s": own,
        "4 steps s": quick,
        "memory MB": _memory_mb(),
    }


def unet_onnx() -> dict[str, float]:
    """One guided step of the embedded U-Net on ONNX Runtime."""
    from salon.imaging.runtime import MODEL_FOLDER, _session

    session = _session(MODEL_FOLDER / "unet.onnx", 1)
    inputs = _unet_inputs()
    return {"step ms": 1000 * _median(lambda: session.run(None, inputs), 30)}


def unet_torch() -> dict[str, float]:
    """The same numbers in eager torch."""
    import onnx
    import torch
    from onnx import numpy_helper

    from salon.imaging.models.unet import UNet
    from salon.imaging.runtime import MODEL_FOLDER, _session

    torch.set_num_threads(1)
    graph = onnx.load(MODEL_FOLDER / "unet.onnx").graph
    kept = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    network = UNet().eval()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    # The exporter renames what it folded (norms, keys and values) to val_N, in the
    # order of use; the largest difference below says whether all are in their place.
    folded = sorted(
        (name for name in kept if name.startswith("val_") and name.endswith("_half")),
        key=lambda name: int(name.split("_")[1]),
    )
    renamed = iter(folded)
    weights = {}
    for name, shape in shapes.items():
        array = kept.get(name, kept.get(f"{name}_half"))
        if array is None:
            array = kept[next(renamed)]
            array = array.T if array.ndim == 2 else array.reshape(shape)
        weights[name] = torch.from_numpy(array.copy()).float()
    network.load_state_dict(weights)
    inputs = _unet_inputs()
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    theirs = _session(MODEL_FOLDER / "unet.onnx", 1).run(None, inputs)[0]
    with torch.inference_mode():
        gap = float(abs(network(*tensors).numpy() - theirs).max())
        step = _median(lambda: network(*tensors), 30)
    return {"step ms": 1000 * step, "largest difference": gap}


def _unet_inputs() -> dict[str, object]:
    import numpy as np

    rng = np.random.default_rng(0)
    patches = (2, 16, 16, 16)
    return {
        "x": rng.standard_normal(patches, np.float32),
        "t": np.full(2, 0.5, np.float32),
        "reference": rng.uniform(-1, 1, patches).astype(np.float32),
        "pooled": rng.standard_normal((2, 512), np.float32),
        "words": rng.standard_normal((2, 6, 512), np.float32),
        "mask": np.ones((2, 6), np.float32),
    }


def loop_ours() -> dict[str, float]:
    """A tiny random Stable Diffusion, 20 steps of DDIM, through our port."""
    import torch

    from salon.imaging.backends.choose import Choice, load
    from salon.imaging.request import PictureRequest

    torch.set_num_threads(1)
    model = load(Choice(_tiny()))
    request = PictureRequest("a red fox", 1, STEPS, 5.0, sampler="ddim")
    plain = _median(lambda: model.imagine(request))
    told = _median(lambda: model.imagine(request, lambda _: True))
    return {"picture s": plain, "with previews s": told}


def loop_diffusers() -> dict[str, float]:
    """The same folder in diffusers' pipeline."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.set_num_threads(1)
    pipe = StableDiffusionPipeline.from_pretrained(_tiny(), safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)

    def draw() -> object:
        return pipe("a red fox", num_inference_steps=STEPS, guidance_scale=5.0)

    return {"picture s": _median(draw)}


def _tiny() -> Path:
    from tests.imaging.backends import tiny

    return tiny.stable_diffusion(Path(tempfile.mkdtemp()) / "tiny")


ROWS: dict[str, tuple[Callable[[], dict[str, float]], tuple[str, ...]]] = {
    "embedded": (embedded, ()),
    "unet_onnx": (unet_onnx, ()),
    "unet_torch": (unet_torch, ("torch", "onnx")),
    "loop_ours": (loop_ours, ("torch", "diffusers", "transformers")),
    "loop_diffusers": (loop_diffusers, ("torch", "diffusers", "transformers")),
}


def main() -> None:
    print(described("onnxruntime", "torch", "diffusers"))
    print("\n| what | figures |\n|---|---|")
    for name, (row, needs) in ROWS.items():
        title = (row.__doc__ or name).strip().rstrip(".")
        if any(importlib.util.find_spec(package) is None for package in needs):
            print(f"| {title} | needs {', '.join(needs)} |")
            continue
        print(f"| {title} | {_said(_measured(name))} |")


def _measured(name: str) -> dict[str, float]:
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.imagine", "row", name],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _said(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


if __name__ == "__main__":
    if sys.argv[1:2] == ["row"]:
        print(json.dumps(ROWS[sys.argv[2]][0]()))
    else:
        main()
