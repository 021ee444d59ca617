"""Seeds and what lies between two of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.imaging.pipelines.noise import Chance, slerp
from salon.imaging.request import PictureRequest

SHAPE = (4, 16, 16)


def _start(seed: int, **more) -> np.ndarray:
    return Chance(PictureRequest("x", seed, **more)).start(SHAPE)


def test_a_seed_is_the_same_noise_for_ever() -> None:
    first = np.random.default_rng(7).standard_normal(SHAPE, np.float32)
    assert np.array_equal(_start(7), first)


def test_the_ends_of_a_variation_are_the_two_seeds() -> None:
    assert np.array_equal(_start(1, variation=0.0, variation_seed=2), _start(1))
    assert np.allclose(_start(1, variation=1.0, variation_seed=2), _start(2), atol=1e-6)


@given(share=st.floats(0, 1), a=st.integers(0, 99), b=st.integers(100, 199))
def test_between_two_seeds_the_noise_keeps_its_strength(share, a, b) -> None:
    mixed = slerp(_start(a), _start(b), share)
    assert mixed.std() == pytest.approx(1.0, abs=0.1)
    assert mixed.dtype == np.float32


@given(share=st.floats(0.01, 0.99))
def test_a_small_variation_stays_near_its_seed(share) -> None:
    own, other = _start(1), _start(2)
    mixed = slerp(own, other, share)
    nearer = np.linalg.norm(mixed - own) < np.linalg.norm(mixed - other)
    assert nearer == (share < 0.5) or abs(share - 0.5) < 1e-3


def test_a_seed_turned_to_itself_stays() -> None:
    assert np.array_equal(_start(1, variation=0.5, variation_seed=1), _start(1))


def test_fresh_noise_is_not_the_noise_of_the_start() -> None:
    chance = Chance(PictureRequest("x", 1))
    assert not np.array_equal(chance.start(SHAPE), chance.more(SHAPE))
