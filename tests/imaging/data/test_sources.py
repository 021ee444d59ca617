"""Whose art it is, and what may be done with it."""

import pytest

from salon.imaging.data import sources
from salon.imaging.data.sources import SOURCES, TRAINABLE


def test_every_source_says_licence_owner_version_and_hash() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.owner
        assert source.version[0].isdigit()
        assert source.integrity.startswith("sha512-")
        assert len(source.integrity) == len("sha512-") + 88
        assert source.style


def test_only_permissive_art_is_trained_on() -> None:
    for source in sources.choose(("all",)):
        assert source.licence in TRAINABLE


def test_openmoji_cannot_be_trained_on() -> None:
    assert "openmoji" not in {s.name for s in sources.choose(("all",))}
    with pytest.raises(ValueError, match=r"openmoji \(CC-BY-SA-4.0\).*training set"):
        sources.choose(("noto", "openmoji"))


def test_an_evaluation_set_takes_art_that_nothing_was_trained_on() -> None:
    assert [s.name for s in sources.choose(("all",), "evaluate")] == ["openmoji"]
    with pytest.raises(ValueError, match="unseen art"):
        sources.choose(("noto",), "evaluate")


def test_an_unknown_source_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no source 'apple'.*twemoji"):
        sources.choose(("apple",))


def test_the_notice_names_every_work_its_owner_and_licence() -> None:
    text = sources.notice(sources.choose(("noto", "twemoji")))
    assert "@iconify-json/noto 1.2.9" in text
    assert "Google Inc." in text
    assert "CC-BY-4.0" in text
    assert "emojibase-data" in text
    assert "Permission is hereby granted" in text
    assert "Microsoft" not in text


@pytest.mark.parametrize("name", ["facebook-logo", "apple-logo-1", "android-os"])
def test_brands_are_left_out(name: str) -> None:
    assert not SOURCES["streamline-color"].keeps(name)


def test_fruit_is_not_a_brand() -> None:
    assert SOURCES["flat-color-icons"].keeps("apple")
