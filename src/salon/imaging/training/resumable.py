"""A training that can be stopped and go on to the bit: what all of them share.

A kind of training (``ddpm.py``, ``autoencoder.py``, ``text_to_image.py``) says what its
network, its loss, its sheet and its model folder are. All else is here: the optimiser's
step with warm-up and clipped gradients, the moving average (EMA) of the weights, which
is what one uses in the end (single weights jitter with every batch), the loss curve,
the checkpoint, and the end between two steps (``stop``), never in one.

What "to the bit" takes
-----------------------
A training stopped after n steps and resumed must be the training that was never
stopped. So the checkpoint holds everything that step n + 1 depends on: weights, their
average, both moments of Adam, the state of the generator that draws flips, t and eps
(numpy's, as JSON), and torch's own, which draws the dropout. The order of the data is a
function of (seed, epoch), so that the place in it is one number. The learning rate
depends on the step alone, not on how many are planned. And the recipe itself is in the
checkpoint, with a digest of the data: resuming with others is refused.
"""

from __future__ import annotations

import base64
import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from salon.errors import Error
from salon.imaging import plots
from salon.imaging.training import checkpoint

_CURVE_EVERY = 20
"""Steps that make up one point of the loss curve."""


class CannotSave(Error):
    """The disk is full or not writable; the checkpoint before is still whole."""


class CannotResume(Error):
    """The checkpoint is damaged, missing, or of another recipe."""


class Diverged(Error):
    """The loss is no number any more; the checkpoint before is still whole."""


@dataclass(frozen=True, kw_only=True)
class BaseRecipe:
    """What decides the result; two trainings with equal recipes are equal.

    Raises:
        ValueError: a value is out of range; says which and the range.
    """

    batch: int = 32
    learning_rate: float = 2e-4
    warmup: int = 500
    """Steps over which the learning rate grows to its full height."""
    ema: float = 0.999
    """Share of the average that is kept at each step."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: mixed precision; weights, their average and Adam stay float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in self.bounds().items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: must be {low} to {high}, got {value}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(
                f"precision: {self.precision!r} is unknown; one of float32, bfloat16"
            )

    def bounds(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest value of each number."""
        return {
            "batch": (1, 4096),
            "learning_rate": (1e-8, 1.0),
            "warmup": (0, 1_000_000),
            "ema": (0.0, 0.999999),
            "clip": (1e-6, 1e6),
            "seed": (0, 2**63 - 1),
        }

    def differences(self, other: BaseRecipe) -> list[str]:
        """Names of the fields in which two recipes differ."""
        mine, theirs = asdict(self), asdict(other)
        return [f.name for f in fields(self) if mine[f.name] != theirs[f.name]]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of ``dataclasses.asdict``."""
        return cls(**values)


@dataclass(frozen=True)
class Plan:
    """How long to train and what to write on the way; free to change on resuming."""

    steps: int
    """In all, the ones before a resume included."""
    save_every: float = 120.0
    """Seconds between checkpoints."""
    sample_every: int = 1000
    """Steps between sample sheets; 0 for none."""
    sample_steps: int = 25
    """Of DPM-Solver++, for the sheets."""
    samples: int = 16


@dataclass
class Progress:
    """Where a training stands."""

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, seconds, mean loss of the 20 steps before) points."""
    recent: list[float] = field(default_factory=list)
    """Losses that are not yet in the curve."""

    @property
    def loss(self) -> float:
        """Mean of the newest losses; NaN before the first step."""
        if self.recent:
            return sum(self.recent) / len(self.recent)
        return self.curve[-1][2] if self.curve else float("nan")


R = TypeVar("R", bound=BaseRecipe)


