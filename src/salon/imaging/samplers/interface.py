"""One interface for every sampler, and the loop that runs them.

A *sampler* turns answers of the network into the next, less noisy x. It never calls
the network, so the same sampler serves any model, guided or not, numpy or torch::

    for t in sampler.timesteps(n):            # a new run; t falls
        x = sampler.step(model(x, t), t, x).x

Conventions, the same for all seven:

* x is always in the *variance-preserving* scale of DDPM, x_t = sqrt(ab) x_0 +
  sqrt(1 - ab) eps. (Papers that divide by sqrt(ab) do so inside their own file; there
  is no ``scale_model_input`` and no ``init_noise_sigma`` to remember.)
* a run starts from N(0, I) at the first timestep and *ends at the clean picture*: the
  last step goes to alpha_bar = 1, whatever t it starts from, and adds no noise.
* the default spacing is "trailing", which starts at T - 1, where x really is noise.
  "leading", the papers' choice, starts a whole stride below it: with few steps the
  network is told that pure noise is a picture already half seen (Lin et al. 2023,
  arXiv 2305.08891, section 3.3).
* chance comes in as a function, so that the same numbers give the same picture.

Multistep samplers remember earlier answers; ``timesteps`` makes them forget. One
sampler serves one run at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

Array = Any
"""A float numpy array or torch tensor of any shape."""
Noise = Callable[[Array], Array]
"""x -> z ~ N(0, I), of the shape and type of x."""
Predict = Callable[[Array, int], Array]
"""(x_t, t) -> the network's answer: epsilon, v or x_0, as the diffusion is told."""
Spacing = Literal["leading", "trailing", "linspace"]


@dataclass(frozen=True)
class Step:
    """One step done."""

    x: Array
    """x at the next timestep, the input of the next step."""
    x_0: Array
    """The network's guess of the finished picture: the preview."""


class Sampler(Protocol):
    """What :func:`sample` needs of a sampler."""

    def timesteps(self, n: int, skip: int = 0) -> list[int]:
        """Begin a run of n steps; return the t at which the network is asked.

        The first ``skip`` of them are left out: such a run begins with a picture that
        is noised to the first t that is left (SDEdit, see ``pipelines/``). May be one
        more than n - skip where a method warms up (PNDM). Raises ValueError if n is
        not in 1..T or no step is left.
        """

    def step(self, model_output: Array, t: int, x: Array) -> Step:
        """From x at t to the next timestep; call in the order of :meth:`timesteps`."""


def sample(predict: Predict, sampler: Sampler, x: Array, n: int) -> Iterator[Step]:
    """Ask the network at every timestep; yield each step. The last ``x`` is x_0.

    ``x`` is the noise to begin with. The caller may stop between steps.
    """
    for t in sampler.timesteps(n):
        done = sampler.step(predict(x, t), t, x)
        x = done.x
        yield done


def rest(grid: list[int], skip: int) -> list[int]:
    """The grid without its first ``skip``; at least one is left, or ValueError."""
    if not 0 <= skip < len(grid):
        raise ValueError(f"skip must be between 0 and {len(grid) - 1}, got {skip}")
    return grid[skip:]


class Timeline:
    """The timesteps of one run, and what comes after each."""

    def __init__(self, timesteps: Sequence[int]) -> None:
        self.timesteps = list(timesteps)
        self._index = 0

    def advance(self, t: int) -> int:
        """The timestep after t, -1 after the last; t must be the one that is due."""
        due = self.timesteps[self._index] if self._index < len(self.timesteps) else None
        if t != due:
            raise ValueError(
                f"step at t = {t}, but t = {due} is due; call timesteps(n)"
            )
        self._index += 1
        return -1 if self.left == 0 else self.timesteps[self._index]

    @property
    def done(self) -> int:
        """Steps that were advanced over, the present one included."""
        return self._index

    @property
    def left(self) -> int:
        """Steps that come after the present one."""
        return len(self.timesteps) - self._index


def spaced(total: int, n: int, spacing: str = "trailing", offset: int = 0) -> list[int]:
    """Make n falling timesteps out of 0..total - 1 (Lin et al. 2023, table 2).

    leading: multiples of total // n, plus ``offset``; linspace: both ends included;
    trailing: the last step and every (total / n)-th before it.

    Raises:
        ValueError: n is not in 1..total, or the spacing is unknown, or ``offset``
            leads beyond the chain.
    """
    if not 1 <= n <= total:
        raise ValueError(f"steps must be between 1 and {total}, got {n}")
    if spacing == "leading":
        grid = np.arange(n, dtype=float)[::-1] * (total // n) + offset
    elif spacing == "linspace":
        grid = np.linspace(0, total - 1, n).round()[::-1]
    elif spacing == "trailing":
        grid = (total - np.arange(n) * (total / n)).round() - 1
    else:
        known = ", ".join(get_args(Spacing))
        raise ValueError(f"spacing: {spacing!r} is unknown; one of {known}")
    result = [int(t) for t in grid]
    if result[0] >= total:
        raise ValueError(f"offset {offset} leads beyond the last step, {total - 1}")
    return result


def numpy_noise(rng: np.random.Generator) -> Noise:
    """Noise for numpy arrays."""
    return lambda x: rng.standard_normal(x.shape).astype(x.dtype)
