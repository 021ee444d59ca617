"""What a request may contain."""

from typing import Any

import pytest

from salon.imaging.request import InvalidRequest, PictureRequest


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": " \n"}),
        ("prompt", {"prompt": "x" * 501}),
        ("prompt", {"prompt": "x" * (1 << 20)}),
        ("negative", {"negative": "x" * 501}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 1 << 64}),
        ("steps", {"steps": 0}),
        ("steps", {"steps": 51}),
        ("guidance", {"guidance": -0.1}),
        ("guidance", {"guidance": 20.1}),
        ("guidance", {"guidance": float("nan")}),
        ("guidance", {"guidance": float("inf")}),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_field(
    field: str, values: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        PictureRequest(**{"prompt": "red heart", "seed": 1, **values})
    assert refusal.value.field == field
    assert len(str(refusal.value)) < 200


def test_the_limits_themselves_are_allowed() -> None:
    PictureRequest("x" * 500, (1 << 64) - 1, 50, 20.0, "y" * 500)
