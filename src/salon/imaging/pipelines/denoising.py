"""The one loop behind text to image, image to image and inpainting.

Theory of operation
-------------------
All three go down the same chain of less and less noise; they differ in where they
begin and in what is known beforehand.

*Text to image* begins at the top with noise. *Image to image* (SDEdit, Meng et al.
2022, arXiv 2108.01073) leaves out the first ``skip`` steps and begins with the picture,
noised to the level that is then due: x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps. Little
noise keeps much of the picture.

*Inpainting* knows the picture outside of the mask. The classic way (RePaint, Lugmayr
et al. 2022, arXiv 2201.09865, eq. 8; Stable Diffusion's "legacy" pipeline) puts the
original, noised again to the level that is due, into x after every step. A sampler that
remembers earlier answers (DPM-Solver++, UniPC, PNDM) knows nothing of that and goes on
with what it remembers. So the original is put into the *answer* instead: of the x_0 the
network sees in x_t, the known part is replaced by the known. The flow then carries the
known region along x_t = sqrt(ab) x_0 + sqrt(1 - ab) eps with the eps it began with, for
deterministic samplers exactly the re-noised original at every step (a test compares
both ways), and what a sampler remembers is right.

Arrays are numpy's or torch's alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from salon.imaging.diffusion.ddpm import Array, GaussianDiffusion
from salon.imaging.samplers.interface import Predict, Sampler, Step


@dataclass(frozen=True)
class Known:
    """What is there already, in inpainting."""

    picture: Array
    """x_0 of the original, (B or 1, C, H, W)."""
    repaint: Array
    """1 where it is drawn anew, 0 where it is kept; multiplies x."""

    def put_into(self, x: Array, noised: Array) -> Array:
        """The one where it is drawn anew, ``noised`` elsewhere."""
        return self.repaint * x + (1.0 - self.repaint) * noised


def denoise(
    predict: Predict,
    sampler: Sampler,
    diffusion: GaussianDiffusion,
    noise: Array,
    steps: int,
    *,
    skip: int = 0,
    base: Array | None = None,
    known: Known | None = None,
) -> Iterator[Step]:
    """Draw; yields every step, the last ``x`` is the picture.

    Args:
        predict: the network, guided or not.
        sampler: begins a new run.
        diffusion: the sampler's.
        noise: eps ~ N(0, I), (B, C, H, W).
        steps: of the whole chain.
        skip: how many of the steps to leave out; then there is a ``base``.
        base: the picture to begin with, x_0; None begins with the noise alone.
        known: what to keep.
    """
    grid = sampler.timesteps(steps, skip)
    x = noise if base is None else diffusion.q_sample(base, grid[0], noise)
    if known is not None:
        x = known.put_into(x, diffusion.q_sample(known.picture, grid[0], noise))
        predict = _knowing(predict, diffusion, known)
    for t in grid:
        done = sampler.step(predict(x, t), t, x)
        x = done.x
        yield done


def _knowing(predict: Predict, diffusion: GaussianDiffusion, known: Known) -> Predict:
    """The network's answer with the known part of its x_0 set right."""

    def answer(x: Array, t: int) -> Array:
        x_0, _ = diffusion.split(predict(x, t), t, x)
        x_0 = known.put_into(x_0, known.picture)
        return diffusion.target(x_0, t, diffusion.predict_noise_from_start(x, t, x_0))

    return answer
