"""``salon.imaging.models.ddpm_unet``: the paper's network, weight for weight."""

import os
from typing import Any

import pytest

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


def _network(size: str, image_size: int = 32, **options: Any) -> Any:
    from salon.imaging.models.ddpm_unet import SIZES, DDPMUNet, UNetConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return DDPMUNet(UNetConfig(image_size, SIZES[size], **options))


def _parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_papers_cifar_model_has_its_35_7_million_parameters() -> None:
    assert _parameters(_network("paper")) == 35_746_307


@pytest.mark.parametrize(
    ("size", "count"),
    [("tiny", 177_427), ("small", 2_587_491), ("default", 20_350_403)],
)
def test_the_sizes_have_the_parameters_that_the_page_names(
    size: str, count: int
) -> None:
    assert _parameters(_network(size)) == count


def test_attention_is_at_the_papers_resolution() -> None:
    from salon.imaging.models.ddpm_unet import SIZES, UNetConfig

    found = {
        side: UNetConfig(side, SIZES["paper"]).attention.index(True)
        for side in (16, 32, 64, 128)
    }

    assert found == {16: 0, 32: 1, 64: 2, 128: 3}


@pytest.mark.parametrize("image_size", [30, 8, 0])
def test_a_size_that_cannot_be_halved_is_refused(image_size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8 and at least 16"):
        _network("default", image_size)


def test_an_untrained_network_answers_zero_and_knows_the_time_once_trained() -> None:
    model = _network("small", 16).eval()
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([5, 5])
    assert model(x, t).abs().max() == 0
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        early, late = model(x, t), model(x, t + 400)

    assert early.shape == x.shape
    assert (early - late).abs().max() > 1e-3


@pytest.mark.parametrize("size", ["small", "default"])
def test_diffusers_unet_answers_alike_with_the_same_weights(size: str) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    model = _network(size, 32, dropout=0.1).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    config = model.config.as_diffusers()
    theirs = diffusers.UNet2DModel.from_config(config).eval()
    theirs.load_state_dict(model.state_dict(), strict=True)
    x, t = torch.randn(2, 3, 32, 32), torch.tensor([3, 700])
    with torch.no_grad():
        ours, reference = model(x, t), theirs(x, t).sample

    torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4)


def test_a_config_can_be_read_back_and_a_foreign_one_is_refused() -> None:
    from salon.imaging.models.ddpm_unet import SIZES, UNetConfig

    config = UNetConfig(64, SIZES["default"], 0.1)
    values = config.as_diffusers()
    assert UNetConfig.from_diffusers(values) == config
    with pytest.raises(ValueError, match="attention_head_dim = 8"):
        UNetConfig.from_diffusers(values | {"attention_head_dim": 8})
    with pytest.raises(ValueError, match="block_out_channels"):
        UNetConfig.from_diffusers({})
