"""What a latent looks like, without the decoder.

Decoding every step would take longer than the steps. But a latent's pixel is nearly a
linear function of the colour at its place, so one small matrix shows enough: it is
fitted by least squares, once, when a model is loaded, to what the model's own encoder
makes of a picture of coloured patches. It serves any autoencoder, also one of RGBA.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PATCH = 4
"""Side of a patch in latent pixels: the encoder's neighbourhood is all one colour."""
_PATCHES = 6


class LatentPreview:
    """latents -> small pictures.

    Args:
        matrix: (1 + latent channels, colours), the first row a constant.
    """

    def __init__(self, matrix: Floats) -> None:
        self._matrix = matrix

    @classmethod
    def fit(
        cls, encode: Callable[[Floats], Floats], factor: int, colours: int
    ) -> LatentPreview:
        """Fit to an encoder.

        Args:
            encode: (1, colours, h, w) in [-1, 1] -> latents (1, c, h/factor, w/factor).
            factor: how much smaller a latent is than its picture.
            colours: 3, or 4 with alpha.
        """
        rng = np.random.default_rng(0)
        small = rng.uniform(-1, 1, (1, colours, _PATCHES, _PATCHES)).astype(np.float32)
        image = _repeated(small, _PATCH * factor)
        seen = _repeated(small, _PATCH)[0].reshape(colours, -1).T
        latents = encode(image)[0]
        rows = latents.reshape(len(latents), -1).T
        design = np.concatenate([np.ones((len(rows), 1), np.float32), rows], axis=1)
        matrix, *_ = np.linalg.lstsq(design, seen, rcond=None)
        return cls(matrix.astype(np.float32))

    def __call__(self, latents: Floats) -> Floats:
        """(c, h, w) latents -> (colours, h, w) in [-1, 1]."""
        flat = latents.reshape(len(latents), -1).T @ self._matrix[1:] + self._matrix[0]
        picture = flat.T.reshape(-1, *latents.shape[1:])
        return np.clip(picture, -1.0, 1.0)


def _repeated(small: Floats, times: int) -> Floats:
    result: Floats = small.repeat(times, axis=-2).repeat(times, axis=-1)
    return result
