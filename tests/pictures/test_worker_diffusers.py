"""A worker with a Stable Diffusion in place of the embedded model."""

import io

from PIL import Image

from salon.imaging.backends.choose import Choice
from salon.imaging.png import maker_of, read_parameters, request_of
from salon.imaging.request import PictureRequest
from salon.pictures.worker import Drawing
from tests.imaging.backends import needs

pytestmark = needs.MARKS

needs.diffusers()


def test_it_draws_tells_its_steps_and_names_its_model(tmp_path) -> None:
    from tests.imaging.backends import tiny

    drawing = Drawing(Choice(tiny.stable_diffusion(tmp_path / "tiny-sd")))
    told = []
    drawn = drawing.draw(
        PictureRequest("a red fox", 7, 4, sampler="ddim"),
        lambda step: told.append(step.step) or True,
    )
    assert drawn.model == "tiny-sd"
    assert told == [1, 2, 3, 4]
    with Image.open(io.BytesIO(drawn.png)) as image:
        assert image.size == (32, 32)
    said = read_parameters(drawn.png)
    assert (drawn.steps, drawn.guidance) == (said["steps"], said["guidance"])
    assert (drawn.steps, drawn.guidance) == (4, 7.5)
    assert drawn.notes == ()
    long = drawing.draw(PictureRequest("x" * 80, 7, 1), lambda _: True)
    assert [note["code"] for note in long.notes] == ["prompt_cut"]
    assert maker_of(said).backend == "diffusers"
    again = drawing.draw(request_of(said), lambda _: True)
    assert again == drawn
