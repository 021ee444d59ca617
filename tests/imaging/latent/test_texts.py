"""``salon.imaging.latent.texts``: CLIP's rows, and the sentence encoder's."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch

if os.environ.get("SALON_REQUIRE_ENGINES") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch")


def test_clips_rows_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    from salon.imaging.latent.texts import ClipTexts, load
    from tests.imaging.latent import clip

    folder = clip.folder(tmp_path / "sd")
    ours = ClipTexts.load(folder)
    tokens = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    theirs = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    prompts = ["a red disc", ""]
    ids = tokens(
        prompts, padding="max_length", max_length=77, truncation=True
    ).input_ids
    with torch.no_grad():
        expected = theirs(torch.tensor(ids)).last_hidden_state

    torch.testing.assert_close(ours(prompts), expected, rtol=1e-5, atol=1e-5)
    assert ours.width == 32
    assert ours.cut("x" * 75) == 0
    assert ours.cut("x" * 80) == 5
    ours.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.digest == ours.digest
    assert torch.equal(again(prompts), ours(prompts))


def test_what_is_no_clip_is_answered_in_words(tmp_path: Path) -> None:
    import json

    from salon.imaging.latent.texts import ClipTexts
    from salon.imaging.models.disk import ModelUnreadable
    from tests.imaging.latent import clip

    with pytest.raises(ModelUnreadable, match="no CLIP text encoder"):
        ClipTexts.load(tmp_path)
    folder = clip.folder(tmp_path / "sd")
    (folder / "tokenizer" / "merges.txt").rename(folder / "merges.gone")
    with pytest.raises(ModelUnreadable, match=r"merges\.txt is missing"):
        ClipTexts.load(folder)
    rules = "#version\n" + "\n".join(f"{a} {b}" for a in "abcdef" for b in "uvwxyz")
    (folder / "tokenizer" / "merges.txt").write_text(rules)
    with pytest.raises(ModelUnreadable, match="do not belong together"):
        ClipTexts.load(folder)
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_act": "x"}))
    with pytest.raises(ModelUnreadable, match="hidden_act"):
        ClipTexts.load(folder)


def test_sentences_are_the_rows_that_the_diffusers_backend_feeds(
    tmp_path: Path,
) -> None:
    from salon.imaging.backends.conditioning import SentenceConditioner
    from salon.imaging.latent.texts import SentenceTexts, load
    from salon.imaging.request import PictureRequest

    captions = [f"{colour} {thing}" for colour in _COLOURS for thing in _THINGS]
    ours = SentenceTexts.fit(captions)
    ours.save(tmp_path)
    backend = SentenceConditioner(tmp_path, 512, torch.device("cpu"), torch.float32)
    request = PictureRequest("red apple", 0, guidance=3.0)
    expected = backend(request, (8, 8), guided=True).states

    rows = ours(["", "red apple"])
    assert rows.shape == (2, 7, 512)
    torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-4)
    assert not rows[0].any()
    assert not rows[1, 3:].any()
    again = load(tmp_path)
    assert again.digest == ours.digest
    torch.testing.assert_close(again(["red apple"]), rows[1:], rtol=1e-4, atol=1e-4)


_COLOURS = ("red", "green", "blue", "yellow", "pink", "brown", "black", "white")
_THINGS = ("apple", "house", "cat", "car", "ship", "tree", "hat", "ball")


def test_few_captions_are_not_whitened_and_many_are() -> None:
    from salon.imaging.latent.texts import SentenceTexts

    few = SentenceTexts.fit(["a dog", "a cat", "a dog"])
    many = SentenceTexts.fit([f"{c} {t}" for c in _COLOURS for t in _THINGS])
    sentence = [texts(["a dog"])[0, 0].numpy() for texts in (few, many)]

    assert np.linalg.norm(sentence[0]) == pytest.approx(512**0.5, rel=1e-3)
    assert few.digest != many.digest
    assert abs(np.linalg.norm(sentence[1]) - 512**0.5) > 1.0


def test_every_text_is_encoded_once_and_words_are_counted() -> None:
    from salon.imaging.latent.texts import SentenceTexts
    from salon.imaging.text import Whitening

    class Counting:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def encode(self, texts: Any) -> Any:
            self.seen += texts
            return np.eye(512, dtype=np.float32)[: len(texts)]

    encoder = Counting()
    texts = SentenceTexts(Whitening.plain(), encoder=encoder)
    notes: list[tuple[int, int]] = []
    texts.learn(["Red  Apple", "red apple"], lambda done, n: notes.append((done, n)))
    texts(["red apple", "red", "", "apple"])

    assert sorted(encoder.seen) == ["apple", "red", "red apple"]
    assert notes == [(3, 3)]
    assert texts.cut("one two three four five six seven eight") == 2
    assert texts.cut("one two") == 0
