"""The closed forms of DDPM, each checked against what it claims to equal."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.imaging.diffusion import betas
from salon.imaging.diffusion.ddpm import GaussianDiffusion, Prediction

SHAPE = (4, 3, 2, 2)


def _normal(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion(betas.linear(300), clip=None)


def test_noising_in_one_go_equals_noising_step_by_step(
    diffusion: GaussianDiffusion,
) -> None:
    """Equation 4 out of equation 2: mean and variance of 40,000 chains."""
    rng = np.random.default_rng(0)
    x = np.full(40_000, 0.7)
    for beta in diffusion.betas[:150]:
        x = np.sqrt(1 - beta) * x + np.sqrt(beta) * rng.standard_normal(x.shape)
    zero, one = np.zeros(1), np.ones(1)
    mean = diffusion.q_sample(0.7 * one, 149, zero)
    spread = diffusion.q_sample(zero, 149, one)

    assert x.mean() == pytest.approx(mean[0], abs=0.02)
    assert x.std() == pytest.approx(spread[0], abs=0.02)


def test_signal_and_noise_share_one_unit_of_variance(
    diffusion: GaussianDiffusion,
) -> None:
    """What a forgotten square root breaks first."""
    total = (
        diffusion.sqrt_alphas_cumprod**2 + diffusion.sqrt_one_minus_alphas_cumprod**2
    )

    assert total == pytest.approx(1.0)


def test_start_and_noise_can_each_be_recovered(diffusion: GaussianDiffusion) -> None:
    x_0, eps, t = _normal(1), _normal(2), np.array([0, 7, 150, 299])
    x_t = diffusion.q_sample(x_0, t, eps)
    v = diffusion.velocity(x_0, t, eps)

    assert diffusion.predict_start_from_noise(x_t, t, eps) == pytest.approx(x_0)
    assert diffusion.predict_noise_from_start(x_t, t, x_0) == pytest.approx(eps)
    assert diffusion.predict_start_from_velocity(x_t, t, v) == pytest.approx(x_0)


def test_the_posterior_is_what_bayes_says(diffusion: GaussianDiffusion) -> None:
    """q(x_{t-1} | x_t, x_0) from the product of the two Gaussians it is made of."""
    t, x_0, x_t = 120, 0.4, 0.9
    alpha, beta = 1 - diffusion.betas[t], diffusion.betas[t]
    before = diffusion.alpha_bar(t - 1)
    precision = alpha / beta + 1 / (1 - before)
    mean = (
        np.sqrt(alpha) * x_t / beta + np.sqrt(before) * x_0 / (1 - before)
    ) / precision
    found, variance = diffusion.q_posterior_mean_variance(
        np.array([x_0]), np.array([x_t]), t
    )

    assert found[0] == pytest.approx(mean)
    assert variance == pytest.approx(1 / precision)


def test_the_mean_in_epsilon_form_is_the_papers_equation_11(
    diffusion: GaussianDiffusion,
) -> None:
    t, x_t, eps = 200, _normal(3), _normal(4)
    x_0, _ = diffusion.split(eps, t, x_t)
    mean, _ = diffusion.q_posterior_mean_variance(x_0, x_t, t)
    beta, ab = diffusion.betas[t], diffusion.alphas_cumprod[t]

    assert mean == pytest.approx(
        (x_t - beta / np.sqrt(1 - ab) * eps) / np.sqrt(1 - beta)
    )


def test_the_two_fixed_variances_are_beta_and_the_smaller_posterior(
    diffusion: GaussianDiffusion,
) -> None:
    x = _normal(5)
    for t in (1, 50, 299):
        _, large = diffusion.q_posterior_mean_variance(x, x, t, "beta")
        _, small = diffusion.q_posterior_mean_variance(x, x, t, "posterior")

        assert large == pytest.approx(diffusion.betas[t])
        assert small < large
    assert diffusion.posterior_variance[0] == 0.0


@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_whatever_is_predicted_stands_for_the_same_pair(prediction: Prediction) -> None:
    diffusion = GaussianDiffusion(betas.cosine(100), prediction, clip=None)
    x_0, eps, t = _normal(6), _normal(7), np.array([0, 30, 60, 90])
    x_t = diffusion.q_sample(x_0, t, eps)
    found = diffusion.split(diffusion.target(x_0, t, eps), t, x_t)

    assert found[0] == pytest.approx(x_0)
    assert found[1] == pytest.approx(eps)


def test_a_cut_guess_and_its_noise_still_make_up_the_input() -> None:
    diffusion = GaussianDiffusion(betas.linear(300), clip=1.0)
    x_t, eps = 3 * _normal(8), _normal(9)
    x_0, rest = diffusion.split(eps, 250, x_t)

    assert np.abs(x_0).max() == 1.0
    assert diffusion.q_sample(x_0, 250, rest) == pytest.approx(x_t)


def test_the_last_step_draws_no_noise(diffusion: GaussianDiffusion) -> None:
    x, eps = _normal(10), _normal(11)

    def forbidden(_: np.ndarray) -> np.ndarray:
        raise AssertionError("noise at t = 0")

    x_0, _ = diffusion.split(eps, 0, x)
    assert diffusion.p_sample(eps, x, 0, forbidden) == pytest.approx(x_0)
    with pytest.raises(AssertionError):
        diffusion.p_sample(eps, x, 1, forbidden)


def test_float32_stays_float32(diffusion: GaussianDiffusion) -> None:
    x = _normal(12).astype(np.float32)
    for t in (5, np.array([1, 2, 3, 4])):
        assert diffusion.q_sample(x, t, x).dtype == np.float32
        assert diffusion.split(x, t, x)[0].dtype == np.float32


def test_epsilon_is_refused_where_nothing_but_noise_is_left() -> None:
    values = betas.rescale_zero_terminal_snr(betas.linear(100))

    with pytest.raises(ValueError, match="'v' or 'sample'"):
        GaussianDiffusion(values)
    diffusion = GaussianDiffusion(values, "v", clip=None)
    x_0, eps = _normal(13), _normal(14)
    assert diffusion.q_sample(x_0, 99, eps) == pytest.approx(eps)
    found, noise = diffusion.split(diffusion.velocity(x_0, 99, eps), 99, eps)
    assert found == pytest.approx(x_0)
    assert noise == pytest.approx(eps)


@pytest.mark.parametrize("t", [-1, 300, np.array([0, 300])])
def test_a_step_outside_the_chain_is_refused(
    diffusion: GaussianDiffusion, t: int
) -> None:
    """Python would take t = -1 for the noisiest step, as S3's sampler did."""
    with pytest.raises(ValueError, match=r"0\.\.299"):
        diffusion.q_sample(np.zeros((2, 1)), t, np.zeros((2, 1)))


