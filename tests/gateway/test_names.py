import pytest

from salon.errors import Refusal
from salon.gateway.names import check_handle, check_name, handle_key


@pytest.mark.parametrize(
    "handle", ["ann", "Ann.B-c_9", "安娜", "Аня", "हिन्दी", "a" * 32, "x9", "  ann  "]
)
def test_letters_of_any_script_make_a_handle(handle: str) -> None:
    assert check_handle(handle) == handle.strip()


@pytest.mark.parametrize(
    "handle",
    [
        "",
        "a",
        "a" * 33,
        "an n",
        "ann@x",
        ".ann",
        "-ann",
        "an\nn",
        "a\u202eb",
        "😀😀",
        "a/b",
        "a:b",
        "a\x00b",
        "ﬃ" * 32,
    ],
)
def test_everything_else_does_not(handle: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_handle(handle)

    assert (refused.value.code, refused.value.field) == ("handle_invalid", "handle")


def test_case_and_width_make_no_other_handle() -> None:
    assert handle_key("Ann") == handle_key("ＡＮＮ") == handle_key(" ann ")
    assert handle_key("Straße") == handle_key("STRASSE")
    assert check_handle("ＡＮＮ") == "ANN"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ann", "Ann"),
        ("  Ann   Lee ", "Ann Lee"),
        ("安娜 👩‍🎨", "安娜 👩‍🎨"),
        ("n" * 60, "n" * 60),
        ("Cafe\u0301", "Café"),
    ],
)
def test_a_name_is_a_line_of_text(text: str, name: str) -> None:
    assert check_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "n" * 61,
        "a\nb",
        "a\r\n\r\nMESSAGE",
        "a\x00b",
        "a\u2028b",
        "a\u202eb",
        "\u2066a",
        chr(0xD800),
        "a\x7fb",
        "a\tb",
    ],
)
def test_a_name_that_could_make_other_text_lie_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_name(text)

    assert refused.value.code == "name_invalid"