class BaseTrainer(ABC, Generic[R]):
    """One training in one folder: checkpoint, ``model/``, sheets, loss.png.

    Args:
        recipe: see :class:`BaseRecipe`.
        model: what is trained, on its device; parameters that ask for no gradient
            stay as they are.
        out: where to write.
        device: "cpu" or "cuda".
        count: how many things an epoch has.
        digest: of the data; another one is another training.
    """

    CHECKPOINT: ClassVar[str]
    """The file's name; each kind has its own."""
    LOSS: ClassVar[str]
    """What the curve is of."""

    def __init__(
        self,
        recipe: R,
        model: nn.Module,
        out: Path,
        device: str,
        *,
        count: int,
        digest: str,
    ) -> None:
        self.recipe, self.out = recipe, out
        self.progress = Progress()
        self._device = torch.device(device)
        self._count, self._digest = count, digest
        self._model = model
        self._average = copy.deepcopy(model).requires_grad_(False).eval()
        self._optimiser = self.optimiser([p for p in model.parameters() if _learns(p)])
        self._rng = np.random.default_rng(recipe.seed)
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    # --- what each kind says -----------------------------------------------------

    @abstractmethod
    def _loss(self) -> Tensor:
        """Of the next batch."""

    @abstractmethod
    def _save_model(self) -> None:
        """Write ``model/``, from the average. Raises OSError or SafetensorError."""

    @abstractmethod
    def sheet(self, plan: Plan) -> Image.Image:
        """What people look at; uses no chance of the training."""

    def optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam (Kingma & Ba 2015)."""
        return torch.optim.Adam(parameters, lr=self.recipe.learning_rate, fused=True)

    # --- the loop ----------------------------------------------------------------

    def run(
        self,
        plan: Plan,
        watch: Callable[[Progress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train until ``plan.steps`` or until ``stop`` says so; save at the end.

        Raises:
            CannotSave: a checkpoint could not be written; training has stopped.
            Diverged: the loss is not finite.
        """
        saved = time.monotonic()
        while self.progress.step < plan.steps and not stop():
            self.step()
            watch(self.progress)
            if plan.sample_every and self.progress.step % plan.sample_every == 0:
                self.sample(plan)
            if time.monotonic() - saved >= plan.save_every:
                self.save()
                saved = time.monotonic()
        self.save()

    def step(self) -> None:
        """One batch, one step of the optimiser, one of the average."""
        begun = time.perf_counter()
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate()
        loss = self._loss()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise Diverged(
                f"the loss is {value} at step {self.progress.step}: begin again with a "
                f"lower learning rate than {self.recipe.learning_rate:g}"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self.recipe.clip)
        self._optimiser.step()
        self._follow()
        self._note(value, time.perf_counter() - begun)

    def learning_rate(self) -> float:
        """Linear warm-up, then constant, by the step alone."""
        warm = (self.progress.step + 1) / (self.recipe.warmup + 1)
        return self.recipe.learning_rate * min(1.0, warm)

    def _places(self) -> NDArray[np.int64]:
        """Which things are next, (batch,); epochs follow each other without a gap."""
        n, first = self._count, self.progress.step * self.recipe.batch
        places = range(first, first + self.recipe.batch)
        return np.array([self._order(p // n)[p % n] for p in places])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The order of things in an epoch: a function of seed and epoch."""
        if self._epoch[0] != epoch:
            rng = np.random.default_rng((self.recipe.seed, epoch))
            self._epoch = (epoch, rng.permutation(self._count))
        return self._epoch[1]

    def _noise(self, like: Tensor) -> Tensor:
        """Fresh N(0, I) of that shape, from the training's own generator."""
        drawn = self._rng.standard_normal(like.shape, np.float32)
        return torch.from_numpy(drawn).to(self._device)

    def _mixed(self) -> torch.autocast:
        """The precision of the recipe, around the network's forward pass."""
        mixed = self.recipe.precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=mixed)

    def _follow(self) -> None:
        """Move the average; early on faster, or it would remember the random start."""
        step = self.progress.step
        keep = min(self.recipe.ema, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._average.parameters()),
                list(self._model.parameters()),
                1.0 - keep,
            )

    def _note(self, loss: float, seconds: float) -> None:
        progress = self.progress
        progress.step += 1
        progress.seconds += seconds
        progress.recent.append(loss)
        if progress.step % _CURVE_EVERY == 0:
            progress.curve.append((progress.step, progress.seconds, progress.loss))
            progress.recent = []

    # --- the disk ----------------------------------------------------------------

    def save(self) -> None:
        """Checkpoint, model folder and loss.png; each written aside and renamed.

        Raises:
            CannotSave: what could not be written; earlier files are untouched.
        """
        path = self.out / self.CHECKPOINT
        state = asdict(self.progress) | {
            "recipe": asdict(self.recipe),
            "pictures": self._digest,
            "numpy_rng": self._rng.bit_generator.state,
            "torch_rng": _packed(torch.get_rng_state()),
        }
        if self._device.type == "cuda":
            state["cuda_rng"] = _packed(torch.cuda.get_rng_state(self._device))
        try:
            checkpoint.save(path, self._model, self._average, self._optimiser, state)
            self._save_model()
            self._save_plot()
        except (OSError, SafetensorError) as error:
            path.with_suffix(".part").unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise CannotSave(
                f"step {self.progress.step} cannot be saved in {self.out}: {reason}. "
                "The files of the last save are whole; make room and resume"
            ) from error

    def card(self) -> dict[str, Any]:
        """How the model came to be, for ``card.json``."""
        return {
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "loss": self.progress.loss,
            "pictures": self._count,
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "recipe": asdict(self.recipe),
        }

    def _save_plot(self) -> None:
        if self.progress.curve:
            target = self.out / "loss.png"
            part = target.with_suffix(".part")
            plot = plots.loss_curves({self.LOSS: self.progress.curve})
            plot.save(part, format="PNG")
            part.replace(target)

    def sample(self, plan: Plan) -> None:
        """Write :meth:`sheet` to ``samples/step-000123.png``. Raises CannotSave."""
        image = self.sheet(plan)
        target = self.out / "samples" / f"step-{self.progress.step:06}.png"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise CannotSave(f"{target} cannot be written: {error.strerror}") from error

    def resume(self) -> None:
        """Continue from the checkpoint in ``out``.

        Raises:
            CannotResume: there is none, it is damaged, or recipe or data differ.
        """
        path = self.out / self.CHECKPOINT
        different = stored(path, type(self.recipe)).differences(self.recipe)
        if different:
            raise CannotResume(
                f"the training in {self.out} was begun with another "
                f"{', '.join(different)}; leave it out, or choose another folder"
            )
        try:
            state = checkpoint.load(path, self._model, self._average, self._optimiser)
            if state["pictures"] != self._digest:
                raise CannotResume(
                    f"the training in {self.out} was begun with other pictures or "
                    "captions (names, sizes or words differ); restore the folder, or "
                    "begin anew"
                )
            self._restore(state)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise CannotResume(f"{path} is damaged: {error}") from error

    def _restore(self, state: dict[str, Any]) -> None:
        for parameter, moments in self._optimiser.state.items():
            for name, value in moments.items():
                moments[name] = value.to(parameter.device)
        self.progress = Progress(
            state["step"],
            state["seconds"],
            [(int(s), float(at), float(loss)) for s, at, loss in state["curve"]],
            state["recent"],
        )
        self._rng.bit_generator.state = state["numpy_rng"]
        torch.set_rng_state(_unpacked(state["torch_rng"]))
        if self._device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(_unpacked(state["cuda_rng"]), self._device)


def stored(path: Path, kind: type[R]) -> R:
    """The recipe in a checkpoint. Raises CannotResume."""
    if not path.exists():
        raise CannotResume(f"{path.parent} holds no training to resume ({path.name})")
    try:
        return kind.from_dict(checkpoint.progress_of(path)["recipe"])
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CannotResume(f"{path} is damaged: {error}") from error


def _learns(parameter: nn.Parameter) -> bool:
    return bool(parameter.requires_grad)


def _packed(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _unpacked(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).copy())
