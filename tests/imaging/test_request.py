"""What a request may contain."""

from typing import Any

import pytest
from PIL import Image

from salon.imaging.ports import Defaults
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
        ("sampler", {"sampler": "k_heun"}),
        ("width", {"width": 100, "height": 128}),
        ("height", {"width": 128, "height": 4096}),
        ("size", {"width": 128}),
        ("variation", {"variation": 1.5}),
        ("variation_seed", {"variation_seed": -1}),
        ("strength", {"strength": 0.0}),
        ("strength", {"strength": 1.1}),
        ("strength", {"strength": float("nan")}),
        ("init", {"init": Image.new("1", (8000, 4000))}),
        ("mask", {"mask": Image.new("L", (8, 8))}),
        ("mask", {"init": Image.new("RGB", (8, 9)), "mask": Image.new("L", (8, 8))}),
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


@pytest.mark.parametrize(
    ("steps", "strength", "taken"),
    [(10, 0.2, 2), (10, 0.8, 8), (10, 1.0, 10), (50, 0.58, 29), (3, 0.1, 1)],
)
def test_strength_is_the_share_of_the_steps(
    steps: int, strength: float, taken: int
) -> None:
    init = Image.new("RGB", (8, 8))
    request = PictureRequest("x", 1, steps, init=init, strength=strength)
    assert request.steps_taken == taken
    assert PictureRequest("x", 1, steps, strength=strength).steps_taken == steps


def test_what_was_not_given_is_the_models_own() -> None:
    own = Defaults(25, 7.5, "pndm", 512, 512)
    plain = PictureRequest("x", 1)

    assert own.filled(plain).settled == (25, 7.5)
    assert own.filled(plain).sampler == "pndm"
    given = PictureRequest("x", 1, 3, 0.0, sampler="ddim")
    assert own.filled(given) == given


def test_requests_with_equal_pictures_are_equal() -> None:
    def one(colour: str) -> PictureRequest:
        return PictureRequest("x", 1, init=Image.new("RGB", (8, 8), colour))

    assert one("red") == one("red")
    assert one("red") != one("blue")
