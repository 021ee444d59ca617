"""Training a DDPM: L_simple, on any folder of pictures, resumable to the bit.

Algorithm 1 of Ho, Jain & Abbeel 2020 (arXiv 2006.11239), equation 14::

    repeat
        x_0 ~ the pictures;  t ~ Uniform({0 .. T-1});  eps ~ N(0, I)
        descend along grad || eps - eps_theta(sqrt(ab_t) x_0 + sqrt(1-ab_t) eps, t) ||^2

with the paper's Adam at 2e-4 after a linear warm-up, gradients clipped to norm 1, and a
moving average (EMA) of the weights, which is what one samples from: single weights
jitter with every batch, and colours shift with them.

What "to the bit" takes
-----------------------
A training stopped after n steps and resumed must be the training that was never
stopped. So the checkpoint holds everything that step n + 1 depends on: weights, their
average, both moments of Adam, the state of the generator that draws order, flips, t and
eps (numpy's, as JSON), and torch's own, which draws the dropout. The order of pictures
is a function of (seed, epoch), so that the place in it is one number. The learning rate
depends on the step alone, not on how many are planned. And the recipe itself is in the
checkpoint: resuming with another one is refused.

Stopping happens between steps (``stop``), never in one.
"""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn import functional as F

from salon.errors import Error
from salon.imaging import plots
from salon.imaging.data.folder import PictureFolder
from salon.imaging.diffusion.sheet import sheet
from salon.imaging.models import ddpm_folder
from salon.imaging.models.ddpm_folder import DDPM, Process
from salon.imaging.models.ddpm_unet import SIZES, DDPMUNet, UNetConfig
from salon.imaging.training import checkpoint

CHECKPOINT = "ddpm.safetensors"
_CURVE_EVERY = 20
"""Steps that make up one point of the loss curve."""


