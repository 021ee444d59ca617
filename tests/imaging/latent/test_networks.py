"""The networks of latent diffusion: weight for weight those of diffusers' files."""

import os
from typing import Any

import pytest

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


def _randomised(model: Any) -> Any:
    """Every weight random, the ones that begin at zero as well."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.05)
    return model.eval()


def _count(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def _autoencoder(**changes: Any) -> Any:
    from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL

    values = {"widths": (16, 24), "layers": 1, "groups": 8, "image_size": 16}
    return _randomised(AutoencoderKL(AutoencoderConfig(**{**values, **changes})))


def _unet(**changes: Any) -> Any:
    from salon.imaging.models.unet_2d_condition import ConditionConfig, UNet2DCondition

    values = {
        "sample_size": 8,
        "widths": (16, 32),
        "words": (True, False),
        "layers": 1,
        "cross": 12,
        "heads": (2, 4),
        "groups": 8,
    }
    return _randomised(UNet2DCondition(ConditionConfig(**{**values, **changes})))


@pytest.mark.parametrize(("channels", "layers"), [(3, 2), (4, 1)])
def test_the_autoencoder_answers_as_diffusers_does_with_the_same_weights(
    channels: int, layers: int
) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    ours = _autoencoder(channels=channels, layers=layers)
    theirs = diffusers.AutoencoderKL.from_config(ours.config.as_diffusers()).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.rand(2, channels, 16, 24) * 2 - 1
    with torch.no_grad():
        q, reference = ours.encode(x), theirs.encode(x).latent_dist
        decoded, expected = (
            ours.decode(q.mode()),
            theirs.decode(reference.mode()).sample,
        )

    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(q.mean, reference.mean, **close)
    torch.testing.assert_close(q.logvar, reference.logvar, **close)
    torch.testing.assert_close(q.kl(), reference.kl(), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(decoded, expected, **close)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layers": 2, "linear": True, "heads": (4, 4)},
        {"widths": (16, 24, 32), "words": (True,) * 3, "heads": (2, 2, 4)},
    ],
)
def test_the_unet_answers_as_diffusers_does_with_the_same_weights(
    changes: dict[str, Any],
) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    ours = _unet(**changes)
    config = ours.config.as_diffusers()
    theirs = diffusers.UNet2DConditionModel.from_config(config).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    z, t, text = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 5, 12)
    with torch.no_grad():
        answer, expected = ours(z, t, text), theirs(z, t, text).sample

    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


def test_stable_diffusions_shapes_have_their_parameters() -> None:
    from salon.imaging.models import unet_2d_condition as unets
    from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
    from salon.imaging.models.clip_text import ClipText, ClipTextConfig

    with torch.device("meta"):
        one = unets.UNet2DCondition(unets.STABLE_DIFFUSION_1)
        two = unets.UNet2DCondition(unets.STABLE_DIFFUSION_2)
        vae = AutoencoderKL(AutoencoderConfig())
        text = ClipText(ClipTextConfig())

    assert _count(one) == 859_520_964
    assert _count(two) == 865_910_724
    assert _count(vae) == 83_653_863
    assert _count(text) == 123_060_480


def test_the_bare_level_on_top_makes_another_network() -> None:
    """S4's listing has the blocks in this order; no weights of SD 1.5 fit it."""
    from salon.imaging.models import unet_2d_condition as unets

    with torch.device("meta"):
        wrong = unets.UNet2DCondition(
            unets.ConditionConfig(64, words=(False, True, True, True))
        )

    assert _count(wrong) != 859_520_964


def test_clips_text_encoder_answers_as_transformers_does() -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    from salon.imaging.models.clip_text import ClipText, ClipTextConfig

    for activation in ("quick_gelu", "gelu"):
        config = transformers.CLIPTextConfig(
            vocab_size=100,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            hidden_act=activation,
            bos_token_id=98,
            eos_token_id=99,
        )
        theirs = _randomised(transformers.CLIPTextModel(config))
        ours = ClipText(ClipTextConfig.from_transformers(config.to_dict())).eval()
        ours.load_weights(theirs.state_dict())
        ids = torch.randint(0, 98, (2, 77))
        with torch.no_grad():
            answer, expected = ours(ids), theirs(ids).last_hidden_state

        torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


