"""What may be asked, and the words in which it is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salon.errors import Refusal
from salon.pictures.jobs import PROMPT_MAX, SEED_MAX, Wish, parse_options, wish


def refused(**wished):
    with pytest.raises(Refusal) as refusal:
        wish(**wished)
    return refusal.value.code, refusal.value.field


def test_a_plain_prompt_leaves_the_numbers_to_the_model():
    assert wish("  red   heart ") == Wish("red heart", "", None, None, None)


def test_options_at_the_end_are_read():
    assert parse_options("a red fox --no cats, dogs --seed 7 --steps 20") == Wish(
        "a red fox", "cats, dogs", 7, 20
    )


def test_a_telephones_dash_is_two_hyphens():
    assert parse_options("fox \N{EM DASH}seed 9").seed == 9


def test_a_field_counts_more_than_an_option():
    assert wish("fox --seed 7 --no cats", seed=8, negative="dogs") == Wish(
        "fox", "dogs", 8
    )


def test_unknown_options_are_prompt():
    assert wish("fox --ar 16:9 a--seed 7").prompt == "fox --ar 16:9 a--seed 7"


@pytest.mark.parametrize("text", ["fox --seed", "fox --seed seven", "--seed 7 fox"])
def test_an_option_without_its_number_is_refused(text):
    assert refused(prompt=text) == ("option_invalid", "prompt")


@pytest.mark.parametrize("text", ["", " \n\t ", "--seed 7"])
def test_an_empty_prompt_is_refused(text):
    assert refused(prompt=text) == ("prompt_empty", "prompt")


def test_line_breaks_become_spaces_and_other_control_characters_are_refused():
    assert wish("a\r\nfox\u2028b").prompt == "a fox b"
    assert refused(prompt="a\x00fox") == ("prompt_invalid", "prompt")
    assert refused(prompt="a\ud800") == ("prompt_invalid", "prompt")
    assert refused(prompt="fox", negative="\x07") == ("prompt_invalid", "negative")


def test_lengths_have_limits():
    assert wish("x" * PROMPT_MAX, negative="y" * PROMPT_MAX).prompt == "x" * PROMPT_MAX
    assert refused(prompt="x" * (PROMPT_MAX + 1)) == ("prompt_too_long", "prompt")
    assert refused(prompt="x" * 1_000_000) == ("prompt_too_long", "prompt")
    assert refused(prompt="x", negative="y" * 501) == ("prompt_too_long", "negative")


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("seed", -1),
        ("seed", SEED_MAX + 1),
        ("steps", 0),
        ("steps", 51),
        ("guidance", -0.1),
        ("guidance", 20.1),
        ("guidance", float("nan")),
        ("guidance", float("inf")),
    ],
)
def test_numbers_have_limits(field, bad):
    assert refused(prompt="fox", **{field: bad}) == ("number_out_of_range", field)


def test_the_limits_themselves_are_granted():
    made = wish("fox", seed=SEED_MAX, steps=50, guidance=20)

    assert (made.seed, made.steps, made.guidance) == (SEED_MAX, 50, 20.0)


@given(st.text(max_size=700), st.text(max_size=600))
def test_any_text_is_cleaned_or_refused(prompt, negative):
    with suppress(Refusal):
        made = wish(prompt, negative=negative)
        assert 1 <= len(made.prompt) <= PROMPT_MAX
        assert made.prompt == made.prompt.strip()
        (made.prompt + made.negative).encode()  # no surrogates
