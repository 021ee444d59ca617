"""The samplers by the names that people type."""

from __future__ import annotations

from collections.abc import Callable

from salon.imaging.diffusion.ddpm import GaussianDiffusion
from salon.imaging.samplers.ancestral import Ancestral
from salon.imaging.samplers.ddim import DDIM
from salon.imaging.samplers.dpm_solver import DPMSolver
from salon.imaging.samplers.euler import Euler
from salon.imaging.samplers.interface import Noise, Sampler
from salon.imaging.samplers.lcm import LCM
from salon.imaging.samplers.pndm import PNDM
from salon.imaging.samplers.unipc import UniPC

SAMPLERS: dict[str, Callable[[GaussianDiffusion, Noise], Sampler]] = {
    "ddpm": Ancestral,
    "ddpm-large": lambda d, z: Ancestral(d, z, variance="beta"),
    "ddim": lambda d, _: DDIM(d),
    "pndm": lambda d, _: PNDM(d),
    "euler": lambda d, _: Euler(d),
    "dpm++": lambda d, _: DPMSolver(d),
    "unipc": lambda d, _: UniPC(d),
    "lcm": LCM,
}


def make(name: str, diffusion: GaussianDiffusion, noise: Noise) -> Sampler:
    """The sampler of that name with its default options.

    Raises:
        ValueError: the name is unknown, or the sampler cannot work on this schedule.
    """
    if name not in SAMPLERS:
        raise ValueError(f"sampler: {name!r} is unknown; one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name](diffusion, noise)