def test_configs_can_be_read_back_and_foreign_ones_are_refused_by_field() -> None:
    from salon.imaging.models.autoencoder_kl import AutoencoderConfig
    from salon.imaging.models.unet_2d_condition import ConditionConfig

    vae, unet = _autoencoder().config, _unet().config
    assert AutoencoderConfig.from_diffusers(vae.as_diffusers()) == vae
    assert ConditionConfig.from_diffusers(unet.as_diffusers()) == unet
    foreign = unet.as_diffusers() | {"addition_embed_type": "text_time"}
    with pytest.raises(ValueError, match="addition_embed_type = 'text_time'"):
        ConditionConfig.from_diffusers(foreign)
    other = vae.as_diffusers() | {"use_quant_conv": False}
    with pytest.raises(ValueError, match="use_quant_conv = False"):
        AutoencoderConfig.from_diffusers(other)
    partial = unet.as_diffusers()
    del partial["cross_attention_dim"]
    with pytest.raises(ValueError, match="cross_attention_dim"):
        ConditionConfig.from_diffusers(partial)


def test_old_names_of_the_autoencoders_attention_load() -> None:
    model = _autoencoder()
    old = {}
    for name, value in model.state_dict().items():
        for now, once in (
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ):
            if f"attentions.0.{now}." in name:
                name = name.replace(now, once)  # noqa: PLW2901
                value = value[:, :, None, None] if value.ndim == 2 else value  # noqa: PLW2901
        old[name] = value
    fresh = _autoencoder()
    with torch.no_grad():
        fresh.decoder.mid_block.attentions[0].to_q.weight.zero_()
    fresh.load_weights(old)

    for name, value in model.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name


def test_the_autoencoder_takes_any_size_that_f_divides_and_says_so_otherwise() -> None:
    model = _autoencoder()
    with torch.no_grad():
        assert model.encode(torch.zeros(1, 3, 10, 32)).mean.shape == (1, 4, 5, 16)
        assert model(torch.zeros(1, 3, 10, 32)).shape == (1, 3, 10, 32)
    with pytest.raises(ValueError, match=r"3 channels .* multiples of 2"):
        model.encode(torch.zeros(1, 3, 9, 8))
    with pytest.raises(ValueError, match="3 channels"):
        model.encode(torch.zeros(1, 4, 8, 8))


def test_a_diagonal_gaussian_has_the_moments_and_divergence_that_it_says() -> None:
    from salon.imaging.models.autoencoder_kl import DiagonalGaussianDistribution

    torch.manual_seed(1)
    parameters = torch.randn(1, 4, 2, 2)
    q = DiagonalGaussianDistribution(parameters)
    draws = torch.stack([q.sample(torch.randn_like(q.mean)) for _ in range(20_000)])
    torch.testing.assert_close(draws.mean(0), q.mean, rtol=0, atol=0.05)
    torch.testing.assert_close(draws.std(0), q.std, rtol=0.05, atol=0)
    # KL by its definition: the mean of log q - log p over draws from q.
    log_q = -0.5 * ((draws - q.mean) / q.std) ** 2 - q.std.log()
    log_p = -0.5 * draws**2
    measured = (log_q - log_p).flatten(1).sum(1).mean()
    assert float(q.kl()) == pytest.approx(float(measured), rel=0.03)
    standard = DiagonalGaussianDistribution(torch.zeros(3, 4, 2, 2))
    assert standard.kl().tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(q.sample(torch.zeros_like(q.mean)), q.mode())
    extreme = DiagonalGaussianDistribution(torch.full((1, 2, 1, 1), 1e6))
    assert torch.isfinite(extreme.std).all()


def test_a_row_of_zeros_in_the_text_adds_no_value() -> None:
    """Padding is zeros: where no word concerns a place it may look there."""
    from salon.imaging.models.attention import CrossAttention

    attention = _randomised(CrossAttention(8, 6, 2))
    places = torch.randn(1, 3, 8)
    with torch.no_grad():
        nothing = attention(places, torch.zeros(1, 4, 6))

    bias = attention.to_out[0].bias.detach()
    torch.testing.assert_close(nothing, bias.expand(1, 3, 8))
