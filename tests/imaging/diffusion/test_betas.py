"""Noise schedules: the papers' constants, and the trap of a short chain."""

import numpy as np
import pytest

from salon.imaging.diffusion import betas


def _last_alpha_bar(values: betas.Betas) -> float:
    return float(np.cumprod(1.0 - values)[-1])


def test_the_papers_linear_schedule_leaves_four_hundred_thousandths() -> None:
    values = betas.linear(1000)

    assert values[0] == pytest.approx(1e-4)
    assert values[-1] == pytest.approx(0.02)
    assert _last_alpha_bar(values) == pytest.approx(4.04e-5, rel=0.01)


def test_unscaled_betas_on_300_steps_would_leave_five_percent() -> None:
    """The trap that the module's docstring explains; ours does not fall into it."""
    unscaled = np.linspace(1e-4, 0.02, 300)

    assert _last_alpha_bar(unscaled) == pytest.approx(0.0481, abs=1e-4)
    assert _last_alpha_bar(betas.linear(300)) == pytest.approx(3.43e-5, rel=0.01)


@pytest.mark.parametrize("steps", [100, 300, 1000, 4000])
def test_every_schedule_ends_alike_whatever_its_number_of_steps(steps: int) -> None:
    assert _last_alpha_bar(betas.linear(steps)) < 5e-5
    assert 0.002 < _last_alpha_bar(betas.scaled_linear(steps)) < 0.006
    assert _last_alpha_bar(betas.cosine(steps)) < 1e-4


def test_stable_diffusions_schedule_keeps_some_signal() -> None:
    values = betas.scaled_linear(1000)

    assert values[[0, -1]] == pytest.approx([0.00085, 0.012])
    assert _last_alpha_bar(values) == pytest.approx(0.0047, abs=1e-4)


def test_the_cosine_schedule_follows_its_formula_until_the_cap() -> None:
    share = (np.arange(1000) + 1) / 1000
    formula = np.cos((share + 0.008) / 1.008 * np.pi / 2) ** 2
    formula /= np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    found = np.cumprod(1.0 - betas.cosine(1000))

    assert found[:-1] == pytest.approx(formula[:-1], abs=1e-12)
    assert betas.cosine(1000)[-1] == 0.999


def test_zero_terminal_snr_keeps_the_first_step_and_empties_the_last() -> None:
    before = betas.scaled_linear(1000)
    after = betas.rescale_zero_terminal_snr(before)

    assert _last_alpha_bar(after) == 0.0
    assert after[0] == pytest.approx(before[0])
    assert (np.diff(np.cumprod(1.0 - after)) < 0).all()


@pytest.mark.parametrize("steps", [0, -5, 20])
def test_a_chain_too_short_is_refused_in_words(steps: int) -> None:
    for schedule in ("linear", "scaled_linear", "cosine"):
        with pytest.raises(ValueError, match="at least 21"):
            betas.betas(schedule, steps)


def test_an_unknown_schedule_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="linear, scaled_linear, cosine"):
        betas.betas("sigmoid", 100)


def test_betas_beyond_one_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        betas.linear(30, last=0.04)


@pytest.mark.torch
@pytest.mark.parametrize("steps", [50, 1000])
def test_zero_terminal_snr_is_the_one_of_diffusers(steps: int) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    theirs = pytest.importorskip(
        "diffusers.schedulers.scheduling_ddim", reason="needs diffusers"
    )
    before = betas.scaled_linear(steps)
    expected = theirs.rescale_zero_terminal_snr(torch.from_numpy(before)).numpy()

    ours = betas.rescale_zero_terminal_snr(before)
    assert ours == pytest.approx(expected, abs=1e-12)
