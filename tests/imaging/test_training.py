"""A few seconds of real training; needs PyTorch (the extra ``salon[train]``)."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from salon.imaging.data import dataset
from salon.imaging.text import SentenceEncoder
from tests.imaging.art import few

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip(
        "torch", reason="needs PyTorch: pip install salon[train]"
    )


@pytest.fixture(scope="module")
def data() -> dataset.Dataset:
    torch.set_num_threads(1)
    return dataset.build(few(), SentenceEncoder(), held_out=1, pairs=4, counts=2)


def _recipe(name: str, steps: int, **changes: Any) -> Any:
    from salon.imaging.training.loop import Recipe

    values: dict[str, Any] = {"learning_rate": 2e-3, "ema": 0.9, "warmup_steps": 5}
    return Recipe(name, steps=steps, **{**values, **changes})


def test_the_prior_learns_a_few_pictures_by_heart(
    data: dataset.Dataset, tmp_path: Path
) -> None:
    from salon.imaging.models.prior import Prior
    from salon.imaging.training import loop, prior

    torch.manual_seed(0)
    loss = prior.loss(data, batch=16)
    average, progress = loop.train(Prior(128), loss, _recipe("prior", 150), tmp_path)
    first, last = progress.curve[0][2], progress.curve[-1][2]
    assert last < first / 2
    assert not any(p.requires_grad for p in average.parameters())


def test_the_unet_learns_to_remove_noise(data: dataset.Dataset, tmp_path: Path) -> None:
    from salon.imaging.models.prior import Prior
    from salon.imaging.models.unet import UNet
    from salon.imaging.training import loop, unet

    torch.manual_seed(0)
    loss = unet.loss(data, Prior(64).eval(), batch=8)
    model = UNet((16, 32, 32), condition=64)
    _, progress = loop.train(model, loss, _recipe("unet", 100), tmp_path)
    assert progress.curve[-1][2] < 0.75 * progress.curve[0][2]


def test_the_upscaler_beats_plain_enlargement(
    data: dataset.Dataset, tmp_path: Path
) -> None:
    from salon.imaging.models.upscaler import Upscaler
    from salon.imaging.training import loop, upscaler

    torch.manual_seed(0)
    loss = upscaler.loss(data.originals, batch=4)
    plain = float(loss(Upscaler(16, 2), np.random.default_rng(9)).detach())
    average, _ = loop.train(Upscaler(16, 2), loss, _recipe("upscaler", 120), tmp_path)
    assert float(loss(average, np.random.default_rng(9))) < plain


def test_an_untrained_unet_answers_with_the_best_linear_guess() -> None:
    from salon.imaging.models.unet import UNet

    reference = torch.rand(1, 16, 16, 16)
    text = (torch.zeros(1, 512), torch.zeros(1, 6, 512), torch.zeros(1, 6))
    noise = torch.randn(1, 16, 16, 16)
    answer = UNet()(noise, torch.ones(1), reference, *text)
    assert torch.allclose(answer, reference, atol=1e-5)


def test_padding_words_change_nothing() -> None:
    from salon.imaging.models.prior import Prior
    from salon.imaging.models.unet import UNet

    torch.manual_seed(0)
    model = UNet((16, 32, 32), condition=64).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, pooled = torch.randn(1, 16, 16, 16), torch.randn(1, 512)
    words, mask = torch.randn(1, 6, 512), torch.tensor([[1.0, 1, 0, 0, 0, 0]])
    other = words.clone()
    other[:, 2:] = 7.0
    at = (x, torch.tensor([0.5]), x)
    with torch.no_grad():
        answers = [model(*at, pooled, w, mask) for w in (words, other)]
        guesses = [Prior(64)(pooled, w * 0, mask) for w in (words, other)]
    assert torch.allclose(*answers, atol=1e-5)
    assert guesses[0].shape == (1, 4, 32, 32)


def test_a_resumed_training_equals_an_uninterrupted_one(
    data: dataset.Dataset, tmp_path: Path
) -> None:
    from salon.imaging.models.prior import Prior
    from salon.imaging.training import loop, prior

    def run(folder: Path, stops: list[int]) -> dict[str, Any]:
        for stop in stops:
            torch.manual_seed(0)
            # A constant rate: the cosine depends on the planned number of steps.
            recipe = _recipe("prior", stop, learning_rate=1e-3, warmup_steps=1)
            loss = prior.loss(data, batch=8)
            average, _ = loop.train(Prior(32), loss, recipe, folder)
        return dict(average.named_parameters())

    original = loop.learning_rate
    loop.learning_rate = lambda recipe, progress: 1e-3
    try:
        whole = run(tmp_path / "whole", [12])
        parts = run(tmp_path / "parts", [5, 12])
    finally:
        loop.learning_rate = original
    for name, parameter in whole.items():
        assert torch.allclose(parameter, parts[name], atol=1e-6), name


def test_the_learning_rate_warms_up_and_falls() -> None:
    from salon.imaging.training.loop import Progress, learning_rate

    recipe = _recipe("x", 1000, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(recipe, Progress(step=s)) for s in (0, 9, 500, 1000)]
    assert rates == pytest.approx([0.1, 1.0, 0.51, 0.02], abs=0.01)


def test_the_budget_in_seconds_ends_the_training_too() -> None:
    from salon.imaging.training.loop import Progress

    recipe = _recipe("x", 1 << 60, seconds=10.0)
    assert Progress(step=3, seconds=5.0).share(recipe) == pytest.approx(0.5)
    assert Progress(step=3, seconds=11.0).share(recipe) == 1.0


def test_an_exported_network_answers_like_the_trained_one(tmp_path: Path) -> None:
    """Half precision on disk costs little, and any batch size is accepted."""
    import onnx
    import onnxruntime as ort

    from salon.imaging import export
    from salon.imaging.models.unet import UNet

    torch.manual_seed(0)
    model = UNet((16, 32, 32), condition=64)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    text = {"pooled": (512,), "words": (6, 512), "mask": (6,)}
    patches = (16, 16, 16)
    inputs = {"x": patches, "t": (), "reference": patches, **text}
    path = tmp_path / "unet.onnx"
    with pytest.warns(UserWarning, match="axis name"):
        export.export_network(model, inputs, path)
    assert export.largest_difference(model, inputs, path) < 5e-3
    weights = sum(p.numel() for p in model.parameters())
    stored = sum(len(t.raw_data) for t in onnx.load(path).graph.initializer)
    assert 2.0 * weights <= stored < 2.1 * weights  # the rest of the file is the graph
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    five = {n: np.ones((5, *shape), np.float32) for n, shape in inputs.items()}
    assert session.run(None, five)[0].shape == (5, 16, 16, 16)


def test_an_exported_network_can_be_trained_on(tmp_path: Path) -> None:
    """Its weights come back, also those that the exporter folds and renames."""
    from salon.imaging import export
    from salon.imaging.models.unet import UNet

    torch.manual_seed(1)
    model, again = (UNet((64, 64, 64), condition=64) for _ in range(2))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    text = {"pooled": (512,), "words": (6, 512), "mask": (6,)}
    patches = (16, 16, 16)
    inputs = {"x": patches, "t": (), "reference": patches, **text}
    path = tmp_path / "unet.onnx"
    with pytest.warns(UserWarning, match="axis name"):
        export.export_network(model, inputs, path)
    with pytest.raises(ValueError, match="no fitting weight"):
        export.load_weights(path, UNet((16, 32, 32), condition=64))
    export.load_weights(path, again)
    assert export.largest_difference(again, inputs, path) < 5e-3
