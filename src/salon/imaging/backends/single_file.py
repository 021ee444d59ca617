"""One ``.safetensors`` file with everything, as Stable Diffusions are passed around.

diffusers can load one where it has a folder of the family's configuration and
tokenizers, which it would fetch. Here that folder is written for the moment of loading
(``family.py``), from the file's table of contents alone (``layout.py``). A folder of
the file's name beside the file is used instead where there is one: for files that are
built in their own way.

What was trained on v and what on epsilon has the same shapes. In order: what the
file's metadata say (ModelSpec), what a marker tensor says (XL), and for version 2 the
deviation of one bias, by which ComfyUI tells them apart too: above 0.09 it is v.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salon.imaging.backends import family
from salon.imaging.backends.checkpoint import INDEX, read_json
from salon.imaging.backends.layout import UNET, Layout
from salon.imaging.card import ModelUnusable

_TELLTALE = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
_TELLTALE_DEVIATION = 0.09
_SAID = "modelspec.prediction_type"
_DAMAGED = "It is damaged, or built in a way that Salon does not know"


@dataclass(frozen=True)
class Contents:
    """A file's table of contents: the shapes, and what its author wrote."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> Contents:
        """Read it; no weights are. Raises ModelUnusable."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="np") as file:
                names = list(file.keys())
                shapes = {n: tuple(file.get_slice(n).get_shape()) for n in names}
                return cls(shapes, file.metadata() or {})
        except (OSError, SafetensorError) as error:
            raise ModelUnusable(
                f"{path.name} is no complete safetensors file: {error}"
            ) from error


def check(path: Path) -> None:
    """Whether the file can be loaded, as far as its table of contents shows.

    Raises:
        ModelUnusable: no; says what was found and what to do.
    """
    if not _beside(path).is_dir():
        _layout(path, Contents.of(path))


def load(path: Path, dtype: Any) -> Any:
    """A pipeline of diffusers. Raises ModelUnusable, and what diffusers raises.

    Args:
        path: the file.
        dtype: torch's type for the weights, whatever the file has.
    """
    if _beside(path).is_dir():
        return _loaded(path, _beside(path), dtype)
    contents = Contents.of(path)
    layout = _layout(path, contents)
    v_prediction = _is_v(path, contents, layout)
    with tempfile.TemporaryDirectory(prefix="salon-model-") as folder:
        family.write(layout, Path(folder), v_prediction=v_prediction)
        return _loaded(path, Path(folder), dtype)


def _beside(path: Path) -> Path:
    return path.with_suffix("")


def _layout(path: Path, contents: Contents) -> Layout:
    try:
        return Layout.of(contents.shapes)
    except ModelUnusable as error:
        raise ModelUnusable(f"{path.name} cannot be used: {error}") from error


def _loaded(path: Path, config: Path, dtype: Any) -> Any:
    import diffusers

    name = str(read_json(config / INDEX).get("_class_name", ""))
    kind: Any = getattr(diffusers, name, None)
    if not hasattr(kind, "from_single_file"):
        raise ModelUnusable(
            f"{config.name}/{INDEX} names the class {name!r}, which diffusers does not "
            "read from a single file; name a diffusers folder"
        )
    no_checker = {"safety_checker": None} if "XL" not in name else {}
    try:
        pipe = kind.from_single_file(
            str(path),
            config=str(config),
            local_files_only=True,
            dtype=dtype,
            **no_checker,
        )
    except NotImplementedError as error:  # torch's, of a weight without a value
        raise ModelUnusable(f"{path.name} lacks weights. {_DAMAGED}") from error
    _check_whole(path, pipe)
    return pipe


def _check_whole(path: Path, pipe: Any) -> None:
    """What diffusers and transformers do not find they may leave without a value."""
    for part, module in pipe.components.items():
        named = getattr(module, "named_parameters", list)
        missing = [name for name, value in named() if value.is_meta]
        if missing:
            raise ModelUnusable(
                f"{path.name} lacks weights of its {part}, such as {missing[0]}. "
                f"{_DAMAGED}"
            )


def _is_v(path: Path, contents: Contents, layout: Layout) -> bool:
    said = contents.metadata.get(_SAID, "").lower()
    if said in ("v", "v_prediction", "epsilon"):
        return said != "epsilon"
    if layout.v_prediction:
        return True
    inpainting = layout.unet.in_channels != layout.unet.out_channels
    if layout.family != "2" or inpainting or _TELLTALE not in contents.shapes:
        return False
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        bias = file.get_tensor(_TELLTALE).float()
    return bool(bias.std(correction=0) > _TELLTALE_DEVIATION)