@dataclass(frozen=True)
class Recipe:
    """What decides the result; two trainings with equal recipes are equal."""

    image_size: int
    """Side of the pictures, in pixels."""
    batch: int = 32
    learning_rate: float = 2e-4
    warmup: int = 500
    """Steps over which the learning rate grows to its full height."""
    ema: float = 0.999
    """Share of the average that is kept at each step (paper: 0.9999, for 800,000)."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    dropout: float = 0.1
    size: str = "small"
    """One of ``models/ddpm_unet.py::SIZES``."""
    process: Process = field(default_factory=Process)
    flip: bool = False
    """Mirror every second picture; wrong for letters, arrows, clocks."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: mixed precision; weights, their average and Adam stay float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "batch": (1, 4096),
            "learning_rate": (1e-8, 1.0),
            "warmup": (0, 1_000_000),
            "ema": (0.0, 0.999999),
            "clip": (1e-6, 1e6),
            "dropout": (0.0, 0.9),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: must be {low} to {high}, got {value}")
        if self.size not in SIZES:
            known = ", ".join(SIZES)
            raise ValueError(f"size: {self.size!r} is unknown; one of {known}")
        _ = self.shape  # both raise where their parts contradict each other
        self.process.diffusion()

    @property
    def shape(self) -> UNetConfig:
        """Of the network."""
        return UNetConfig(self.image_size, SIZES[self.size], self.dropout)

    def network(self) -> DDPMUNet:
        """A new network; its weights depend on the seed only."""
        torch.manual_seed(self.seed)
        return DDPMUNet(self.shape)

    def differences(self, other: Recipe) -> list[str]:
        """Names of the fields in which two recipes differ."""
        mine, theirs = asdict(self), asdict(other)
        return [f.name for f in fields(self) if mine[f.name] != theirs[f.name]]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The inverse of ``dataclasses.asdict``."""
        return cls(**{**values, "process": Process(**values["process"])})


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


class CannotSave(Error):
    """The disk is full or not writable; the checkpoint before is still whole."""


class CannotResume(Error):
    """The checkpoint is damaged, missing, or of another recipe."""


class Diverged(Error):
    """The loss is no number any more; the checkpoint before is still whole."""


class Trainer:
    """One training in one folder: ``ddpm.safetensors``, ``model/``, sheets, loss.png.

    Args:
        recipe: see :class:`Recipe`.
        data: pictures of side ``recipe.image_size``.
        out: where to write.
        device: "cpu" or "cuda".
    """

    def __init__(
        self, recipe: Recipe, data: PictureFolder, out: Path, device: str = "cpu"
    ) -> None:
        self.recipe, self.data, self.out = recipe, data, out
        self.progress = Progress()
        self._device = torch.device(device)
        self._diffusion = recipe.process.diffusion()
        self._model = recipe.network().to(self._device)
        self._average = copy.deepcopy(self._model).requires_grad_(False).eval()
        self._optimiser = torch.optim.Adam(
            self._model.parameters(), lr=recipe.learning_rate, fused=True
        )
        self._rng = np.random.default_rng(recipe.seed)
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

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
        """One line of algorithm 1."""
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

    def _loss(self) -> torch.Tensor:
        """L_simple of the next batch, equation 14."""
        x_0 = torch.from_numpy(self._batch()).to(self._device)
        t = self._rng.integers(0, self._diffusion.steps, len(x_0))
        drawn = self._rng.standard_normal(x_0.shape, np.float32)
        eps = torch.from_numpy(drawn).to(self._device)
        x_t = self._diffusion.q_sample(x_0, t, eps)
        target = self._diffusion.target(x_0, t, eps)
        mixed = self.recipe.precision == "bfloat16"
        self._model.train()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=mixed):
            answer = self._model(x_t, torch.from_numpy(t).to(self._device))
        return F.mse_loss(answer.float(), target)

    def _batch(self) -> NDArray[np.float32]:
        """The next pictures; epochs follow each other without a gap."""
        n, first = len(self.data), self.progress.step * self.recipe.batch
        places = range(first, first + self.recipe.batch)
        chosen = np.array([self._order(p // n)[p % n] for p in places])
        x_0 = self.data.batch(chosen)
        if self.recipe.flip:
            mirrored = self._rng.random(len(x_0)) < 0.5
            x_0[mirrored] = x_0[mirrored, :, :, ::-1]
        return x_0

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The order of pictures in an epoch: a function of seed and epoch."""
        if self._epoch[0] != epoch:
            rng = np.random.default_rng((self.recipe.seed, epoch))
            self._epoch = (epoch, rng.permutation(len(self.data)))
        return self._epoch[1]

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
        path = self.out / CHECKPOINT
        state = asdict(self.progress) | {
            "recipe": asdict(self.recipe),
            "pictures": self.data.digest,
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

    def _save_model(self) -> None:
        card = {
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "loss": self.progress.loss,
            "pictures": len(self.data),
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "recipe": asdict(self.recipe),
        }
        ddpm_folder.save(self.out / "model", self._average, self.recipe.process, card)

    def _save_plot(self) -> None:
        if self.progress.curve:
            target = self.out / "loss.png"
            part = target.with_suffix(".part")
            plot = plots.loss_curves({"L_simple": self.progress.curve})
            plot.save(part, format="PNG")
            part.replace(target)

    def sample(self, plan: Plan) -> None:
        """Write ``samples/step-000123.png`` with the same noise at every step.

        Uses no chance of the training. Raises CannotSave.
        """
        seeds = [(self.recipe.seed, i) for i in range(plan.samples)]
        ddpm = DDPM(self._average, self.recipe.process, {})
        *_, pictures = ddpm.draw(seeds, "dpm++", plan.sample_steps)
        target = self.out / "samples" / f"step-{self.progress.step:06}.png"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            sheet(pictures).save(target)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise CannotSave(f"{target} cannot be written: {error.strerror}") from error

    def resume(self) -> None:
        """Continue from the checkpoint in ``out``.

        Raises:
            CannotResume: there is none, it is damaged, or recipe or data differ.
        """
        path = self.out / CHECKPOINT
        stored = stored_recipe(self.out)
        different = stored.differences(self.recipe)
        if different:
            raise CannotResume(
                f"the training in {self.out} was begun with another "
                f"{', '.join(different)}; leave it out, or choose another folder"
            )
        try:
            state = checkpoint.load(path, self._model, self._average, self._optimiser)
            if state["pictures"] != self.data.digest:
                raise CannotResume(
                    f"the training in {self.out} was begun with other pictures (names "
                    "or sizes of files differ); restore the folder, or begin anew"
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


def stored_recipe(out: Path) -> Recipe:
    """The recipe of the training in a folder. Raises CannotResume."""
    path = out / CHECKPOINT
    if not path.exists():
        raise CannotResume(f"{out} holds no training to resume ({CHECKPOINT})")
    try:
        return Recipe.from_dict(checkpoint.progress_of(path)["recipe"])
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CannotResume(f"{path} is damaged: {error}") from error


def _packed(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _unpacked(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).copy())