@pytest.mark.parametrize(
    "values", [[0.1], [[0.1, 0.2]], [0.1, 0.0], [0.1, 1.2], [1.0, 0.5]]
)
def test_impossible_betas_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="betas must"):
        GaussianDiffusion(np.array(values))


def test_an_unknown_prediction_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="epsilon, sample, v"):
        GaussianDiffusion(betas.linear(100), "noise")  # type: ignore[arg-type]


@given(
    st.integers(0, 299),
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.sampled_from(["linear", "scaled_linear", "cosine"]),
    st.booleans(),
)
def test_v_epsilon_and_x_0_are_one_thing_seen_three_ways(
    t: int, x_0: float, eps: float, schedule: str, zero_snr: bool
) -> None:
    """(x_t, v) is (x_0, eps) turned by an angle: lengths stay, and it turns back."""
    values = betas.betas(schedule, 300)
    if zero_snr:
        values = betas.rescale_zero_terminal_snr(values)
    diffusion = GaussianDiffusion(values, "v", clip=None)
    start, noise = np.full((1, 1), x_0), np.full((1, 1), eps)
    x_t = diffusion.q_sample(start, t, noise)
    v = diffusion.velocity(start, t, noise)
    again, rest = diffusion.split(v, t, x_t)

    assert (x_t**2 + v**2).item() == pytest.approx(x_0**2 + eps**2, abs=1e-9)
    assert again.item() == pytest.approx(x_0, abs=1e-9)
    assert rest.item() == pytest.approx(eps, abs=1e-6)
    ab = diffusion.alpha_bar(t)
    from_v = ab**0.5 * v + (1 - ab) ** 0.5 * x_t
    assert from_v.item() == pytest.approx(eps, abs=1e-9)
