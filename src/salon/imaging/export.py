"""From trained PyTorch networks to the model folder that the runtime reads.

Each network becomes one ONNX file with its weights as half-precision initialisers,
each followed by a Cast to single precision. ONNX Runtime folds the casts when it
loads, so the arithmetic is single precision and the file half the size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from salon.imaging import modelcard
from salon.imaging.card import CARD, fingerprint
from salon.imaging.concepts import Concepts
from salon.imaging.models.contrastive import SIDE as JUDGE_SIDE
from salon.imaging.models.contrastive import Judge
from salon.imaging.models.mobilenet import load_mobilenet
from salon.imaging.models.prior import Prior
from salon.imaging.models.unet import UNet
from salon.imaging.models.upscaler import Upscaler
from salon.imaging.text import MAX_WORDS, TEXT_WIDTH, Whitening
from salon.imaging.training import checkpoint

OPSET = 18
_MIN_HALF = 64
"""Initialisers with fewer numbers stay as they are (constants, small biases)."""


@dataclass(frozen=True)
class _Part:
    name: str
    model: nn.Module
    inputs: dict[str, tuple[int, ...]]


def _parts() -> list[_Part]:
    text: dict[str, tuple[int, ...]] = {
        "pooled": (TEXT_WIDTH,),
        "words": (MAX_WORDS, TEXT_WIDTH),
        "mask": (MAX_WORDS,),
    }
    patches = (16, 16, 16)
    return [
        _Part("prior", Prior(), text),
        _Part("unet", UNet(), {"x": patches, "t": (), "reference": patches, **text}),
        _Part("upscaler", Upscaler(), {"canvas": (4, 32, 32)}),
    ]


def export(
    training: Path,
    target: Path,
    whitening: Whitening,
    concepts: Concepts,
    facts: dict[str, Any],
) -> None:
    """Write ``*.onnx``, ``text.npz``, ``concepts.npz`` and ``model.json`` and its page into ``target``.

    ``training`` holds the three checkpoints; ``facts`` are the card's other fields
    (name, version, defaults, data, licences, metrics).
    """
    target.mkdir(parents=True, exist_ok=True)
    trained = {}
    for part in _parts():
        path = _checkpoint_of(training, part.name)
        progress = checkpoint.load_average(path, part.model)
        trained[path.stem] = {
            "parameters": sum(p.numel() for p in part.model.parameters()),
            "steps": progress["step"],
            "seconds": round(progress["seconds"]),
        }
        export_network(part.model, part.inputs, target / f"{part.name}.onnx")
    if "polish" in trained:
        before = checkpoint.progress_of(training / "upscaler.safetensors")
        trained["upscaler"] = {
            "parameters": trained["polish"]["parameters"],
            "steps": before["step"],
            "seconds": round(before["seconds"]),
        }
    whitening.save(target / "text.npz")
    concepts.save(target / "concepts.npz")
    names = [f"{part.name}.onnx" for part in _parts()] + ["text.npz", "concepts.npz"]
    card = {
        **facts,
        "training": {**facts.get("training", {}), **trained},
        "files": {name: fingerprint(target / name) for name in names},
    }
    text = json.dumps(card, ensure_ascii=False, indent=2)
    (target / CARD).write_text(text + "\n", "utf-8")
    (target / "MODEL_CARD.md").write_text(modelcard.render(card), "utf-8")


def _checkpoint_of(training: Path, name: str) -> Path:
    """The upscaler's last minutes go into a checkpoint of their own."""
    polished = training / "polish.safetensors"
    if name == "upscaler" and polished.exists():
        return polished
    return training / f"{name}.safetensors"


def export_judge(training: Path, target: Path, exam: dict[str, Any]) -> None:
    """Write ``judge.onnx``, ``judge.npz`` and ``judge.json`` of a trained judge.

    ``exam`` is what it scored (``training/contrastive.py``); the directions of its
    labels are kept in half precision.
    """
    arrays = dict(np.load(training / "judge-labels.npz", allow_pickle=False))
    model = Judge(len(arrays["labels"]))
    checkpoint.load_average(training / "judge.safetensors", model)
    target.mkdir(parents=True, exist_ok=True)
    image: dict[str, tuple[int, ...]] = {"image": (3, JUDGE_SIDE, JUDGE_SIDE)}
    export_network(model.tower.eval(), image, target / "judge.onnx")
    with torch.no_grad():
        directions = model.directions(torch.from_numpy(arrays["vectors"])).numpy()
    np.savez(
        target / "judge.npz",
        labels=arrays["labels"],
        directions=directions.astype(np.float16),
    )
    facts = {**exam, "side": JUDGE_SIDE, "parameters": _count(model.tower)}
    (target / "judge.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def export_features(weights: Path, path: Path) -> None:
    """Write MobileNetV2 as the classifier that the evaluation looks with."""
    export_network(load_mobilenet(weights), {"image": (3, 128, 128)}, path)


def export_network(
    model: nn.Module, inputs: dict[str, tuple[int, ...]], path: Path
) -> None:
    """Write one network; ``inputs`` are the shapes without the batch dimension."""
    example = {name: torch.rand(2, *shape) for name, shape in inputs.items()}
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.onnx.export(
        model.eval(),
        (),
        kwargs=example,
        dynamic_shapes={name: {0: batch} for name in inputs},
        input_names=list(inputs),
        output_names=["canvas_out" if "canvas" in inputs else "x0"],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    graph = program.model_proto
    halve(graph)
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString())


def halve(model: onnx.ModelProto) -> None:
    """Store float32 initialisers as float16 followed by a Cast, in place."""
    casts = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or array.size < _MIN_HALF:
            continue
        name, half = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    known = {value for node in casts for value in node.output}
    kept = [v for v in model.graph.value_info if v.name not in known]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill a network with the weights of its exported file, to train on from there.

    The exporter folds what it reshapes or transposes (the norms, the maps of the
    text) into constants without their names, in the order of use, which is that of
    the network's parameters; those are taken in turn.

    Raises ``ValueError`` where the file lacks a weight or has another shape.
    """
    graph = onnx.load(str(path)).graph
    tensors = {
        tensor.name.removesuffix("_half"): numpy_helper.to_array(tensor)
        for tensor in graph.initializer
    }
    known = dict(model.named_parameters())
    nameless = iter(
        value
        for name, value in tensors.items()
        if name not in known and name.startswith("val_") and value.size >= _MIN_HALF
    )
    with torch.no_grad():
        for name, parameter in known.items():
            found = tensors[name] if name in tensors else next(nameless, np.empty(0))
            if found.size != parameter.numel():
                raise ValueError(f"{path} has no fitting weight {name}")
            if name not in tensors and parameter.dim() == 2:
                found = found.T
            shaped = found.reshape(tuple(parameter.shape)).astype(np.float32)
            parameter.copy_(torch.from_numpy(shaped))


def largest_difference(
    model: nn.Module, inputs: dict[str, tuple[int, ...]], path: Path
) -> float:
    """Largest gap between PyTorch's answer and ONNX Runtime's on random input."""
    import onnxruntime as ort

    example = {name: torch.rand(1, *shape) for name, shape in inputs.items()}
    with torch.no_grad():
        expected: Tensor = model.eval()(**example)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {k: v.numpy() for k, v in example.items()})
    return float(np.abs(found - expected.numpy()).max())
