"""The samplers by the names that people type."""

from __future__ import annotations

from collections.abc import Callable

from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers.ancestral import Ancestral
from salon.imaging.samplers.ddim import DDIM
from salon.imaging.samplers.dpm_solver import DPMSolver
from salon.imaging.samplers.euler import Euler
from salon.imaging.samplers.interface import Noise, Sampler, Spacing
from salon.imaging.samplers.lcm import LCM
from salon.imaging.samplers.pndm import PNDM
from salon.imaging.samplers.unipc import UniPC

SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "ddpm": Ancestral,
    "ddpm-large": lambda d, z, **grid: Ancestral(d, z, variance="beta", **grid),
    "ddim": lambda d, _, **grid: DDIM(d, **grid),
    "pndm": lambda d, _, **grid: PNDM(d, **grid),
    "euler": lambda d, _, **grid: Euler(d, **grid),
    "dpm++": lambda d, _, **grid: DPMSolver(d, **grid),
    "unipc": lambda d, _, **grid: UniPC(d, **grid),
    "lcm": lambda d, z, **_: LCM(d, z),  # its timesteps are those it was distilled on
}


def make(
    name: str,
    diffusion: GaussianDiffusion,
    noise: Noise,
    spacing: Spacing | None = None,
    offset: int = 0,
) -> Sampler:
    """The sampler of that name with its default options.

    Args:
        name: a key of ``SAMPLERS``.
        diffusion: the schedule and what the network predicts.
        noise: where fresh noise comes from.
        spacing: which timesteps; None leaves it to the sampler.
        offset: added to the timesteps of the spacing "leading".

    Raises:
        ValueError: the name is unknown, or the sampler cannot work on this schedule.
    """
    if name not in SAMPLERS:
        raise ValueError(f"sampler: {name!r} is unknown; one of {', '.join(SAMPLERS)}")
    grid = {} if spacing is None else {"spacing": spacing, "offset": offset}
    return SAMPLERS[name](diffusion, noise, **grid)


def usable(diffusion: GaussianDiffusion) -> tuple[str, ...]:
    """Names of the samplers that can work on this schedule."""

    def works(name: str) -> bool:
        try:
            make(name, diffusion, lambda x: x)
        except ValueError:
            return False
        return True

    return tuple(name for name in SAMPLERS if works(name))
