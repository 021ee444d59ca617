"""``salon.imaging.clip_tokenizer``: S4's numbers, and nothing cut in silence."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from salon.imaging.clip_tokenizer import ClipTokenizer

ASTRONAUT = [49406, 320, 8853, 539, 550, 18376, 6765, 320, 4558, 49407]


@pytest.fixture(scope="session")
def clip() -> ClipTokenizer:
    return ClipTokenizer.load()


def test_the_astronaut_has_s4s_ids(clip: ClipTokenizer) -> None:
    tokens = clip("a photograph of an astronaut riding a horse")

    assert tokens.ids == ASTRONAUT + [49407] * 67
    assert tokens.cut == 0
    assert len(clip.vocabulary) == 49_408


def test_what_does_not_fit_is_counted(clip: ClipTokenizer) -> None:
    tokens = clip(" ".join(["cat"] * 80))

    assert len(tokens.ids) == 77
    assert tokens.ids[-1] == 49407
    assert tokens.ids[-2] != 49407
    assert tokens.cut == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   A  Red\tFOX's tail, isn't it?!  ",
        "3 cats & 12 dogs (close-up) -- 8k, (((masterpiece)))",
        "красная лиса в шляпе",
        "戴帽子的红猫",
        "café naïve e\u0301tude ﬁne Ⅷ ²",
        "👩‍🚀 on 🐴…",
        "they'll we've I'd 'quoted' ''s",
        "<|endoftext|> in the middle",
        "x" * 300,
    ],
)
def test_ids_equal_transformers(
    clip: ClipTokenizer, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    folder = tmp_path_factory.getbasetemp() / "clip-files"
    if not folder.exists():
        clip.save(folder)
    theirs: Any = transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )
    expected = theirs(text, padding="max_length", truncation=True).input_ids

    assert clip(text).ids == list(expected)


def test_a_saved_tokenizer_reads_back_the_same(
    clip: ClipTokenizer, tmp_path: Path
) -> None:
    clip.save(tmp_path)
    again = ClipTokenizer.load(tmp_path)

    assert again.vocabulary == clip.vocabulary
    assert again("a red fox") == clip("a red fox")


def test_small_rules_merge_the_most_frequent_pair_first() -> None:
    tokenizer = ClipTokenizer([("l", "o"), ("lo", "w</w>"), ("o", "w</w>")])
    names = {number: word for word, number in tokenizer.vocabulary.items()}

    assert [names[i] for i in tokenizer.tokens("Low slow")] == [
        "low</w>",
        "s",
        "low</w>",
    ]


def test_files_that_hold_no_rules_are_refused(tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_text("#version\na b c\n")
    with pytest.raises(ValueError, match="line 2: no pair"):
        ClipTokenizer.load(tmp_path)
    packed = tmp_path / "rules.txt.gz"
    packed.write_bytes(gzip.compress(b"header only"))
    with pytest.raises(ValueError, match="no merge rules"):
        ClipTokenizer.load(packed)
    with pytest.raises(ValueError, match="at most 100000 characters"):
        ClipTokenizer([("a", "b")])("x" * 100_001)
