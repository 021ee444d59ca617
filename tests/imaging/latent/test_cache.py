"""``salon.imaging.latent.cache``: pictures become latents once."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from salon.imaging.data import captioned
from tests.imaging.latent.shapes import SIDE, discs

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


def _network(seed: int = 0) -> Any:
    from salon.imaging.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return AutoencoderKL(AutoencoderConfig(widths=(8, 16), layers=1, groups=4)).eval()


def _load(folder: Path, cache: Path, network: Any, digest: str = "one") -> Any:
    from salon.imaging.latent import cache as latents

    told: list[tuple[int, int]] = []
    found = latents.load(
        folder,
        captioned.read(folder),
        network,
        digest,
        SIDE,
        cache,
        encoding=lambda done, n: told.append((done, n)),
    )
    return found, told


def test_latents_are_the_encoders_and_are_made_once(tmp_path: Path) -> None:
    network = _network()
    folder = discs(tmp_path / "discs", 20)
    data, told = _load(folder, tmp_path / "cache", network)
    again, silence = _load(folder, tmp_path / "cache", network)
    x = np.asarray(Image.open(folder / "003.png"), np.float32) / 127.5 - 1.0
    with torch.no_grad():
        q = network.encode(torch.from_numpy(x.transpose(2, 0, 1)[None].copy()))

    torch.testing.assert_close(data.q(np.array([3])).mean, q.mean)
    torch.testing.assert_close(data.q(np.array([3])).logvar, q.logvar)
    assert told == [(16, 20), (20, 20)]
    assert silence == []
    assert again.digest == data.digest
    assert data.captions[3] == ("a yellow disc",)


def test_another_autoencoder_other_pixels_other_captions_are_other_data(
    tmp_path: Path,
) -> None:
    folder, cache = discs(tmp_path / "discs", 4), tmp_path / "cache"
    digests = [_load(folder, cache, _network())[0].digest]
    digests.append(_load(folder, cache, _network(1), "two")[0].digest)
    Image.new("RGB", (SIDE, SIDE), "navy").save(folder / "000.png")
    found, told = _load(folder, cache, _network())
    digests.append(found.digest)
    assert told
    words = (folder / "metadata.jsonl").read_text().replace("red disc", "red ball")
    (folder / "metadata.jsonl").write_text(words)
    found, told = _load(folder, cache, _network())
    digests.append(found.digest)

    assert not told
    assert len(set(digests)) == 4


def test_an_unreadable_picture_takes_its_caption_with_it(tmp_path: Path) -> None:
    folder = discs(tmp_path / "discs", 4)
    (folder / "001.png").write_text("no picture")
    data, _ = _load(folder, tmp_path / "cache", _network())

    assert len(data) == 3
    assert [said[0] for said in data.captions] == [
        "a black disc",
        "a green disc",
        "a yellow disc",
    ]
    assert [str(s.path) for s in data.skipped] == ["001.png"]


def test_a_full_disk_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from salon.imaging.latent import reconstruct

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    folder, cache = discs(tmp_path / "discs", 4), tmp_path / "cache"
    monkeypatch.setattr(reconstruct, "encoded", full)
    with pytest.raises(OSError, match="No space left"):
        _load(folder, cache, _network())

    assert not list(cache.glob("*.part"))
    assert not list(cache.glob("latents-*"))
